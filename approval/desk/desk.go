// Package desk is where proposals wait on a running server: one person's, signed,
// for another's consent, and both for the act.
//
// It promises that what it calls approved was signed by two enrolled approvers
// over the same bytes, and brought here by two staff members from two devices,
// each in a session of their own; and that it is used once. There is no table: a
// proposal, the consent and what ended it are events of the log that hold the
// signed file whole, and the event of an act that was approved holds it too. That
// event is what uses the approval up, in the commit of the act itself. So a
// database's administrator has no row to put back, and a restart knows what was
// used. When an approver is struck off, what they signed and isn't done yet is void.
//
// It doesn't know whether two staff members are two people, nor whether who brings
// a signature made it; who enrols approvers and opens sessions must see to that.
package desk

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"azekura/approval"
	"azekura/approval/roll"
	"azekura/auditlog"
)

// Purpose is that of the events of a proposal's steps.
const Purpose = "approval"

// MaxOpen bounds how many proposals wait at one time.
const MaxOpen = 64

var (
	// ErrNotFound means that no proposal has that id.
	ErrNotFound = errors.New("no such proposal; azekura proposal list shows them")
	// ErrRefused means that a step isn't one that may follow, or not by who asks.
	ErrRefused = errors.New("the proposal doesn't take this")
)

// The states of a proposal.
const (
	Proposed  = "proposed"
	Consented = "consented"
	Withdrawn = "withdrawn"
	Refused   = "refused"
	Used      = "used"
	Expired   = "expired"
	Void      = "void" // who signed it was struck off
)

// Item is a proposal as it stands.
type Item struct {
	ID      string    `json:"id"`
	Kind    string    `json:"kind"`
	State   string    `json:"state" enum:"proposed,consented,withdrawn,refused,used,expired,void"`
	Made    time.Time `json:"made"`
	Expires time.Time `json:"expires"`
	Words   string    `json:"words" doc:"what is proposed, in English and in Japanese, as it is signed"`
	Signed  []string  `json:"signed" doc:"the approvers whose signatures it bears"`
	Staff   string    `json:"staff" doc:"who brought the proposal"`
	Device  string    `json:"device" doc:"from which device"`
	Second  string    `json:"second,omitempty" doc:"who brought the consent"`
	Event   int64     `json:"event" doc:"index of its last event in the audit log"`
	File    string    `json:"file" doc:"the signed file"`
}

// step is the detail of a step's event.
type step struct {
	Step     string `json:"step"`
	Proposal string `json:"proposal"`
	File     string `json:"file,omitempty"`
}

// Desk holds the proposals as the log has them.
type Desk struct {
	log    *auditlog.Log
	origin string
	roll   *roll.Roll

	steps sync.Mutex // one step at a time; an act holds its proposal, not this
	mu    sync.Mutex
	items map[string]*Item
	used  map[string]int64 // of what index the event is that used it
	held  map[string]bool  // an act is under way with it, or its outcome isn't known
}

// New makes a desk that knows no proposals until the log is replayed into it.
// The approvers are those of the roll, which is replayed beside it.
func New(log *auditlog.Log, origin string, approvers *roll.Roll) *Desk {
	return &Desk{log: log, origin: origin, roll: approvers, items: map[string]*Item{}, used: map[string]int64{}, held: map[string]bool{}}
}

// Replay takes an event of authority in.
func (d *Desk) Replay(e auditlog.Event) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if id := usedBy(e); id != "" {
		d.use(id, e.Index)
	}
	switch {
	case e.Action != auditlog.System || e.Outcome != "ok":
	case e.Purpose == roll.Removed:
		return d.void(e)
	case e.Purpose == Purpose:
		return d.replayStep(e)
	}
	return nil
}

// void ends for good what waits under the signature of who is struck off: if they
// were enrolled again it would count again. mu is held.
func (d *Desk) void(e auditlog.Event) error {
	var gone struct {
		Approver string `json:"approver"`
	}
	err := json.Unmarshal(e.Detail, &gone)
	name := ""
	if err == nil {
		name, err = approval.Name(gone.Approver)
	}
	if err != nil {
		return fmt.Errorf("read who was struck off by event %d: %w", e.Index, err)
	}
	for _, item := range d.items {
		if (item.State == Proposed || item.State == Consented) && slices.Contains(item.Signed, name) {
			item.State, item.Event = Void, e.Index
		}
	}
	return nil
}

// usedBy is the proposal that an act's event was approved by.
func usedBy(e auditlog.Event) string {
	if !bytes.Contains(e.Detail, []byte(`"approval":"`)) { // most events; sessions are many
		return ""
	}
	var by struct {
		Approval string `json:"approval"`
		Extra    struct {
			Approval string `json:"approval"`
		} `json:"extra"` // of a surge
	}
	if json.Unmarshal(e.Detail, &by) != nil {
		return ""
	}
	p, _, err := approval.Read([]byte(cmp.Or(by.Approval, by.Extra.Approval)))
	if err != nil {
		return ""
	}
	return p.Nonce
}

func (d *Desk) use(id string, index int64) {
	d.used[id] = index
	if item := d.items[id]; item != nil {
		item.State, item.Event = Used, index
	}
}

func (d *Desk) replayStep(e auditlog.Event) error {
	var s step
	if err := json.Unmarshal(e.Detail, &s); err != nil {
		return fmt.Errorf("read a proposal's step: %w", err)
	}
	item := d.items[s.Proposal]
	switch s.Step {
	case Proposed:
		p, _, err := approval.Read([]byte(s.File))
		if err != nil {
			return fmt.Errorf("read a proposal: %w", err)
		}
		signed := signers(s.File)
		item = &Item{ID: p.Nonce, Kind: p.Kind, Made: p.Made, Expires: p.Expires, Words: p.Words, Signed: signed, Staff: e.Staff, Device: e.Device, File: s.File}
		d.items[p.Nonce] = item
	case Consented, Withdrawn, Refused:
		if item == nil {
			return nil // it expired long ago
		}
		if s.Step == Consented {
			item.File, item.Second, item.Signed = s.File, e.Staff, signers(s.File)
		}
	default:
		return errors.New("a proposal took a step that this program doesn't know of; a newer version wrote it")
	}
	item.State, item.Event = s.Step, e.Index
	d.sweep()
	return nil
}

// signers are the names on a file that was checked when it was taken.
func signers(file string) []string {
	var names []string
	for line := range bytes.Lines([]byte(file[max(0, bytes.LastIndex([]byte(file), []byte("\n\n"))):])) {
		if rest, ok := bytes.CutPrefix(line, []byte("— ")); ok {
			name, _, _ := bytes.Cut(rest, []byte(" "))
			names = append(names, string(name))
		}
	}
	return names
}

// sweep forgets what expired a month ago; mu is held.
func (d *Desk) sweep() {
	if len(d.items) <= 4*MaxOpen {
		return
	}
	before := d.log.Now().AddDate(0, -1, 0)
	for id, item := range d.items {
		if item.Expires.Before(before) && !d.held[id] {
			delete(d.items, id)
			delete(d.used, id)
		}
	}
}

// shown is an item as it stands now; mu is held.
func (d *Desk) shown(item *Item) Item {
	now := *item
	now.Signed = slices.Clone(item.Signed)
	if (now.State == Proposed || now.State == Consented) && !d.log.Now().Before(now.Expires) {
		now.State = Expired
	}
	return now
}

// List lists the proposals, the oldest first.
func (d *Desk) List() []Item {
	d.mu.Lock()
	defer d.mu.Unlock()
	list := make([]Item, 0, len(d.items))
	for _, item := range d.items {
		list = append(list, d.shown(item))
	}
	slices.SortFunc(list, func(a, b Item) int { return cmp.Or(a.Made.Compare(b.Made), cmp.Compare(a.ID, b.ID)) })
	return list
}

// Show shows one.
func (d *Desk) Show(id string) (Item, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	item := d.items[id]
	if item == nil {
		return Item{}, ErrNotFound
	}
	return d.shown(item), nil
}

// Carry does what was approved, once: act is what is to be done as things stand
// now. do must write the approval's note (as "approval", in its detail) into the
// event of authority that stands for the act, in the commit of the act; that uses
// it up. Where do fails, the log says whether it came so far.
func (d *Desk) Carry(ctx context.Context, id string, act approval.Act, do func(context.Context, approval.Approved) error) error {
	defer d.roll.Hold()()
	return d.carry(ctx, id, act, do)
}

// Change is Carry for what changes the roll: it waits for the decisions that are
// under way, and no other is taken meanwhile.
func (d *Desk) Change(ctx context.Context, id string, act approval.Act, do func(context.Context, approval.Approved) error) error {
	defer d.roll.Alone()()
	return d.carry(ctx, id, act, do)
}

func (d *Desk) carry(ctx context.Context, id string, act approval.Act, do func(context.Context, approval.Approved) error) error {
	ok, err := d.take(id, act)
	if err != nil {
		return err
	}
	return d.through(ctx, id, ok, do)
}

// CarryFile is Carry for what two people signed without the desk: may is asked
// whether it is for what is to be done. Such a file is good once, too, and not where
// the desk has ended its proposal.
func (d *Desk) CarryFile(ctx context.Context, file []byte, may func(approval.Approved) error, do func(context.Context, approval.Approved) error) error {
	defer d.roll.Hold()()
	ok, err := d.roll.Check(file, d.log.Now())
	if err == nil {
		err = may(ok)
	}
	if err != nil {
		return err
	}
	p, _, err := approval.Read(file)
	if err != nil {
		return err
	}
	if err := d.hold(p.Nonce); err != nil {
		return err
	}
	return d.through(ctx, p.Nonce, ok, do)
}

// hold holds a proposal that has never been used or ended.
func (d *Desk) hold(id string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	_, used := d.used[id]
	item := d.items[id]
	switch {
	case d.held[id]:
		return fmt.Errorf("%w: it is being carried out", ErrRefused)
	case used:
		return fmt.Errorf("%w: it was used already, and is good once", ErrRefused)
	case item != nil && item.State != Proposed && item.State != Consented:
		return fmt.Errorf("%w: it is %s", ErrRefused, item.State)
	}
	d.held[id] = true
	return nil
}

// through does what is approved, under a proposal that is held.
func (d *Desk) through(ctx context.Context, id string, ok approval.Approved, do func(context.Context, approval.Approved) error) error {
	ctx = context.WithoutCancel(ctx) // what is queued for the log would be missed
	finished := false
	defer func() {
		if !finished { // a panic: it stays held until the next start reads the log
			return
		}
		d.mu.Lock()
		delete(d.held, id)
		d.mu.Unlock()
	}()
	failed := do(ctx, ok)
	index, err := d.find(ctx, id)
	switch {
	case err != nil:
		return errors.Join(failed, fmt.Errorf("whether the approval is used up shows at the next start: %w", err))
	case index < 0 && failed == nil:
		return errors.New("the act's event doesn't hold its approval, which stays held until the next start")
	}
	if index >= 0 {
		d.mu.Lock()
		d.use(id, index)
		d.mu.Unlock()
	}
	finished = true
	return failed
}

// take checks that a proposal is approved and is for act, and holds it.
func (d *Desk) take(id string, act approval.Act) (approval.Approved, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	item := d.items[id]
	switch {
	case item == nil:
		return approval.Approved{}, ErrNotFound
	case d.held[id]:
		return approval.Approved{}, fmt.Errorf("%w: it is being carried out", ErrRefused)
	case item.State == Void:
		return approval.Approved{}, fmt.Errorf("%w: an approver who signed it was struck off; make it anew", ErrRefused)
	case item.State != Consented:
		return approval.Approved{}, fmt.Errorf("%w: it is %s; it takes another approver's consent, and is good once", ErrRefused, d.shown(item).State)
	}
	ok, err := d.roll.Check([]byte(item.File), d.log.Now())
	if err == nil {
		err = ok.Covers(d.origin, act)
	}
	if err != nil {
		return approval.Approved{}, err
	}
	d.held[id] = true
	return ok, nil
}

// find looks in the log for the event that used a proposal; -1 if none did.
func (d *Desk) find(ctx context.Context, id string) (int64, error) {
	index := int64(-1)
	err := d.log.Authority(ctx, func(e auditlog.Event) error {
		if usedBy(e) == id {
			index = e.Index
		}
		return nil
	})
	return index, err
}
