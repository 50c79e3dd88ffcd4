package installation

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"azekura/auditlog"
	"azekura/gate"
	"azekura/keyring/root"
	"azekura/register/field"

	"filippo.io/age"
	"github.com/google/uuid"
)

// RehearseOptions say how to rehearse.
type RehearseOptions struct {
	Scratch    string // where the scratch folder is made; empty is the system's place
	Identity   []byte // the file of the age identity
	Passphrase func() ([]byte, error)
	Sample     int // how many participants are opened
	Rows       func(rows int64)
	Verifying  func(done, total int64)
}

// Rehearsal is what a rehearsal found.
type Rehearsal struct {
	Restored
	Opened      int64         `json:"opened"` // participants of the sample whose fields opened
	RestoreTook time.Duration `json:"restore_took"`
	OpenTook    time.Duration `json:"open_took"`
	ByRecovery  bool          `json:"by_recovery"` // the root key came out of its escrow
}

// Rehearse restores a backup into a scratch folder on SQLite, verifies its log,
// opens a sample of its participants inside, and removes the folder. No plaintext
// leaves it, and the log's own key signs nothing: the scratch installation goes on
// in a log of its own, under a key of its own.
func Rehearse(ctx context.Context, from io.Reader, o RehearseOptions) (_ Rehearsal, err error) {
	identities, err := age.ParseIdentities(bytes.NewReader(o.Identity))
	if err != nil {
		return Rehearsal{}, errors.New("the identity's file isn't one that age-keygen makes") // it may hold a key
	}
	scratch, err := os.MkdirTemp(o.Scratch, "azekura-rehearsal-")
	if err != nil {
		return Rehearsal{}, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(scratch)) }()
	dir := filepath.Join(scratch, "restored")
	start := time.Now()
	var done Rehearsal
	done.Restored, err = Restore(ctx, from, RestoreOptions{Dir: dir, Identities: identities, Rows: o.Rows, Verifying: o.Verifying})
	if err != nil {
		return done, err
	}
	done.RestoreTook = time.Since(start)
	start = time.Now()
	passphrase, err := done.detach(ctx, dir, o)
	if err != nil {
		return done, err
	}
	if done.Opened, err = openSample(ctx, dir, passphrase, o.Sample); err != nil {
		return done, err
	}
	done.OpenTook = time.Since(start)
	return done, nil
}

// detach makes a scratch installation that can do no harm: no settings but those
// that opening wants, a log of its own, and a passphrase of its own where the
// escrow opens.
func (d *Rehearsal) detach(ctx context.Context, dir string, o RehearseOptions) (func() ([]byte, error), error) {
	c, err := ReadConfig(dir)
	if err != nil {
		return nil, err
	}
	own := Config{Version: c.Version, Created: c.Created, Root: c.Root, Operator: c.Operator, LogID: c.LogID + 1,
		Origin: "rehearsal.invalid/" + randomName()}
	head := &d.Header
	past := auditlog.Past{Kind: auditlog.GapKind, LogID: head.LogID, Origin: head.Origin, Key: head.VKey, Size: d.Log.Size, Root: d.Log.Root,
		Signed: d.Log.Size, Checkpoint: string(head.Checkpoint), Unknown: true}
	if err := os.RemoveAll(filepath.Join(dir, signerDir)); err != nil {
		return nil, err
	}
	if _, err := auditlog.PrepareNext(filepath.Join(dir, signerDir), own.Origin, own.LogID); err != nil {
		return nil, err
	}
	if err := auditlog.CreateNext(filepath.Join(dir, signerDir), []auditlog.Past{past}); err != nil {
		return nil, err
	}
	passphrase := o.Passphrase
	scratch := []byte(rand.Text())
	if err := root.Recover(dir, bytes.NewReader(o.Identity), root.FileOptions{Passphrase: scratch, WorkFactor: 12}); err == nil {
		d.ByRecovery = true
		passphrase = func() ([]byte, error) { return bytes.Clone(scratch), nil }
	}
	return passphrase, own.write(dir)
}

func randomName() string {
	var raw [8]byte
	_, _ = rand.Read(raw[:]) // never fails: the program ends instead
	return hex.EncodeToString(raw[:])
}

// openSample opens some participants' fields through the gate, as any job does,
// and drops them.
func openSample(ctx context.Context, dir string, passphrase func() ([]byte, error), sample int) (opened int64, err error) {
	i, err := Open(ctx, dir, passphrase)
	if err != nil {
		return 0, fmt.Errorf("open what was restored: %w", err)
	}
	defer func() { err = errors.Join(err, i.Close()) }()
	name := "rehearsal-" + randomName()
	if _, err := i.Access.AddStaff(ctx, name, "supervisor", name); err != nil {
		return 0, err
	}
	if _, err := i.Access.AddDevice(ctx, name, name); err != nil {
		return 0, err
	}
	_, token, err := i.Access.OpenSession(ctx, name, name, time.Hour)
	if err != nil {
		return 0, err
	}
	session, err := i.Access.AtSocket(token)
	if err != nil {
		return 0, err
	}
	fields := field.SetOf(field.All()...)
	why := gate.Why{Purpose: "audit", Case: "rehearsal"}
	_, err = i.Gate.OpenSet(ctx, session, gate.SetRequest{Why: why, Job: "rehearsal", Fields: fields}, i.someMembers(ctx, fields, sample), func(o gate.Opened) error {
		if o.Values != nil {
			opened++
		}
		return nil
	})
	if errors.Is(err, errNobody) {
		return 0, nil
	}
	return opened, err
}

// errNobody means that the register is empty.
var errNobody = errors.New("nobody is in the register")

// someMembers are a few participants.
func (i *Installation) someMembers(ctx context.Context, fields field.Set, sample int) func(yield func(auditlog.Member, error) bool) {
	return func(yield func(auditlog.Member, error) bool) {
		given := 0
		enough := errors.New("enough")
		err := i.Register.EachID(ctx, func(ids []uuid.UUID, versions []int64) error {
			for n := 0; n < len(ids); n += max(1, len(ids)/max(1, sample)) {
				if given == sample || !yield(auditlog.Member{ID: ids[n], Fields: fields, Version: versions[n]}, nil) {
					return enough
				}
				given++
			}
			return nil
		})
		if given == 0 && err == nil {
			err = errNobody
		}
		if err != nil && !errors.Is(err, enough) {
			yield(auditlog.Member{}, err)
		}
	}
}

// RehearsalNote is what the log keeps of a rehearsal.
type RehearsalNote struct {
	Backup string `json:"backup" maxLength:"64"`
	Events int64  `json:"events"`
	Rows   int64  `json:"rows"`
	Opened int64  `json:"opened"`
	Millis int64  `json:"ms"`
}

// Note is what the log keeps.
func (r *Rehearsal) Note() RehearsalNote {
	return RehearsalNote{r.Header.ID, r.Log.Size, r.End.Rows, r.Opened, (r.RestoreTook + r.OpenTook).Milliseconds()}
}

// RecordRehearsal writes into the log that a backup was tried.
func (i *Installation) RecordRehearsal(ctx context.Context, note RehearsalNote) error {
	detail, err := json.Marshal(note)
	if err != nil {
		return err
	}
	_, err = i.Log.RecordOne(ctx, auditlog.Event{Action: auditlog.System, Outcome: "rehearsed", Purpose: "restore", Detail: detail})
	return err
}
