// Package installation makes and opens an installation's folder: its settings,
// root key, database, signer and everything that stands on them.
//
// The folder holds azekura.json (settings, no secrets), root.age (the root key
// under the passphrase), signer/ (the signer's key and state, which must not be
// restored with the database), azekura.db (unless PostgreSQL is used), tls/ and
// rejects/. One process at a time opens it; others go through that one.
package installation

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"azekura/access"
	"azekura/access/budget"
	"azekura/access/device"
	"azekura/access/policy"
	"azekura/access/signin"
	"azekura/approval/desk"
	"azekura/approval/roll"
	"azekura/auditlog"
	"azekura/cases"
	"azekura/gate"
	"azekura/incident/alarms"
	"azekura/internal/db"
	"azekura/internal/jobs"
	"azekura/internal/slotfile"
	"azekura/keyring"
	"azekura/keyring/root"
	keyrotation "azekura/keyring/rotation"
	"azekura/register"
	"azekura/witness/client"

	wrapping "github.com/hashicorp/go-kms-wrapping/v2"
)

const configFile = "azekura.json"

// Config is what azekura.json holds.
type Config struct {
	Version  int         `json:"version"`
	Created  time.Time   `json:"created"`
	Database string      `json:"database,omitempty"` // a postgres:// URL; empty is azekura.db beside it
	Origin   string      `json:"origin"`             // names the audit log for ever
	LogID    int64       `json:"log_id"`
	Root     root.Config `json:"root"`
	Operator string      `json:"operator"` // the age recipient of rejects files, and of backups
	// Recovery is the age recipient whose identity lies in a safe: of the root
	// key's escrow, and of backups.
	Recovery string `json:"recovery,omitempty"`
	// Approvers are the public keys of those of whom two must sign what one
	// person alone may not do: a copy of what the log's events name, for when no
	// log can be read.
	Approvers []string `json:"approvers,omitempty"`
	// Incident is the age recipient of what mirrors keep: who has its identity can
	// read the log's history from a mirror.
	Incident string `json:"incident,omitempty"`
	// Witnesses are who cosigns the log's heads; nil where nobody does.
	Witnesses *client.Settings `json:"witnesses,omitempty"`
	// Freeze says when the log ends by itself and goes on in the next.
	Freeze *FreezeRule `json:"freeze,omitempty"`
	// Verify says when everything is verified each day; nil is at 3 o'clock.
	Verify *Nightly `json:"verify,omitempty"`
	// SignIn is how staff sign in; nil where only the operator opens sessions.
	SignIn *signin.Settings `json:"sign_in,omitempty"`
	// Alarms is where alarms go.
	Alarms []alarms.Target `json:"alarms,omitempty"`
	// DeviceKeys demands a device's certificate of every connection of staff, and of
	// every session that it is bound to one's key. init sets it.
	DeviceKeys bool `json:"device_keys,omitempty"`
	// MadeUp marks a demo or a drill: its people are made up, and only there
	// do the demo's shortcuts work.
	MadeUp bool `json:"made_up,omitempty"`
}

var (
	// ErrNone means that the folder holds no installation.
	ErrNone = errors.New("no installation here; make one with azekura init --dir DIR")
	// ErrNoTables means that the database isn't this installation's, or that what was in
	// it is gone.
	ErrNoTables = errors.New("the database has no tables: put the installation's own back, or restore a backup into it with azekura restore FILE --database-only, and then, if it is behind its signer, azekura log refill")
	// ErrRestoring means that a restore into the folder hasn't come to its end.
	ErrRestoring = errors.New("a restore into this folder isn't finished; run the same azekura restore again")
	// ErrExists means that the folder holds one already.
	ErrExists = errors.New("an installation is here already")
)

// CreateOptions are the choices of azekura init.
type CreateOptions struct {
	Database string
	// Owner is the URL of the role that owns PostgreSQL's tables, where another
	// serves (db.Application). It is used now and kept nowhere.
	Owner      string
	Origin     string // empty: a random name under .invalid
	Operator   string // empty: a key pair is made, its identity in operator.key
	Incident   string // likewise, in incident.key
	MadeUp     bool
	DeviceKeys bool   // of a made-up one: elsewhere they are always demanded
	Passphrase []byte // for a root key in a file
	Recovery   string
	WorkFactor int
	Transit    *root.TransitConfig // instead of a file
	Budgets    []budget.Limit      // besides the defaults; they stand in the log's first event
}

func migrations() []db.Migration {
	return slices.Concat(auditlog.Migrations, keyring.Migrations, access.Migrations, register.Migrations, keyrotation.Migrations, cases.Migrations)
}

// Create makes an installation. The settings file is written last: without it
// there is no installation, and init can be run again on an emptied folder.
func Create(ctx context.Context, dir string, o CreateOptions) (Config, error) {
	c := Config{Version: 1, Created: time.Now().UTC().Truncate(time.Second), Database: o.Database, Origin: o.Origin, LogID: 1, Operator: o.Operator, Recovery: o.Recovery, Incident: o.Incident, MadeUp: o.MadeUp, DeviceKeys: !o.MadeUp || o.DeviceKeys}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return c, fmt.Errorf("make the folder: %w", err)
	}
	if _, err := os.Stat(filepath.Join(dir, configFile)); err == nil {
		return c, ErrExists
	}
	operatorKey, incidentKey, err := c.complete()
	if err != nil {
		return c, err
	}
	if o.Transit != nil && o.Recovery != "" {
		return c, errors.New("a recovery copy is of a root key in a file; a KMS keeps copies of its own")
	}
	if o.Transit != nil {
		c.Root = root.Config{Kind: root.KindTransit, Transit: o.Transit}
	} else {
		c.Root = root.Config{Kind: root.KindFile}
		if err := root.CreateFile(dir, root.FileOptions{Passphrase: o.Passphrase, Recovery: o.Recovery, WorkFactor: o.WorkFactor}); err != nil {
			return c, err
		}
	}
	wrapper, err := root.Open(ctx, dir, c.Root, func() ([]byte, error) { return slices.Clone(o.Passphrase), nil })
	if err != nil {
		return c, err
	}
	defer closeRoot(ctx, wrapper)
	if err := auditlog.CreateSigner(signerFolder(dir), c.Origin); err != nil {
		return c, fmt.Errorf("make the signer: %w", err)
	}
	if err := c.fill(ctx, dir, o, wrapper); err != nil {
		return c, err
	}
	if err := errors.Join(writeIdentity(dir, "operator.key", operatorKey), writeIdentity(dir, incidentFile, incidentKey)); err != nil {
		return c, err
	}
	return c, c.write(dir)
}

// closeRoot ends the root key's use; an error would only say that a token
// wasn't given back.
func closeRoot(ctx context.Context, w wrapping.Wrapper) { _ = root.Close(ctx, w) }

// complete fills in what wasn't chosen, and returns the identities that it made.
func (c *Config) complete() (operatorKey, incidentKey string, err error) {
	if c.Origin == "" {
		var name [8]byte
		_, _ = rand.Read(name[:])
		c.Origin = "azekura.invalid/" + hex.EncodeToString(name[:])
	}
	if operatorKey, err = recipientOrNew(&c.Operator, "operator"); err == nil {
		incidentKey, err = recipientOrNew(&c.Incident, "incident key")
	}
	return operatorKey, incidentKey, err
}

// fill makes the tables and the domain keys, and the log's first event.
func (c *Config) fill(ctx context.Context, dir string, o CreateOptions, wrapper wrapping.Wrapper) error {
	if o.Owner != "" {
		if err := Migrate(ctx, o.Owner); err != nil {
			return err
		}
	}
	d, err := db.Open(ctx, c.database(dir))
	if err != nil {
		return err
	}
	defer d.Close()
	if err := db.Migrate(ctx, d, c.Created, migrations()); err != nil {
		return err
	}
	var events int64
	if err := d.QueryRow(ctx, "SELECT count(*) FROM log_head", nil, &events); err != nil {
		return err
	}
	if events > 0 {
		return errors.New("the database holds an installation already; give init an empty one")
	}
	if err := keyring.Create(ctx, d, wrapper, c.Created); err != nil {
		return err
	}
	signer, err := auditlog.OpenSigner(signerFolder(dir))
	if err != nil {
		return err
	}
	defer signer.Close()
	log, err := auditlog.Open(ctx, d, auditlog.Options{ID: c.LogID, Signer: signer, Now: time.Now, Rand: rand.Reader})
	if err != nil {
		return err
	}
	first, err := json.Marshal(struct {
		Guards       string         `json:"guards"`
		Installation string         `json:"installation"`
		Limits       []budget.Limit `json:"limits,omitempty"`
		LogKey       string         `json:"log_key"`
	}{register.Guarded, c.Origin, o.Budgets, signer.VerifierKey()})
	if err == nil {
		_, err = log.RecordOne(ctx, auditlog.Event{Action: auditlog.System, Outcome: "ok", Purpose: "init", Detail: first})
	}
	return errors.Join(err, log.Close())
}

// Migrate brings the tables of a database to this version, as the role of the
// URL, and grants the application's role (db.Application) what it needs. That is
// for who serves as that role; who serves as the owner needs no call.
func Migrate(ctx context.Context, url string) error {
	d, err := db.Open(ctx, url)
	if err != nil {
		return err
	}
	defer d.Close()
	if err := db.Migrate(ctx, d, time.Now(), migrations()); err != nil {
		return err
	}
	if err := db.Grant(ctx, d, db.Grants(migrations())); err != nil {
		return err
	}
	return jobs.Migrate(ctx, d)
}

// open opens the database of an installation that there is. One without tables isn't
// filled with empty ones: no backup could be restored into it any more.
func (c *Config) open(ctx context.Context, dir string) (db.DB, error) {
	d, err := db.Open(ctx, c.database(dir))
	if err != nil {
		return nil, err
	}
	tables, err := db.Tables(ctx, d, d.Engine())
	if err == nil && len(tables) == 0 {
		err = ErrNoTables
	}
	if err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return d, nil
}

func (c *Config) database(dir string) string {
	if c.Database != "" {
		return c.Database
	}
	return filepath.Join(dir, "azekura.db")
}

func (c *Config) write(dir string) error {
	raw, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		return err
	}
	// The database's URL may hold a password.
	return slotfile.Replace(filepath.Join(dir, configFile), append(raw, '\n'))
}

// ReadConfig reads an installation's settings.
func ReadConfig(dir string) (Config, error) {
	// An empty one is of a restore that changed nothing.
	if mark, err := os.Stat(filepath.Join(dir, restoringFile)); err == nil && mark.Size() > 0 {
		return Config{}, ErrRestoring
	}
	return readConfig(dir)
}

func readConfig(dir string) (Config, error) {
	var c Config
	raw, err := os.ReadFile(filepath.Join(dir, configFile))
	if errors.Is(err, os.ErrNotExist) {
		return c, ErrNone
	}
	if err != nil {
		return c, err
	}
	if err := json.Unmarshal(raw, &c); err != nil {
		return c, fmt.Errorf("read %s: %w", configFile, err)
	}
	if c.Version != 1 {
		return c, fmt.Errorf("%s is of version %d; this program knows version 1", configFile, c.Version)
	}
	return c, nil
}

// Installation is an open one.
type Installation struct {
	Dir      string
	Config   Config
	DB       db.DB
	Ring     *keyring.Ring
	Signer   *auditlog.Signer
	Log      *auditlog.Log
	Access   *access.Directory
	Devices  *device.Authority
	Cases    *cases.Room
	Budgets  *budget.Book
	Policies *policy.InForce
	Register *register.Store
	Gate     *gate.Gate
	// Desk is where proposals wait for two people.
	Desk    *desk.Desk
	Rotator *keyrotation.Rotator
	// Witnesses asks those that cosign; nil where the settings name none.
	Witnesses *client.Client
	Jobs      *jobs.Runner
	// Trouble, when set before StartJobs, hears what went wrong in the background.
	Trouble func(error)

	atWork sync.Map // what a job is at, so that no second one is
	// scanning says how far leak scans are: their ids to bytes done and in all.
	scanning sync.Map
	told     keyrotation.History
	people   roll.Roll
	handed   handed
	// Outbox sends alarms, once SendAlarms is called.
	Outbox *alarms.Outbox
	named  named
	unsent error // why it can't; a server says so, and doesn't start

	settings sync.Mutex // of who changes azekura.json
	verified verifiedAt
	closers  []func() error
}

// Open opens an installation for this process alone. passphrase is asked only
// for a root key in a file.
func Open(ctx context.Context, dir string, passphrase func() ([]byte, error)) (*Installation, error) {
	i := &Installation{Dir: dir, named: named{}}
	err := i.open(ctx, passphrase)
	var rule freezeDue
	if errors.As(err, &rule) || errors.Is(err, auditlog.ErrFrozen) {
		if err = i.Close(); err == nil {
			err = goOn(ctx, dir, string(rule))
		}
		if err == nil {
			err = i.open(ctx, passphrase)
		}
	}
	if err != nil {
		return nil, errors.Join(err, i.Close())
	}
	// Scrypt takes 256 MiB for a moment; give them back.
	debug.FreeOSMemory()
	return i, nil
}

// Lead is Open once no other process has the installation open. passphrase is asked
// for at once, and tried, so that a takeover waits for nobody.
func Lead(ctx context.Context, dir string, passphrase func() ([]byte, error)) (*Installation, error) {
	config, err := ReadConfig(dir)
	if err != nil {
		return nil, err
	}
	asked := once(passphrase)
	defer func() { clear(asked.text) }()
	if w, err := root.Open(ctx, dir, config.Root, asked.get); err != nil {
		return nil, err
	} else if err := root.Close(ctx, w); err != nil {
		return nil, err
	}
	debug.FreeOSMemory()
	for {
		err := auditlog.AwaitSigner(ctx, signerFolder(dir))
		if errors.Is(err, os.ErrNotExist) { // it is being exchanged for the next log's
			time.Sleep(time.Second)
		} else if err != nil {
			return nil, err
		}
		i, err := Open(ctx, dir, asked.get)
		if !errors.Is(err, auditlog.ErrHeld) { // else another was quicker
			return i, err
		}
	}
}

func (i *Installation) open(ctx context.Context, passphrase func() ([]byte, error)) error {
	var err error
	if i.Config, err = ReadConfig(i.Dir); err != nil {
		return err
	}
	if i.Config.SignIn != nil {
		if err := i.Config.SignIn.Check(); err != nil {
			return fmt.Errorf("read %s: %w", configFile, err)
		}
	}
	if err := i.Config.settleFolders(i.Dir); err != nil {
		return err
	}
	// The signer's state is also what keeps a second process out.
	if i.Signer, err = auditlog.OpenSigner(signerFolder(i.Dir)); err != nil {
		return err
	}
	i.onClose(i.Signer.Close)
	keys := &rootKeys{inst: i, passphrase: once(passphrase)}
	defer keys.clear()
	if err := keys.open(ctx); err != nil {
		return err
	}
	if i.DB, err = i.Config.open(ctx, i.Dir); err != nil {
		return err
	}
	i.onClose(i.DB.Close)
	if err := db.Migrate(ctx, i.DB, time.Now(), migrations()); err != nil {
		return err
	}
	wrapper, err := keys.settle(ctx)
	if err != nil {
		return err
	}
	i.onClose(func() error {
		if i.Rotator != nil { // which may have another by then
			return i.Rotator.Close(context.WithoutCancel(ctx))
		}
		return root.Close(context.WithoutCancel(ctx), wrapper)
	})
	now, err := i.goBy()
	if err != nil {
		return err
	}
	if i.Log, err = auditlog.Open(ctx, i.DB, auditlog.Options{ID: i.Config.LogID, Signer: i.Signer, Now: now, Rand: rand.Reader}); err != nil {
		return err
	}
	i.onClose(i.Log.Close)
	if err := i.startCosigning(ctx); err != nil {
		return err
	}
	if err := i.settle(ctx); err != nil {
		return err
	}
	i.Access = access.New(i.Log, rand.Reader)
	i.Log.Heed(i.Access.Heed)
	i.Outbox, i.unsent = alarms.New(i.Dir, i.Config.Origin, i.Config.Alarms, i.Log.Authority)
	i.Log.Heed(i.Outbox.Heed)
	i.Policies = new(policy.InForce)
	i.Log.Heed(i.Policies.Heed)
	if err := i.startDevices(); err != nil {
		return err
	}
	i.Cases = cases.New(i.DB, i.Ring, i.Log, i.Access, rand.Reader)
	i.Register = register.Open(i.DB, i.Ring, i.Log)
	i.Desk = desk.New(i.Log, i.Config.Origin, &i.people)
	if err := i.Log.Authority(ctx, i.replay); err != nil {
		return fmt.Errorf("rebuild what was granted from the log: %w", err)
	}
	if err := settleApprovers(ctx, &i.people, i.Dir, &i.Config, i.Log, false); err != nil {
		return err
	}
	if err := i.Register.Guard(ctx); err != nil {
		return err
	}
	if err := i.appoint(ctx); err != nil {
		return err
	}
	if err := i.Cases.Load(ctx); err != nil {
		return err
	}
	i.keepCases()
	i.Gate = gate.New(i.DB, i.Ring, i.Log, i.Access, i.Cases, i.Policies, i.Register)
	i.Gate.LetOneDecide(i.oneDecides)
	i.onClose(func() error { i.Gate.Close(); return nil })
	if err := i.startRotator(ctx, keys, wrapper); err != nil {
		return err
	}
	i.watch()
	return nil
}

// TradeMemoryForTime lets the collector run a quarter as often as it would, at
// the price of a heap up to five times of what lives: a busy server's reads took
// a tenth less CPU by it. GOGC in the environment is heeded instead. A server
// wants it; a command that ends soon doesn't. What it returns takes it back.
func TradeMemoryForTime() (back func()) {
	if os.Getenv("GOGC") != "" {
		return func() {}
	}
	before := debug.SetGCPercent(400)
	return func() { debug.SetGCPercent(before) }
}

// replay hands an event of authority to those whose state it is.
func (i *Installation) replay(e auditlog.Event) error {
	return errors.Join(i.Access.Replay(e), i.Cases.Replay(e), i.Register.Replay(e), i.told.Replay(e), i.people.Replay(e), i.verified.Replay(e), i.Desk.Replay(e), i.named.Replay(e), i.Policies.Replay(e))
}

func (i *Installation) onClose(f func() error) { i.closers = append(i.closers, f) }

// Close closes what was opened, the last first.
func (i *Installation) Close() error {
	var errs []error
	for n := len(i.closers) - 1; n >= 0; n-- {
		errs = append(errs, i.closers[n]())
	}
	i.closers = nil
	return errors.Join(errs...)
}
