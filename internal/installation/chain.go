package installation

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"

	"azekura/approval"
	"azekura/auditlog"
	keyrotation "azekura/keyring/rotation"
)

// freeze ends a log and begins the next.
type freeze struct {
	Log  string `json:"log"`
	Next string `json:"next"`
	Why  string `json:"why"`
}

func (a freeze) words() string {
	return "The audit log " + a.Log + " ends, and goes on as " + a.Next + ".\n" +
		"Its last event says so; nothing is added to it any more. Its proofs stay good.\n" +
		"Reason: " + a.Why + "\n"
}

func (f *folder) freezing(why string) (freeze, error) {
	if why == "" || len(why) > 200 || strings.ContainsFunc(why, unicode.IsControl) {
		// A line of its own among the words could say what isn't so.
		return freeze{}, errors.New("say why the log is frozen, in one line of up to 200 bytes")
	}
	return freeze{Log: f.config.Origin, Next: auditlog.NextOrigin(f.config.Origin, f.config.LogID+1), Why: why}, nil
}

// ProposeFreeze makes the proposal to end the log and go on in the next.
func ProposeFreeze(ctx context.Context, dir, why, by string, life time.Duration) ([]byte, error) {
	return withFolder(ctx, dir, func(f *folder) ([]byte, error) {
		a, err := f.freezing(why)
		if err != nil {
			return nil, err
		}
		return f.propose(kindFreeze, a, by, life)
	})
}

// Freeze ends the log and begins the next, if two people approved it.
func Freeze(ctx context.Context, dir string, file []byte) (Config, error) {
	why, err := whyOf(file)
	if err != nil {
		return Config{}, err
	}
	return withFolder(ctx, dir, func(f *folder) (Config, error) {
		a, err := f.freezing(why)
		if err == nil {
			err = f.readApprovers(ctx)
		}
		if err != nil {
			return f.config, err
		}
		ok, err := approved(f, file, kindFreeze, approval.AnySize, a)
		if err != nil {
			return f.config, err
		}
		err = f.freeze(ctx, a, ok.Note())
		return f.config, err
	})
}

// whyOf reads the reason out of a proposal to freeze, which is all in it that the
// log doesn't know itself.
func whyOf(file []byte) (string, error) {
	p, _, err := approval.Read(file)
	if err != nil {
		return "", err
	}
	var a freeze
	if err := json.Unmarshal(p.Body, &a); err != nil || p.Kind != kindFreeze {
		return "", errors.New("that proposal isn't one to freeze a log")
	}
	return a.Why, nil
}

// frozenDetail is the last event's.
type frozenDetail struct {
	Next     string `json:"next"`
	NextKey  string `json:"next_key"`
	Why      string `json:"why"`
	Approval string `json:"approval,omitempty"` // empty where the settings decided it
}

func (f *folder) freeze(ctx context.Context, a freeze, note string) error {
	key, err := auditlog.PrepareNext(nextFolder(f.dir), a.Next, f.config.LogID+1)
	if err != nil {
		return err
	}
	if err := f.lead(ctx); err != nil {
		return err
	}
	if !f.log.Frozen() {
		// What its last day held is to be proved complete too.
		if _, err := f.log.LastDay(ctx); err != nil {
			return err
		}
		if err := f.handOver(ctx, a.Next, key, auditlog.PurposeFreeze, frozenDetail{a.Next, key, a.Why, note}); err != nil {
			return err
		}
	}
	return f.continueFrozen(ctx)
}

// continueFrozen begins the log after one whose last event is its freezing.
func (f *folder) continueFrozen(ctx context.Context) error {
	if err := f.lead(ctx); err != nil {
		return err
	}
	size, root := f.signer.Head()
	var last frozenDetail
	e, err := f.log.Event(ctx, size-1)
	if err == nil {
		err = json.Unmarshal(e.Detail, &last)
	}
	if err != nil {
		return fmt.Errorf("read the log's last event: %w", err)
	}
	key, err := auditlog.PrepareNext(nextFolder(f.dir), last.Next, f.config.LogID+1)
	if err != nil {
		return err
	}
	if key != last.NextKey {
		return fmt.Errorf("the log was frozen in favour of a log with another key than the one in %s; put that folder back", nextFolder(f.dir))
	}
	past := auditlog.Past{Kind: auditlog.Continue, LogID: f.config.LogID, Origin: f.config.Origin, Key: f.signer.VerifierKey(),
		Size: size, Root: root, Signed: size, Checkpoint: string(f.signer.Checkpoint()), Keys: f.signer.Keys()}
	return f.follow(ctx, past, auditlog.PurposeContinue, map[string]any{})
}

// loss is a new log after events that were signed are gone.
type loss struct {
	Log     string `json:"log"`
	Held    int64  `json:"held"`   // events in the database
	Root    string `json:"root"`   // of those
	Proven  int64  `json:"proven"` // of those, by what the signer knows
	Signed  int64  `json:"signed"`
	Unknown bool   `json:"unknown,omitempty"` // more may have been signed
	Next    string `json:"next"`
	// Keys are those that are stored, where what is left of the log tells of others:
	// they were changed in the lost stretch.
	Keys *keyrotation.Epochs `json:"keys,omitempty"`
}

func (a loss) words() string {
	lost := fmt.Sprintf("Events %d to %d of the audit log %s were signed, and are lost for good.\n", a.Held, a.Signed-1, a.Log)
	if a.Unknown {
		lost = fmt.Sprintf("Events of the audit log %s from %d on may have been signed, and are lost for good; nobody knows how many.\n", a.Log, a.Held)
	}
	proof := "They are what was signed.\n"
	if a.Proven < a.Held {
		proof = fmt.Sprintf("The first %d are what was signed; whether events %d to %d are, nothing here proves.\n", a.Proven, a.Proven, a.Held-1)
	}
	keys := ""
	if a.Keys != nil {
		keys = fmt.Sprintf("What is left doesn't tell of the keys that are stored: data keys %d, index keys %d. They count from then on; change both again.\n", a.Keys.Data, a.Keys.Index)
	}
	return lost + fmt.Sprintf("The database holds the %d before them, root %s.\n", a.Held, a.Root) + proof + keys +
		"A new log, " + a.Next + ", begins with an event that names the gap. Every session ends.\n" +
		"Whom the lost events opened can't be told any more: take for exposed whomever those sessions could reach.\n"
}

func (f *folder) lost(ctx context.Context) (loss, auditlog.Past, error) {
	held, root, err := auditlog.HeadOf(ctx, f.db, f.config.LogID)
	if err != nil {
		return loss{}, auditlog.Past{}, err
	}
	signed, _ := f.signer.Head()
	_, unconfirmed := f.signer.Restored()
	if held >= signed && !unconfirmed {
		return loss{}, auditlog.Past{}, fmt.Errorf("nothing is lost: %d events were signed, and the database holds %d", signed, held)
	}
	// What a backup held behind its signed head is there by the sequencer's word.
	if err := auditlog.CheckTail(ctx, f.db, f.config.LogID, f.signer); err != nil {
		return loss{}, auditlog.Past{}, err
	}
	proven, err := f.signer.Proven(held)
	if err != nil {
		return loss{}, auditlog.Past{}, err
	}
	keys, _, err := otherKeys(ctx, f.db)
	if err != nil {
		return loss{}, auditlog.Past{}, err
	}
	a := loss{Log: f.config.Origin, Held: held, Root: root.String(), Proven: proven, Signed: signed, Unknown: unconfirmed,
		Next: auditlog.NextOrigin(f.config.Origin, f.config.LogID+1), Keys: keys}
	return a, auditlog.Past{Kind: auditlog.GapKind, LogID: f.config.LogID, Origin: f.config.Origin, Key: f.signer.VerifierKey(), Size: held, Root: root,
		Signed: signed, Checkpoint: string(f.signer.Checkpoint()), Unknown: unconfirmed, Keys: f.signer.Keys()}, nil
}

// ProposeAfterLoss makes the proposal to go on in a new log without the events that
// are lost.
func ProposeAfterLoss(ctx context.Context, dir, by string, life time.Duration) ([]byte, error) {
	return withFolder(ctx, dir, func(f *folder) ([]byte, error) {
		a, past, err := f.lost(ctx)
		if err == nil { // so that the words are true
			err = auditlog.CheckHeld(ctx, f.db, past.LogID, past.Size, past.Root, f.signer)
		}
		if err != nil {
			return nil, err
		}
		return f.propose(kindAfterLoss, a, by, life)
	})
}

// AfterLoss begins a new log whose first event names the gap, if two people
// approved it. What the database holds of the old log must be whole.
func AfterLoss(ctx context.Context, dir string, file []byte, progress func(done, total int64)) (Config, error) {
	return withFolder(ctx, dir, func(f *folder) (Config, error) {
		a, past, err := f.lost(ctx)
		if err == nil {
			err = f.readHeld(ctx)
		}
		if err != nil {
			return f.config, err
		}
		ok, err := approved(f, file, kindAfterLoss, a.Signed, a)
		if err != nil {
			return f.config, err
		}
		report, err := auditlog.Verify(ctx, f.db, past.LogID, past.Size, past.Root, auditlog.VerifyOptions{Progress: progress})
		if err != nil {
			return f.config, err
		}
		if !report.OK {
			return f.config, fmt.Errorf("what the database holds of the log isn't whole either: %s; put back a better copy first", report.Problem)
		}
		// The root in past is the database's own word.
		if err := auditlog.CheckHeld(ctx, f.db, past.LogID, past.Size, past.Root, f.signer); err != nil {
			return f.config, err
		}
		// The settings first: whom the gap's event names is compared with them.
		f.config.Approvers = f.people.List()
		if err := f.config.write(dir); err != nil {
			return f.config, err
		}
		err = f.follow(ctx, past, auditlog.PurposeGap, map[string]any{"approval": ok.Note(), "approvers": f.config.Approvers, "keys": a.Keys})
		return f.config, err
	})
}

// rotate is a change of the signer's key.
type rotate struct {
	Log  string `json:"log"`
	Key  string `json:"key"`
	Next string `json:"next"`
}

func (a rotate) words() string {
	return "The audit log " + a.Log + " is signed by a new key from now on.\n" +
		"Until now: " + a.Key + "\n" + "From now on: " + a.Next + "\n" +
		"Tell the new key to the log's witnesses and to whoever checks it.\n"
}

// rotation is the detail of the event that changes the key.
type rotation struct {
	Key      string `json:"key"`
	Next     string `json:"next"`
	Approval string `json:"approval"`
}

func (f *folder) rotating() (rotate, error) {
	next, err := f.signer.NextKey()
	return rotate{Log: f.config.Origin, Key: f.signer.VerifierKey(), Next: next}, err
}

// ProposeRotate makes the signer's next key and the proposal to change to it.
func ProposeRotate(ctx context.Context, dir, by string, life time.Duration) ([]byte, error) {
	return withFolder(ctx, dir, func(f *folder) ([]byte, error) {
		a, err := f.rotating()
		if err != nil {
			return nil, err
		}
		return f.propose(kindRotate, a, by, life)
	})
}

// RotateSigner changes the signer's key, if two people approved it. The event that
// names the new key stands under the old one's last head. It returns the new key.
func RotateSigner(ctx context.Context, dir string, file []byte) (vkey string, err error) {
	return withFolder(ctx, dir, func(f *folder) (string, error) {
		a, err := f.rotating() // as it stands before lead finishes one that was cut off
		if err == nil {
			err = f.lead(ctx)
		}
		if err != nil {
			return "", err
		}
		ok, err := approved(f, file, kindRotate, approval.AnySize, a)
		if err != nil {
			return "", err
		}
		if f.signer.VerifierKey() == a.Next { // it was cut off behind its event, and is finished now
			return a.Next, nil
		}
		if err := f.signer.BeginRotation(); err != nil {
			return "", err
		}
		if err := f.handOver(ctx, a.Log, a.Next, auditlog.PurposeRotate, rotation{a.Key, a.Next, ok.Note()}); err != nil {
			return "", err
		}
		err = f.signer.AdoptKey(a.Next)
		return a.Next, err
	})
}

// withFolder runs f on an installation's folder that nobody else has open.
func withFolder[T any](ctx context.Context, dir string, f func(*folder) (T, error)) (out T, err error) {
	folder, err := openFolder(ctx, dir)
	if err != nil {
		return out, err
	}
	defer func() { err = errors.Join(err, folder.close()) }()
	return f(folder)
}
