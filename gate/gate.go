// Package gate is the one way to plaintext. It has three doors: Read opens
// fields of one participant; Check answers yes or no to what a caller says;
// OpenSet opens a job's members. A search shows candidates masked, each mask an
// opening; a change may open, inside the gate, what its index forms need.
//
// Every door goes the same way: session, policy, one commit of the event, the
// receipt, and only then the envelope. It promises that nothing leaves unlogged:
// the opener wants the receipt. What a failure to log refuses, stays refused.
// decide asks for a live session of a role that may open, a purpose and a case; the
// case says whether it is a reason for that, and about whom (package cases); then the
// policies in force, if any were set, whether that may be now (package access/policy).
package gate

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"azekura/access"
	"azekura/access/policy"
	"azekura/auditlog"
	"azekura/cases"
	"azekura/gate/canary"
	"azekura/internal/db"
	"azekura/keyring"
	"azekura/keyring/opening"
	"azekura/register"
	"azekura/register/field"
	"azekura/register/value"

	"github.com/google/uuid"
)

var (
	// ErrDenied means that the policy refuses; the refusal is in the log.
	ErrDenied = errors.New("refused")
	// ErrInvalid means that the request isn't of the form it must have.
	ErrInvalid = errors.New("invalid request")
	// ErrTooMany means that a search finds more than may be shown.
	ErrTooMany = fmt.Errorf("more than %d participants match; say another thing of theirs: a number or a telephone number, with the birth", MaxCandidates)
)

// MaxCandidates bounds what one search shows.
const MaxCandidates = 5

// Purposes are why a record may be opened.
var Purposes = []string{"enquiry", "application", "change", "visit", "letter", "death", "review", "audit"}

// Gate opens. Its methods are safe for many callers.
type Gate struct {
	store  *register.Store
	log    *auditlog.Log
	access *access.Directory
	cases  *cases.Room
	opener opening.Opener
	db     db.DB
	ring   *keyring.Ring
	fetch  *fetcher
	// alone tells whether one person may decide what takes two; nil is never.
	alone func() bool

	canaries canary.Marks
	policies *policy.InForce
	typed    typed
	sought   sought
	slips    slips
}

// New puts the gate before a register.
func New(d db.DB, ring *keyring.Ring, log *auditlog.Log, dir *access.Directory, room *cases.Room, policies *policy.InForce, store *register.Store) *Gate {
	g := &Gate{store: store, log: log, access: dir, cases: room, opener: opening.New(ring), db: d, ring: ring, fetch: newFetcher(store),
		canaries: canary.New(ring), policies: policies,
		typed: typed{keep[[]word](mostTypists, typedFor)}, sought: sought{keep[soughtIn](mostSoughts, soughtFor)}, slips: newSlips()}
	store.DisplaceBy(g.displace)
	return g
}

// LetOneDecide has one person decide what takes two, for as long as alone says so:
// on made-up people, before two approvers are enrolled. Nobody else may.
func (g *Gate) LetOneDecide(alone func() bool) { g.alone = alone }

// Close waits for what is under way.
func (g *Gate) Close() { g.fetch.close() }

// Who names a participant: by id, or by the agency's own key.
type Who struct {
	Participant uuid.UUID
	Ref         string
}

// Why is the purpose, the case and the request that a door is opened for.
type Why struct {
	Purpose string
	Case    string
	Request string // the request's id, for who looks at logs
}

// ReadRequest asks for fields of one participant.
type ReadRequest struct {
	Who
	Why
	Fields field.Set
	// Version asks for the values as they stood in an earlier version of the
	// record; 0 is the newest.
	Version int64
	Touched access.Touched // for this reading, where they touched their key for it
}

// Answer is what a read released.
type Answer struct {
	Participant uuid.UUID
	Version     int64                  // the record's version that was read
	Values      map[field.Field]string // canonical text; an absent field isn't there
	Event       int64                  // the event's index in the audit log
}

// Read opens fields of one participant.
func (g *Gate) Read(ctx context.Context, s access.Session, r ReadRequest) (Answer, error) {
	event, on, err := g.decide(ctx, s, auditlog.Read, r.Fields, r.Why)
	if err != nil {
		return Answer{}, err
	}
	on.touch = r.Touched.For(access.ReadFields(r.Case, r.Fields))
	p, err := g.one(ctx, event, on, r.Who)
	if err != nil {
		return Answer{}, err
	}
	event.Detail = p.detail(markIf(on.touch, auditlog.ByTouch))
	version := r.Version
	if version == 0 {
		version = p.Latest()
	}
	if version < 1 || version > p.Latest() {
		if err := g.exists(ctx, event, p.Sealed, "none"); err != nil {
			return Answer{}, err
		}
		return Answer{}, fmt.Errorf("%w: the record has versions 1 to %d", ErrInvalid, p.Latest())
	}
	values, err := g.open(ctx, s, event, p, r.Fields, version)
	if err != nil {
		return Answer{}, err
	}
	a := Answer{Participant: p.Key.ID, Version: version, Values: make(map[field.Field]string, len(values.list)), Event: values.receipt.Index()}
	for _, v := range values.list {
		if v.Plain != "" {
			a.Values[v.Field] = v.Plain
		}
	}
	return a, nil
}

type opened struct {
	receipt auditlog.Receipt
	list    []opening.Value
}

// open records the event over the fields as they stood in a version, and opens
// them against its receipt. A field that was never set is named with version 0:
// that there is none is told too.
func (g *Gate) open(ctx context.Context, s access.Session, event auditlog.Event, p person, fields field.Set, version int64) (opened, error) {
	event.Participant, event.Known, event.Outcome = p.Key.ID, p.Known, "ok"
	o := opened{list: make([]opening.Value, 0, fields.Len())}
	event.Fields = make([]auditlog.FieldVersion, 0, fields.Len())
	for _, f := range fields.Fields() {
		set := p.At(f, version)
		event.Fields = append(event.Fields, auditlog.FieldVersion{Field: f, Version: set})
		if set == 0 {
			continue
		}
		sealed, err := p.Envelope(f, set)
		if err != nil {
			return opened{}, err
		}
		o.list = append(o.list, opening.Value{Field: f, Version: set, Sealed: sealed})
	}
	var err error
	if o.receipt, err = g.log.RecordOne(ctx, event); err != nil {
		return opened{}, err
	}
	// Between the decision and here the session may have been contained.
	if err := g.still(s, event, p.under); err != nil {
		return opened{}, err
	}
	if err := g.unseal(ctx, o.receipt, p.Key, o.list); err != nil {
		return opened{}, fmt.Errorf("open the record of event %d: %w", o.receipt.Index(), err)
	}
	if err := g.isMeant(ctx, o.receipt, p); err != nil {
		return opened{}, err
	}
	return o, nil
}

// unseal opens against a receipt.
func (g *Gate) unseal(ctx context.Context, receipt auditlog.Receipt, key keyring.DataKey, list []opening.Value) error {
	return g.withKey(ctx, key, func(key keyring.DataKey) error { return g.opener.Open(receipt, key, list) })
}

// withKey opens something under a data key. One that was wrapped anew since it was
// fetched is fetched once more: a receipt speaks of values, not of keys. And since
// the versions' rows carry MACs, what doesn't open then has another's data key.
func (g *Gate) withKey(ctx context.Context, key keyring.DataKey, open func(keyring.DataKey) error) error {
	err := open(key)
	if errors.Is(err, keyring.ErrEpoch) {
		found, ferr := g.store.FetchRows(ctx, []uuid.UUID{key.ID})
		if ferr != nil {
			return ferr
		}
		if p := found[key.ID]; p != nil {
			err = open(p.Key)
		}
	}
	if errors.Is(err, keyring.ErrOpen) {
		return errors.Join(err, g.store.Tampered(ctx, "keyring_participant", key.ID.String(), "the data key's row was altered, or is another's"))
	}
	return err
}

// person is a participant, the ref by which a request found them, or "", and the
// policies that let it.
type person struct {
	*register.Sealed
	by    string
	under *policy.Text
}

// detail is that of an opening's event: where a ref named them it counts as told that
// it is theirs, and what else is marked.
func (p person) detail(marks ...string) []byte {
	if p.by != "" {
		marks = append([]string{auditlog.ByRef}, marks...)
	}
	return marked(marks...)
}

// marked is a detail of marks, or nothing. An empty mark is none.
func marked(marks ...string) []byte {
	marks = slices.DeleteFunc(marks, func(m string) bool { return m == "" })
	if len(marks) == 0 {
		return nil
	}
	return []byte("{" + strings.Join(marks, ",") + "}")
}

// markIf is a mark where something is so.
func markIf(is bool, mark string) string {
	if is {
		return mark
	}
	return ""
}

// isMeant refuses a participant whom the index finds by a ref that was never
// theirs: an index row carries no MAC, and one that somebody redirected would show
// the caller another person, or change them.
func (g *Gate) isMeant(ctx context.Context, receipt auditlog.Receipt, p person) error {
	if p.by == "" {
		return nil
	}
	var refs []opening.Value
	for _, v := range p.Versions {
		if v.Fields.Has(field.Ref) {
			sealed, err := p.Envelope(field.Ref, v.No)
			if err != nil {
				return err
			}
			refs = append(refs, opening.Value{Field: field.Ref, Version: v.No, Sealed: sealed})
		}
	}
	theirs := false
	err := g.withKey(ctx, p.Key, func(key keyring.DataKey) (err error) {
		theirs, err = g.opener.Is(receipt, key, refs, p.by)
		return err
	})
	if err == nil && !theirs {
		err = g.store.Tampered(ctx, "register_index", p.Key.ID.String(), "an index row finds this participant by a ref that was never theirs")
	}
	return err
}

// one finds the participant that a request names, if its case lets it. A miss by ref
// is an event: it tells the asker that nobody has that ref.
func (g *Gate) one(ctx context.Context, event auditlog.Event, on ground, who Who) (person, error) {
	id, by := who.Participant, ""
	if id == (uuid.UUID{}) {
		form, err := value.QueryForm(value.KindRef, who.Ref, "", g.log.Now())
		if err != nil {
			return person{}, fmt.Errorf("%w: %w", ErrInvalid, err)
		}
		event.Detail = marked(auditlog.ByRef, markIf(g.typed.near(event.Staff, form, g.log.Now()), near))
		found, err := g.store.Find(ctx, form, 2)
		if err != nil {
			return person{}, err
		}
		if len(found) != 1 {
			// Who may ask for one participant alone isn't told who else there is.
			if err := g.about(ctx, event, on, uuid.UUID{}); err != nil {
				return person{}, err
			}
			return person{}, g.miss(ctx, event)
		}
		id, by = found[0], form.Text
	}
	if err := g.about(ctx, event, on, id); err != nil {
		return person{}, err
	}
	p, err := g.fetch.get(ctx, id)
	if err != nil {
		return person{}, err
	}
	if p == nil {
		if err := g.store.Missing(ctx, id, by != ""); err != nil {
			return person{}, err
		}
		return person{}, g.miss(ctx, event)
	}
	if p.Key.Wrapped == nil {
		if err := g.exists(ctx, event, p, "shredded"); err != nil {
			return person{}, err
		}
		return person{}, keyring.ErrShredded
	}
	return person{p, by, on.under}, nil
}

// exists records that a participant is, or was, in the register: the least that
// an answer about them tells.
func (g *Gate) exists(ctx context.Context, event auditlog.Event, p *register.Sealed, outcome string) error {
	event.Action, event.Outcome, event.Participant, event.Known = auditlog.Show, outcome, p.Key.ID, p.Known
	event.Fields = []auditlog.FieldVersion{{Field: field.Existence, Version: p.Latest()}}
	_, err := g.log.RecordOne(ctx, event)
	return err
}

func (g *Gate) miss(ctx context.Context, event auditlog.Event) error {
	event.Action, event.Outcome = auditlog.Search, "none"
	if event.Detail == nil {
		event.Detail = []byte(`{"by":"id"}`)
	}
	if _, err := g.log.RecordOne(ctx, event); err != nil {
		return err
	}
	return register.ErrNotFound
}

var caseCode = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._/-]{0,63}$`)

// openers are the roles that open records. The administrator isn't among them.
var openers = []string{"caseworker", "supervisor"}

// decide checks the request's form, asks the role and the case, and returns the
// event with who, on what and why filled in, and what the case said. Of one
// participant the policies are asked in about, once it is known whom. A refusal is
// recorded before it is told.
func (g *Gate) decide(ctx context.Context, s access.Session, action auditlog.Action, fields field.Set, why Why) (auditlog.Event, ground, error) {
	event, on, err := g.ask(ctx, s, action, fields, why)
	if err != nil {
		return auditlog.Event{}, ground{}, g.denied(ctx, event, err)
	}
	if action == auditlog.Set { // of nobody in particular
		err = g.permitted(ctx, event, on, uuid.UUID{})
	}
	return event, on, err
}

// ask does what comes before the policies. What the case refuses isn't recorded yet.
func (g *Gate) ask(ctx context.Context, s access.Session, action auditlog.Action, fields field.Set, why Why) (event auditlog.Event, on ground, err error) {
	if err := g.form(s, fields, why); err != nil {
		return event, on, err
	}
	event = s.Stamp(auditlog.Event{Action: action, Purpose: why.Purpose, Case: why.Case, Request: why.Request})
	if err := g.mayOpen(ctx, s, event); err != nil {
		return event, on, err
	}
	of, err := g.cases.Ask(s, why.Case, why.Purpose)
	if err == nil {
		err = suits(of, action)
	}
	return event, ground{Ground: of, under: g.policies.Now(), office: s.Office(), fields: fields}, err
}

// mayOpen asks for a touch where the session is on step-up, and for a role that opens.
func (g *Gate) mayOpen(ctx context.Context, s access.Session, event auditlog.Event) error {
	refuse := func(outcome string, why error) error {
		event.Outcome, event.Detail = outcome, []byte(`{"asked":"`+event.Action.String()+`"}`)
		event.Action = auditlog.Deny
		if _, err := g.log.RecordOne(ctx, event); err != nil {
			return err
		}
		return why
	}
	if err := g.access.MayOpen(s); err != nil {
		return refuse("touch", err)
	}
	if !slices.Contains(openers, s.Role()) {
		return refuse("role", fmt.Errorf("%w: the role %s opens no records", ErrDenied, s.Role()))
	}
	return nil
}

// form refuses a request that isn't of the form it must have, or comes without a live
// session.
func (g *Gate) form(s access.Session, fields field.Set, why Why) error {
	if !s.Live() {
		return access.ErrNoSession
	}
	if err := g.access.Still(s); err != nil {
		return err
	}
	if err := g.log.MayOpen(); err != nil {
		return err
	}
	if fields == 0 || !field.SetOf(field.All()...).Contains(fields) {
		return fmt.Errorf("%w: name one field or more of %s", ErrInvalid, field.SetOf(field.All()...))
	}
	if !slices.Contains(Purposes, why.Purpose) {
		return fmt.Errorf("%w: the purposes are %s", ErrInvalid, strings.Join(Purposes, ", "))
	}
	if !caseCode.MatchString(why.Case) {
		return fmt.Errorf("%w: a case is 1 to 64 letters, digits and . _ / -", ErrInvalid)
	}
	if len(why.Request) > 64 {
		return fmt.Errorf("%w: a request id has at most 64 characters", ErrInvalid)
	}
	return nil
}
