package installation

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"azekura/approval"
	"azekura/auditlog"
	"azekura/internal/db"
	keyrotation "azekura/keyring/rotation"
	"azekura/register"
	"azekura/witness"
	"azekura/witness/client"

	"filippo.io/age"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// Refilled is what a refill did to a log.
type Refilled struct {
	Log     int64 `json:"log"`
	From    int64 `json:"from"`    // events that the database held
	To      int64 `json:"to"`      // and holds now
	Signed  int64 `json:"signed"`  // under the signer's head
	Missing int64 `json:"missing"` // signed, and not in the mirror either
	// Unvouched are the mirror's last events, left out: the log's own key signed them,
	// and neither the signer's head nor a quorum of witnesses stands behind them.
	Unvouched int64 `json:"unvouched"`
	// Recorded is the index of the event that says so, or -1: a log that still
	// lacks events takes none.
	Recorded int64 `json:"recorded"`
	// Changes are the changes of the register, by the log, that the database's
	// register doesn't hold.
	Changes []LostChange `json:"changes,omitempty"`
	// Formers are the logs before it that weren't whole either.
	Formers []Refilled `json:"formers,omitempty"`
}

// Lacks tells whether events that were signed are in the mirror neither.
func (r *Refilled) Lacks() bool {
	return r.Missing > 0 || slices.ContainsFunc(r.Formers, func(f Refilled) bool { return f.Missing > 0 })
}

// LostChange is an event of the log whose effect the register lacks.
type LostChange struct {
	Log    int64  `json:"log"`
	Event  int64  `json:"event"`
	Action string `json:"action"`
	What   string `json:"what"` // pseudonyms and numbers, no personal data
}

// Refill appends to an installation's log what its tables lack, from a mirror. It
// needs no root key. A stolen log key signs what it likes, so it goes as far as the
// signer's own head vouches, or a quorum of the installation's witnesses; further by
// two approvers' word alone, in a signed proposal's file. All of that is settled
// before anything is written; every line is held against its leaf hash.
func Refill(ctx context.Context, dir, from string, identities []age.Identity, file []byte, progress func(done, total int64)) (Refilled, error) {
	return refilling(ctx, dir, from, func(r *refill) (Refilled, error) {
		r.identities, r.progress = identities, progress
		if file != nil {
			if err := r.readHeld(ctx); err != nil {
				return Refilled{}, err
			}
			if _, err := approved(r.folder, file, kindRefill, approval.AnySize, r.unvouched()); err != nil {
				return Refilled{}, err
			}
			r.vouched = r.tree.Size()
		}
		formers, err := r.formers(ctx, from)
		if err != nil {
			return Refilled{Formers: formers}, err
		}
		return r.run(ctx, formers)
	})
}

// formers does the same for the logs that this one continues, as far as its signer
// knows them.
func (r *refill) formers(ctx context.Context, from string) (list []Refilled, err error) {
	for _, p := range r.signer.Past() {
		size, root, err := auditlog.HeadOf(ctx, r.db, p.LogID)
		if err == nil && size == p.Size && root == p.Root {
			continue
		}
		done, err := r.former(ctx, from, p)
		if err != nil {
			return list, fmt.Errorf("refill the former log %s: %w", p.Origin, err)
		}
		list = append(list, done)
	}
	return list, nil
}

func (r *refill) former(ctx context.Context, from string, p auditlog.Past) (out Refilled, err error) {
	f := *r.folder
	f.config.LogID, f.config.Origin = p.LogID, p.Origin
	if f.signer, err = auditlog.OpenSigner(formerFolder(f.dir, p.LogID)); err != nil {
		return out, err
	}
	defer func() { err = errors.Join(err, f.signer.Close()) }()
	of := &refill{folder: &f, identities: r.identities, progress: r.progress, past: &p}
	if err := of.begin(ctx, from); err != nil {
		return out, err
	}
	return of.append(ctx)
}

// ProposeRefill makes the proposal to refill to the mirror's end, whoever vouches.
func ProposeRefill(ctx context.Context, dir, from, by string, life time.Duration) ([]byte, error) {
	return refilling(ctx, dir, from, func(r *refill) ([]byte, error) {
		if r.vouched >= r.tree.Size() {
			return nil, errors.New("the signer's head or a quorum of witnesses vouches for all that the mirror holds; refill without a proposal")
		}
		return r.propose(kindRefill, r.unvouched(), by, life)
	})
}

// refilling opens an installation's folder and a mirror, and surveys them.
func refilling[R any](ctx context.Context, dir, from string, do func(*refill) (R, error)) (R, error) {
	return withFolder(ctx, dir, func(f *folder) (out R, err error) {
		if err := db.Migrate(ctx, f.db, time.Now(), migrations()); err != nil {
			return out, err
		}
		r := &refill{folder: f, imports: map[string]wrote{}}
		if err := r.begin(ctx, from); err != nil {
			return out, err
		}
		return do(r)
	})
}

// begin opens the mirror of a log and the log's tables, and surveys them.
func (r *refill) begin(ctx context.Context, from string) (err error) {
	if r.mirror, err = client.OpenMirror(from, r.config.Origin); err != nil {
		return err
	}
	if err := r.keys(); err != nil {
		return err
	}
	if r.refiller, err = auditlog.OpenRefill(ctx, r.db, r.config.LogID, r.signer); err != nil {
		return err
	}
	return r.survey(ctx)
}

// beyond are the events of a mirror that only the log's key stands behind.
type beyond struct {
	Log  string `json:"log"`
	From int64  `json:"from"`
	Size int64  `json:"size"`
	Root string `json:"root"`
}

func (a beyond) words() string {
	return fmt.Sprintf("The audit log %s is filled up from a mirror, to %d events under the root\n%s\n", a.Log, a.Size, a.Root) +
		fmt.Sprintf("Neither the signer's own head nor a quorum of witnesses vouches for the events from %d on. Whoever has the log's key\n", a.From) +
		"can have made them up. Have each witness's people tell you the head that they hold, before you sign.\n"
}

func (r *refill) unvouched() beyond {
	return beyond{r.config.Origin, r.vouched, r.tree.Size(), r.tree.Root().String()}
}

type refill struct {
	*folder
	identities []age.Identity
	progress   func(done, total int64)
	mirror     *client.Mirror
	logKeys    []note.Verifier
	witnesses  client.Settings
	refiller   *auditlog.Refiller
	chunks     []mirrored
	tree       witness.Tree // of all that the mirror holds
	vouched    int64        // as far as its events can be believed
	// past is the log's end, where it is a former one: what the log that goes on there
	// says of it.
	past    *auditlog.Past
	imports map[string]wrote
	lost    []LostChange
	gone    register.Lost // what of it no event of a refill names yet
	named   []int64       // imports that one names
	stored  *keyrotation.Epochs
}

// mirrored is where a chunk lies in the mirror.
type mirrored struct {
	from, to int64
	parts    int
	before   witness.Tree
}

func (r *refill) keys() error {
	vkeys := []string{r.signer.VerifierKey()}
	for _, earlier := range r.signer.Keys() {
		vkeys = append(vkeys, earlier.Key)
	}
	for _, vkey := range vkeys {
		key, err := note.NewVerifier(vkey)
		if err != nil {
			return fmt.Errorf("read the log's public key: %w", err)
		}
		r.logKeys = append(r.logKeys, key)
	}
	if w := r.config.Witnesses; w != nil && len(w.Witnesses) > 0 {
		r.witnesses = *w
		return w.Check()
	}
	return nil
}

// signed is the head to which the log's events count.
func (r *refill) signed() (int64, tlog.Hash) {
	if r.past != nil {
		return r.past.Size, r.past.Root
	}
	return r.signer.Head()
}

// append appends what is vouched for.
func (r *refill) append(ctx context.Context) (Refilled, error) {
	size, _ := r.refiller.Head()
	signed, _ := r.signed()
	out := Refilled{Log: r.config.LogID, From: size, To: max(size, r.vouched), Signed: signed, Missing: max(signed-max(size, r.vouched), 0),
		Unvouched: max(r.tree.Size()-max(size, r.vouched), 0), Recorded: -1}
	for _, c := range r.chunks {
		if min(c.to, r.vouched) <= max(size, c.from) {
			continue
		}
		if err := r.chunk(ctx, c); err != nil {
			return out, err
		}
		if r.progress != nil {
			r.progress(min(c.to, r.vouched), r.vouched)
		}
	}
	return out, nil
}

func (r *refill) run(ctx context.Context, formers []Refilled) (Refilled, error) {
	out, err := r.append(ctx)
	out.Formers = formers
	if err != nil {
		return out, err
	}
	if err := r.judge(ctx); err != nil {
		return out, err
	}
	out.Changes = r.lost
	changed := out.To > out.From || len(formers) > 0 || r.stored != nil || len(r.gone.Changes)+len(r.gone.Imports) > 0
	if _, unconfirmed := r.signer.Restored(); unconfirmed || out.Lacks() || !changed {
		return out, nil
	}
	out.Recorded, err = r.record(ctx, r.config.LogID, out)
	return out, err
}

// survey reads the mirror's leaf hashes from the first to the last, and compares
// with the database and with the signer at their sizes. Where it agrees with the
// signer's head, and where a quorum cosigned a head that its events lead to, they
// are vouched for to there.
func (r *refill) survey(ctx context.Context) error {
	size, root := r.refiller.Head()
	signed, signedRoot := r.signed()
	for {
		c, u, err := r.last(ctx, r.tree.Size())
		if errors.Is(err, client.ErrEnd) {
			if r.past != nil { // nothing follows its end, whoever cosigned
				r.vouched = min(r.vouched, signed)
			}
			return nil
		}
		if err != nil {
			return err
		}
		after, head, err := u.Led(r.tree, r.logKeys)
		if err != nil {
			return fmt.Errorf("the mirror's events %d to %d don't lead to a head that the log signed: %w", c.from, c.to-1, err)
		}
		if _, got, err := r.witnesses.Vouched(head); err != nil {
			return err
		} else if got >= r.witnesses.Quorum() { // which is 1 where none is named
			r.vouched = c.to
		}
		for _, head := range []struct {
			size int64
			root tlog.Hash
			of   string
		}{{size, root, "the database's"}, {signed, signedRoot, "those that were signed"}} {
			if head.size < c.from || head.size > c.to {
				continue
			}
			t, err := r.tree.Append(u.Leaves[:head.size-c.from])
			if err != nil {
				return err
			}
			if t.Root() != head.root {
				return fmt.Errorf("%w: the first %d events of the mirror aren't %s", auditlog.ErrSigner, head.size, head.of)
			}
		}
		if signed > c.from && signed <= c.to {
			r.vouched = max(r.vouched, signed)
		}
		c.before, r.tree = r.tree, after
		r.chunks = append(r.chunks, c)
	}
}

// last reads the upload that ends the chunk from an index on.
func (r *refill) last(ctx context.Context, from int64) (mirrored, witness.Upload, error) {
	u, signed, err := r.mirror.Upload(ctx, from, 0)
	if err == nil && !u.Last() {
		u, signed, err = r.mirror.Upload(ctx, from, u.Parts-1)
	}
	if err != nil {
		return mirrored{}, u, err
	}
	if err := witness.VerifyUpload(signed, r.logKeys); err != nil {
		return mirrored{}, u, fmt.Errorf("the mirror's events from %d on aren't what the log uploaded: %w", from, err)
	}
	return mirrored{from: u.From, to: u.To, parts: u.Parts}, u, nil
}

// chunk appends one chunk, as far as it is vouched for: the blocks of its sets, and
// then its lines, each held against its leaf hash.
func (r *refill) chunk(ctx context.Context, c mirrored) error {
	_, u, err := r.last(ctx, c.from)
	if err != nil {
		return err
	}
	if u.From != c.from || u.To != c.to {
		return fmt.Errorf("%w: the mirror gives other events than before", auditlog.ErrSigner)
	}
	end, err := c.before.Append(u.Leaves[:min(c.to, r.vouched)-c.from])
	if err != nil {
		return err
	}
	lines, err := r.lines(c, u)
	if err != nil {
		return err
	}
	lines = lines[:end.Size()-c.from]
	if err := r.blocks(ctx, c, lines); err != nil {
		return err
	}
	size, _ := r.refiller.Head()
	for lines = lines[size-c.from:]; len(lines) > 0; {
		n := min(len(lines), 2048)
		if err := r.refiller.Append(ctx, lines[:n]); err != nil {
			return err
		}
		lines = lines[n:]
	}
	if _, root := r.refiller.Head(); root != end.Root() {
		return fmt.Errorf("%w: the refilled log has another root than the mirror's leaf hashes", auditlog.ErrSigner)
	}
	return nil
}

func (r *refill) lines(c mirrored, u witness.Upload) ([][]byte, error) {
	var lines [][]byte
	err := client.EachRecord(u.Sealed, r.identities, func(rec client.Record) error {
		if rec.Line == nil || len(lines) == len(u.Leaves) || tlog.RecordHash(rec.Line) != u.Leaves[len(lines)] {
			return fmt.Errorf("%w: what the mirror gives for event %d isn't what was signed", auditlog.ErrSigner, c.from+int64(len(lines)))
		}
		lines = append(lines, rec.Line)
		return nil
	})
	if err == nil && len(lines) != len(u.Leaves) {
		err = fmt.Errorf("%w: the mirror lacks the line of event %d", auditlog.ErrSigner, c.from+int64(len(lines)))
	}
	return lines, err
}

// blocks adds the sealed blocks of the chunk's sets. What they hold is checked by
// log verify, against the root in the set's event: here they can't be opened.
func (r *refill) blocks(ctx context.Context, c mirrored, lines [][]byte) error {
	counts := map[int64]int64{} // members, by set
	for _, line := range lines {
		e, err := auditlog.ParseLine(line)
		if err != nil {
			return fmt.Errorf("%w: the mirror gives what no log writes", auditlog.ErrSigner)
		}
		if e.Set != nil {
			counts[e.Set.ID] = e.Set.Count
		}
	}
	for part := range c.parts - 1 {
		u, signed, err := r.mirror.Upload(ctx, c.from, part)
		if err == nil {
			err = witness.VerifyUpload(signed, r.logKeys)
		}
		if err != nil {
			return fmt.Errorf("read the mirror's sets from event %d on: %w", c.from, err)
		}
		if err := client.EachRecord(u.Sealed, r.identities, func(rec client.Record) error {
			left := counts[rec.Set] - rec.Block*auditlog.BlockMembers
			if counts[rec.Set] == 0 && c.to > r.vouched {
				return nil // of a set behind what is vouched for
			}
			if rec.Sealed == nil || rec.Block < 0 || left <= 0 {
				return fmt.Errorf("%w: the mirror holds a block of no set among events %d to %d", auditlog.ErrSigner, c.from, c.to-1)
			}
			return r.refiller.Blocks(ctx, rec.Set, rec.Block, [][]byte{rec.Sealed}, []int64{min(left, auditlog.BlockMembers)})
		}); err != nil {
			return err
		}
	}
	return nil
}

// namedAtOnce is how many lost changes an event names: a line has 64 KiB.
const namedAtOnce = 300

// record says in the log that it was refilled, and what the register has lost, in
// as many events as that takes. The guard goes by them: what isn't named there must
// be in its place.
func (r *refill) record(ctx context.Context, logID int64, out Refilled) (at int64, err error) {
	log, err := auditlog.Open(ctx, r.db, auditlog.Options{ID: logID, Signer: r.signer, Now: time.Now, Rand: rand.Reader})
	if err != nil {
		return -1, err
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	at = -1
	for at < 0 || len(r.gone.Changes)+len(r.gone.Imports) > 0 {
		n, m := min(namedAtOnce, len(r.gone.Changes)), min(namedAtOnce, len(r.gone.Imports))
		says := refillDetail{out.From, out.To, int64(len(out.Changes)), r.stored, register.Lost{Changes: r.gone.Changes[:n], Imports: r.gone.Imports[:m]}}
		r.gone.Changes, r.gone.Imports = r.gone.Changes[n:], r.gone.Imports[m:]
		detail, err := json.Marshal(says)
		if err != nil {
			return at, err
		}
		receipt, err := log.RecordOne(ctx, auditlog.Event{Action: auditlog.System, Outcome: "ok", Purpose: register.Refill, Detail: detail})
		if err != nil {
			return at, err
		}
		at = max(at, receipt.Index())
	}
	return at, nil
}

type refillDetail struct {
	From        int64 `json:"from"`
	To          int64 `json:"to"`
	LostChanges int64 `json:"lost_changes"`
	// Keys are those that are stored, where the log told of others.
	Keys *keyrotation.Epochs `json:"keys,omitempty"`
	register.Lost
}
