package installation

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"azekura/approval"
	"azekura/approval/roll"
	"azekura/auditlog"
	"azekura/internal/db"
	"azekura/internal/slotfile"
)

func signerFolder(dir string) string { return filepath.Join(dir, signerDir) }

// formerFolder is where the signer of a former log is kept.
func formerFolder(dir string, id int64) string { return fmt.Sprintf("%s.%d", signerFolder(dir), id) }

// nextFolder is where the signer of the next log is made.
func nextFolder(dir string) string { return filepath.Join(dir, signerDir+".next") }

// folder is an installation's log and what it stands on, without its keys: enough
// for what two people decide about the log, and closed to everybody else
// meanwhile by the signer's lock.
type folder struct {
	dir    string
	config Config
	signer *auditlog.Signer
	db     db.DB
	log    *auditlog.Log // nil until lead
	people *roll.Roll    // nil until lead, readApprovers or readHeld
}

func openFolder(ctx context.Context, dir string) (f *folder, err error) {
	f = &folder{dir: dir}
	if f.config, err = ReadConfig(dir); err != nil {
		return nil, err
	}
	if err := f.config.settleFolders(dir); err != nil {
		return nil, err
	}
	if f.signer, err = auditlog.OpenSigner(signerFolder(dir)); err != nil {
		return nil, err
	}
	if f.db, err = f.config.open(ctx, dir); err != nil {
		return nil, errors.Join(err, f.signer.Close())
	}
	return f, nil
}

// lead opens the log, unless it is open, and finishes what a command before this
// began in it.
func (f *folder) lead(ctx context.Context) (err error) {
	if f.log != nil {
		return nil
	}
	log, err := auditlog.Open(ctx, f.db, auditlog.Options{ID: f.config.LogID, Signer: f.signer, Now: time.Now, Rand: rand.Reader})
	if err != nil {
		return err
	}
	f.log, f.people = log, new(roll.Roll)
	restored, _ := f.signer.Restored()
	if err := readApprovers(ctx, f.people, f.dir, &f.config, f.log, restored); err != nil {
		return err
	}
	return settle(ctx, f.signer, f.log)
}

func (f *folder) close() error {
	var errs []error
	if f.log != nil {
		errs = append(errs, f.log.Close())
	}
	return errors.Join(append(errs, f.db.Close(), f.signer.Close())...)
}

// handOver records who goes on, for everybody to see, and in the same commit the
// act that makes it so.
func (f *folder) handOver(ctx context.Context, next, vkey, purpose string, detail any) error {
	shown, err := auditlog.Successor(f.signer.VerifierKey(), next, vkey)
	if err != nil {
		return err
	}
	why, err := actOf(purpose, detail)
	if err == nil {
		_, err = f.log.Record(ctx, auditlog.Entry{Events: []auditlog.Event{shown, why}})
	}
	return err
}

func recordAct(ctx context.Context, log *auditlog.Log, purpose string, detail any) error {
	_, err := recordEvent(ctx, log, purpose, detail)
	return err
}

func actOf(purpose string, detail any) (auditlog.Event, error) {
	raw, err := json.Marshal(detail)
	return auditlog.Event{Action: auditlog.System, Outcome: "ok", Purpose: purpose, Detail: raw}, err
}

// follow begins the next log with an event that says what came before, and puts
// its signer in the old one's place, which is kept as signer.N. Cut off anywhere,
// it is called again with the same.
func (f *folder) follow(ctx context.Context, past auditlog.Past, purpose string, detail map[string]any) error {
	next := nextFolder(f.dir)
	id := f.config.LogID + 1
	if _, err := auditlog.PrepareNext(next, auditlog.NextOrigin(f.config.Origin, id), id); err != nil {
		return err
	}
	if err := auditlog.CreateNext(next, append(f.signer.Past(), past)); err != nil {
		return err
	}
	if err := f.firstEvent(ctx, id, past, purpose, detail); err != nil {
		return err
	}
	old := formerFolder(f.dir, f.config.LogID)
	if err := os.Rename(signerFolder(f.dir), old); err != nil {
		return err
	}
	return f.config.settleFolders(f.dir)
}

func (f *folder) firstEvent(ctx context.Context, id int64, past auditlog.Past, purpose string, detail map[string]any) error {
	signer, err := auditlog.OpenSigner(nextFolder(f.dir))
	if err != nil {
		return err
	}
	defer signer.Close()
	log, err := auditlog.Open(ctx, f.db, auditlog.Options{ID: id, Signer: signer, Now: time.Now, Rand: rand.Reader})
	if err != nil {
		return err
	}
	if log.Committed() == 0 {
		detail["previous"] = past
		detail["log_key"] = signer.VerifierKey()
		err = recordAct(ctx, log, purpose, detail)
	}
	return errors.Join(err, log.Close())
}

// settleFolders finishes the exchange of a signer's folder for the next log's,
// where it was cut off, and lets the settings say which log is written.
func (c *Config) settleFolders(dir string) error {
	_, err := os.Stat(signerFolder(dir))
	if errors.Is(err, fs.ErrNotExist) {
		if _, err := os.Stat(filepath.Join(nextFolder(dir), "state")); err == nil {
			if err := os.Rename(nextFolder(dir), signerFolder(dir)); err != nil {
				return err
			}
			if err := slotfile.SyncDir(dir); err != nil {
				return err
			}
		}
	}
	id, origin, err := auditlog.Named(signerFolder(dir))
	if err != nil {
		return err
	}
	if id == 0 || id == c.LogID && origin == c.Origin {
		return nil
	}
	c.LogID, c.Origin = id, origin
	return c.write(dir)
}

// Heads of the acts that take two people.
const (
	kindAfterLoss = "after-loss"
	kindFreeze    = "freeze"
	kindRotate    = "rotate-signer"
	kindApprover  = "approver"
	kindStrike    = "approver-remove"
	kindConfirm   = "confirm-restore"
	kindRefill    = "refill"
)

// act is what two people decide on: its body, and the words made from it.
type act interface{ words() string }

// propose writes a proposal's file for an act as things stand now.
func (f *folder) propose(kind string, a act, by string, life time.Duration) ([]byte, error) {
	size, _ := f.signer.Head()
	p, err := approval.New(kind, f.config.Origin, size, by, a.words(), a, time.Now(), life)
	if err != nil {
		return nil, err
	}
	return p.Text(), nil
}

// approved checks a signed proposal against an act as things stand now. Who the
// approvers are must have been read.
func approved[A act](f *folder, file []byte, kind string, size int64, now A) (approval.Approved, error) {
	if f.people == nil {
		return approval.Approved{}, fmt.Errorf("%w: nothing says yet who the approvers are", approval.ErrNotApproved)
	}
	a, err := f.people.Check(file, time.Now())
	if err != nil {
		return approval.Approved{}, err
	}
	body := new(A)
	return a, a.For(kind, f.config.Origin, size, body, func() (string, error) {
		if (*body).words() != now.words() {
			return "", fmt.Errorf("%w: things have changed since it was proposed; make the proposal anew", approval.ErrNotApproved)
		}
		return now.words(), nil
	})
}
