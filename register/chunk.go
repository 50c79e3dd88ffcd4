package register

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"

	"azekura/auditlog"
	"azekura/internal/db"
	"azekura/keyring"
	"azekura/register/field"
	"azekura/register/rowfile"
	"azekura/register/value"

	"github.com/google/uuid"
)

// incoming is one row of a chunk, judged and, if it is sound, sealed as a new
// participant: most are.
type incoming struct {
	no, from, to int64
	problems     []value.Problem
	steps        []step // the record's versions, oldest first
	content      []byte // what the digest is over
	ref, number  keyring.Token

	canary  bool
	beside  int  // of a canary: its neighbour's place in the chunk
	dropped bool // of a canary: it isn't planted

	id       uuid.UUID
	key      keyring.DataKey
	versions []Version
}

// step is one version as the file tells it: the fields it sets, some of them
// perhaps to nothing, and the index tokens of the record as it then stood.
type step struct {
	fields field.Set
	record value.Record
	award  string
	forms  []value.Form
	tokens []keyring.Token // of the forms, in the complete index
}

// maxFormer bounds the versions, and so the memory and the rows, that one row
// makes; nobody has had so many names and addresses.
const maxFormer = 100

// TooManyFormer refuses a row for them.
const TooManyFormer value.Reason = "more than 100 former names and addresses"

type chunk struct {
	keys     keyring.State // under which the rows were sealed and indexed
	rows     int64
	end      int64 // byte after the last row
	last     int64 // its number
	incoming []incoming
}

// prepare reads a chunk, puts canaries between its rows and seals it. Nothing is
// written yet.
func (s *Store) prepare(ctx context.Context, reader *rowfile.Reader, p *planter, o *ImportOptions) (*chunk, error) {
	c, err := s.readChunk(reader)
	if err != nil || o.DryRun {
		return c, err
	}
	if p != nil {
		if err := p.plant(ctx, c); err != nil {
			return nil, err
		}
	}
	if err := c.name(s, o); err != nil {
		return nil, err
	}
	for i := range c.incoming {
		if in := &c.incoming[i]; len(in.problems) == 0 {
			if err := in.seal(s.ring); err != nil {
				return nil, fmt.Errorf("seal row %d: %w", in.no, err)
			}
		}
	}
	return c, nil
}

func (s *Store) readChunk(reader *rowfile.Reader) (*chunk, error) {
	c := &chunk{incoming: make([]incoming, 0, chunkRows), keys: s.ring.State()}
	var row rowfile.Row
	for len(c.incoming) < chunkRows {
		err := reader.Next(&row)
		if errors.Is(err, io.EOF) {
			return c, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read row %d: %w", c.last+1, err)
		}
		in := incoming{no: row.N, from: row.Start, to: row.End, problems: row.Bad}
		c.rows, c.end, c.last = c.rows+1, row.End, row.N
		if len(in.problems) == 0 {
			in.judge(&row, s)
		} else {
			in.problems = append([]value.Problem(nil), in.problems...)
		}
		c.incoming = append(c.incoming, in)
	}
	return c, nil
}

// judge turns a row into versions and index tokens, or into problems.
func (in *incoming) judge(row *rowfile.Row, s *Store) {
	record, award, problems := value.Parse(row.Raw, s.log.Now())
	if in.problems = problems; len(problems) > 0 {
		return
	}
	if in.steps, in.problems = steps(record, row.Former); len(in.problems) > 0 {
		return
	}
	if award.Kind != "" {
		in.steps[0].award = award.Kind + "\t" + strconv.FormatInt(award.AnnualYen, 10)
	}
	for i := range in.steps {
		st := &in.steps[i]
		in.content = append(st.append(in.content), st.award...)
		st.forms = value.IndexForms(&st.record)
	}
	in.index(s.ring.Indexes()[0])
}

// index makes the row's tokens in an index.
func (in *incoming) index(x *keyring.Index) {
	for i := range in.steps {
		st := &in.steps[i]
		st.tokens = st.tokens[:0]
		for _, form := range st.forms {
			t := token(x, form)
			st.tokens = append(st.tokens, t)
			switch form.Kind {
			case value.KindRef:
				in.ref = t
			case value.KindNumber:
				in.number = t
			}
		}
	}
}

// renew prepares a chunk again if a key was changed since: nothing may be written
// under one that is on its way out. Its caller has the turn, without which no
// key is changed.
func (c *chunk) renew(s *Store, dryRun bool) error {
	now := s.ring.State()
	if c.keys == now {
		return nil
	}
	for i := range c.incoming {
		in := &c.incoming[i]
		if len(in.problems) > 0 {
			continue
		}
		if c.keys.Index != now.Index {
			in.index(s.ring.Indexes()[0])
		}
		if c.keys.Data != now.Data && !dryRun {
			if err := in.seal(s.ring); err != nil {
				return fmt.Errorf("seal row %d: %w", in.no, err)
			}
		}
	}
	c.keys = now
	return nil
}

// steps are a row's versions: the state before the first former name or address
// was given up, and from there what each later state changed. A former entry
// names what it knows of; the rest was then as it was later.
func steps(current value.Record, former []value.RawFormer) ([]step, []value.Problem) {
	if len(former) > maxFormer {
		return nil, []value.Problem{{Column: "former", Reason: TooManyFormer}}
	}
	states := make([]value.Record, len(former)+1)
	states[len(former)] = current
	for i := len(former) - 1; i >= 0; i-- {
		record, problems := value.ParseFormer(former[i])
		if len(problems) > 0 {
			return nil, problems
		}
		states[i] = states[i+1]
		for _, f := range record.Fields().Fields() {
			if err := states[i].Set(f, record.Get(f)); err != nil { // it was parsed just now
				return nil, []value.Problem{{Column: "former." + f.String(), Reason: value.NotCanonical}}
			}
		}
	}
	list := []step{{fields: states[0].Fields(), record: states[0]}}
	for i := 1; i < len(states); i++ {
		// What the earlier state alone has was given up: it is set to nothing.
		var changed field.Set
		for _, f := range (states[i].Fields() | states[i-1].Fields()).Fields() {
			if states[i].Get(f) != states[i-1].Get(f) {
				changed |= field.SetOf(f)
			}
		}
		if changed != 0 {
			list = append(list, step{fields: changed, record: states[i]})
		}
	}
	return list, nil
}

// append writes the fields that the step sets, each with its number and length.
func (st *step) append(b []byte) []byte {
	for _, f := range st.fields.Fields() {
		text := st.record.Get(f)
		b = append(b, byte(f), byte(len(text)>>8), byte(len(text)))
		b = append(b, text...)
	}
	return b
}

// seal makes a participant of the row.
func (in *incoming) seal(ring *keyring.Ring) error {
	var err error
	var sealing keyring.Sealing
	if in.key, sealing, err = ring.NewParticipant(in.id); err != nil {
		return err
	}
	in.versions, err = in.pack(sealing, 1)
	return err
}

// pack seals the row's versions, numbered from first. What a former state held
// stays its own version, so that an exposure can say which value was seen.
func (in *incoming) pack(sealing keyring.Sealing, first int64) ([]Version, error) {
	versions := make([]Version, 0, len(in.steps))
	for i := range in.steps {
		st := &in.steps[i]
		v := Version{No: first + int64(i), Fields: st.fields, Packed: make([]byte, 0, 640)}
		var err error
		for _, f := range (st.fields &^ field.SetOf(field.Award)).Fields() {
			if v.Packed, err = sealing.Append(v.Packed, f, v.No, st.record.Get(f)); err != nil {
				return nil, err
			}
		}
		if st.award != "" || st.fields.Has(field.Award) {
			v.Fields |= field.SetOf(field.Award)
			if v.Packed, err = sealing.Append(v.Packed, field.Award, v.No, st.award); err != nil {
				return nil, err
			}
		}
		versions = append(versions, v)
	}
	return versions, nil
}

// write judges a chunk against the register and commits what comes of it.
func (w *importer) write(ctx context.Context, c *chunk) error {
	// What a chunk finds of refs and numbers must still hold when it commits.
	known, err := w.begin(ctx, c)
	if err != nil {
		return err
	}
	defer w.store.turn.give()
	w.keep(c, known)
	next := w.at
	next.Done, next.Rows = c.end, c.last
	var out rows
	fresh := true
	id, err := w.store.log.NewSetID()
	if err != nil {
		return err
	}
	set := auditlog.NewSet(id, "import "+w.at.Name, false, w.store.ring.SealMembers)
	var rejects []incoming
	for i := range c.incoming {
		in := &c.incoming[i]
		if len(in.problems) == 0 {
			in.problems = w.clash(in, known)
		}
		if in.canary {
			if !in.dropped && len(in.problems) == 0 {
				known.add(in)
				w.create(in, &out, set)
			}
			continue
		}
		switch old := known.by(in); {
		case len(in.problems) > 0:
			next.Rejected++
			rejects = append(rejects, *in)
		case old == nil:
			next.Created++
			known.add(in)
			w.accept(in)
			if !w.options.DryRun {
				w.create(in, &out, set)
			}
		case w.store.ring.Digest(old.id, in.content) == old.digest:
			next.Unchanged++
			known.spoke(old, in)
			w.accept(in)
			out.addUnchanged(w.at.ID, w.mark(in, field.Ref))
		default:
			next.Updated++
			fresh = false
			known.spoke(old, in)
			w.accept(in)
			if !w.options.DryRun {
				if err := w.update(ctx, in, old, &out, set); err != nil {
					return fmt.Errorf("row %d: %w", in.no, err)
				}
			}
		}
	}
	if w.options.DryRun {
		next.sample(rejects)
	} else {
		if err := w.commit(ctx, next, &out, fresh, set, rejects); err != nil {
			return err
		}
	}
	w.at = next
	return nil
}

// begin takes the turn and looks the chunk's refs and numbers up. Canaries that are
// in the way go first.
func (w *importer) begin(ctx context.Context, c *chunk) (*known, error) {
	for {
		if err := w.store.turn.take(ctx); err != nil {
			return nil, err
		}
		var known *known
		err := c.renew(w.store, w.options.DryRun)
		if err == nil {
			known, err = w.known(ctx, c)
		}
		var away []uuid.UUID
		if err == nil {
			away = w.displaced(c, known)
		}
		if err == nil && len(away) == 0 {
			return known, nil
		}
		w.store.turn.give()
		if err == nil {
			err = w.store.displace(ctx, away)
		}
		if err != nil {
			return nil, err
		}
	}
}

// accept notes a row's ref and number in a dry run, which has no table to look
// in for those of earlier chunks.
func (w *importer) accept(in *incoming) {
	if w.options.DryRun {
		w.seen[w.mark(in, field.Ref)], w.seen[w.mark(in, field.Number)] = true, true
	}
}

func (w *importer) create(in *incoming, out *rows, set *auditlog.SetWriter) {
	out.addKey(in.key)
	w.add(in, in.id, in.steps, in.versions, out, set)
}

// update gives a known participant the row's state as new versions.
func (w *importer) update(ctx context.Context, in *incoming, old *knownRow, out *rows, set *auditlog.SetWriter) error {
	found, err := w.store.FetchRows(ctx, []uuid.UUID{old.id})
	if err != nil {
		return err
	}
	p := found[old.id]
	if p == nil || p.Key.Wrapped == nil {
		return keyring.ErrShredded
	}
	sealing, err := w.store.ring.Participant(p.Key)
	if err != nil {
		return err
	}
	list, err := w.news(ctx, in, p)
	if err != nil {
		return err
	}
	changed := incoming{steps: list}
	versions, err := changed.pack(sealing, p.Latest()+1)
	if err != nil {
		return err
	}
	w.add(in, old.id, list, versions, out, set)
	return nil
}

// news is what an update writes: the row's current state, and before it those
// former states by which nobody can be found yet. Each sets all its fields, and
// the current one also clears what the file says is no more.
func (w *importer) news(ctx context.Context, in *incoming, p *Sealed) ([]step, error) {
	last := in.steps[len(in.steps)-1]
	var list []step
	if former := in.steps[:len(in.steps)-1]; len(former) > 0 {
		indexed, err := w.store.indexed(ctx, p.Key.ID, in.steps)
		if err != nil {
			return nil, err
		}
		for _, token := range last.tokens {
			indexed[token] = true
		}
		for _, st := range former {
			if slices.ContainsFunc(st.tokens, func(t keyring.Token) bool { return !indexed[t] }) {
				list = append(list, step{fields: st.record.Fields(), record: st.record, forms: st.forms, tokens: st.tokens})
			}
		}
	}
	last.fields, last.award = last.record.Fields(), in.steps[0].award
	for _, f := range (w.told &^ last.fields).Fields() {
		if (f != field.Award || last.award == "") && p.At(f, p.Latest()) != 0 {
			last.fields |= field.SetOf(f)
		}
	}
	return append(list, last), nil
}

// indexed are those of the steps' tokens that find a participant already.
func (s *Store) indexed(ctx context.Context, id uuid.UUID, list []step) (map[keyring.Token]bool, error) {
	var tokens [][]byte
	for i := range list {
		for j := range list[i].tokens {
			tokens = append(tokens, list[i].tokens[j][:])
		}
	}
	found := map[keyring.Token]bool{}
	err := s.eachToken(ctx, tokens, func(t keyring.Token, of uuid.UUID) {
		if of == id {
			found[t] = true
		}
	})
	return found, err
}

func (w *importer) add(in *incoming, id uuid.UUID, list []step, versions []Version, out *rows, set *auditlog.SetWriter) {
	var fields field.Set
	for i, v := range versions {
		v.Job = w.at.ID
		if i == len(versions)-1 {
			d := w.store.ring.Digest(id, in.content)
			v.Digest = d[:]
		}
		out.addVersion(id, v, w.store.mac(id, &v))
		fields |= v.Fields
	}
	indexes := w.store.ring.Indexes()
	for i := range list {
		for _, token := range list[i].tokens {
			out.addToken(indexes[0].Epoch(), token, id)
		}
		out.addForms(indexes[1:], id, list[i].forms)
	}
	set.Add(auditlog.Member{ID: id, Fields: fields, Version: versions[len(versions)-1].No})
}

// maxSample bounds the rejected rows that a dry run names.
const maxSample = 100

func (i *Import) sample(rejects []incoming) {
	for _, in := range rejects {
		for _, p := range in.problems {
			if len(i.Rejects) < maxSample {
				i.Rejects = append(i.Rejects, Reject{Row: in.no, Column: p.Column, Reason: string(p.Reason), From: in.from, To: in.to})
			}
		}
	}
}

// commit writes the chunk, its set event and the import's new place at once.
func (w *importer) commit(ctx context.Context, next Import, out *rows, fresh bool, set *auditlog.SetWriter, rejects []incoming) error {
	tx, err := w.store.db.Begin(ctx)
	if err != nil {
		return err
	}
	err = w.place(ctx, tx, next)
	if err == nil {
		err = out.insert(ctx, tx, fresh)
	}
	if err == nil {
		err = insertRejects(ctx, tx, w.at.ID, rejects)
	}
	if err == nil && set.Info.Count > 0 {
		err = set.Finish(ctx, tx, w.store.log.ID())
	}
	if err != nil {
		tx.Rollback()
		return fmt.Errorf("write rows %d to %d: %w", w.at.Rows+1, next.Rows, err)
	}
	if set.Info.Count == 0 {
		return tx.Commit(ctx)
	}
	event := auditlog.Event{Action: auditlog.Set, Outcome: "ok", Purpose: "import", Set: &set.Info}
	// Once begun, a chunk is seen through: its transaction is the log's now.
	_, err = w.store.log.Record(context.WithoutCancel(ctx), auditlog.Entry{Events: []auditlog.Event{event}, Set: set, Tx: tx})
	return err
}

// place moves the import on, from where this run thinks it is: a second run
// beside it changes no row and stops.
func (w *importer) place(ctx context.Context, tx db.Tx, next Import) error {
	n, err := tx.Exec(ctx, `UPDATE register_import SET at_byte = $1, at_row = $2, created = $3, updated = $4, unchanged = $5, rejected = $6, failure = '', density = $7, mac = $8
		WHERE import_id = $9 AND at_row = $10 AND finished_us = 0`,
		next.Done, next.Rows, next.Created, next.Updated, next.Unchanged, next.Rejected, next.density, w.store.importMAC(&next), next.ID, w.at.Rows)
	if err == nil && n != 1 {
		err = errors.New("another run of the same import is at work; wait for it")
	}
	return err
}

var insertReject = &db.Insert{Table: "register_reject",
	Columns: []string{"import_id", "row_no", "column_name", "reason", "from_byte", "to_byte"}, Suffix: "ON CONFLICT DO NOTHING"}

func insertRejects(ctx context.Context, tx db.Tx, id int64, rejects []incoming) error {
	var ids, nos, from, to []int64
	var columns, reasons []string
	for _, in := range rejects {
		for _, p := range in.problems {
			ids, nos = append(ids, id), append(nos, in.no)
			columns, reasons = append(columns, p.Column), append(reasons, string(p.Reason))
			from, to = append(from, in.from), append(to, in.to)
		}
	}
	if len(ids) == 0 {
		return nil
	}
	return tx.Insert(ctx, insertReject, ids, nos, columns, reasons, from, to)
}
