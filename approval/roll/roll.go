// Package roll is the list of approvers as the audit log's events make it: whose
// two signatures an irreversible act takes.
//
// It promises that nobody is on the list but by an event, and that who was struck
// off decides nothing from that event on. Enrolled again, they decide on nothing
// that they can have signed before. Between the check of signatures and the event
// of what they decide (Hold) the list stays as it is.
//
// It believes the events that it is shown: who replays them must have them from
// auditlog.Log.Authority, or see Believe. It doesn't know whether two keys are two
// people.
package roll

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"azekura/approval"
	"azekura/auditlog"
)

// The purposes of the events that change the list, besides auditlog.PurposeGap,
// which names all of it.
const (
	Enrolled = "approver"
	Removed  = "approver-removed"
)

// Roll is the list. The zero value has nobody on it.
type Roll struct {
	turn sync.RWMutex // shared by those who decide; who changes the list has it alone

	mu      sync.Mutex
	list    []member
	before  []string        // the list before its last change
	struck  map[string]bool // public keys that were struck off at some time
	changes int64
}

type member struct {
	vkey string
	// again is the event of the present log that enrolled a key anew which had been
	// struck off; -1 for others.
	again int64
}

// Replay takes an event of authority in, in the log's order.
func (r *Roll) Replay(e auditlog.Event) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if e.Index == 0 { // a new log begins; what was signed for those before it is refused by its name
		for n := range r.list {
			r.list[n].again = -1
		}
	}
	if e.Action != auditlog.System || e.Outcome != "ok" || e.Purpose != Enrolled && e.Purpose != Removed && e.Purpose != auditlog.PurposeGap {
		return nil
	}
	var d struct {
		Approver  string   `json:"approver"`
		Approvers []string `json:"approvers"` // all, where events were lost that changed them
	}
	if err := json.Unmarshal(e.Detail, &d); err != nil {
		return fmt.Errorf("read who is an approver by event %d: %w", e.Index, err)
	}
	switch {
	case e.Purpose == Enrolled && d.Approver != "":
		r.enrol(d.Approver, e.Index)
	case e.Purpose == Removed && d.Approver != "":
		r.strike(d.Approver)
	case e.Purpose == auditlog.PurposeGap && d.Approvers != nil:
		r.set(d.Approvers)
	}
	return nil
}

func (r *Roll) change() { r.before, r.changes = r.keys(), r.changes+1 }

func (r *Roll) enrol(vkey string, index int64) {
	r.change()
	m := member{vkey, -1}
	if r.struck[vkey] {
		m.again = index
	}
	r.list = append(r.list, m)
}

func (r *Roll) strike(vkey string) {
	r.change()
	if r.struck == nil {
		r.struck = map[string]bool{}
	}
	r.struck[vkey] = true
	r.list = slices.DeleteFunc(r.list, func(m member) bool { return m.vkey == vkey })
}

func (r *Roll) set(vkeys []string) {
	r.change()
	r.list = nil
	for _, vkey := range vkeys {
		r.list = append(r.list, member{vkey, -1})
	}
}

func (r *Roll) keys() []string {
	list := make([]string, 0, len(r.list))
	for _, m := range r.list {
		list = append(list, m.vkey)
	}
	return list
}

// List is the approvers' public keys, in the order in which they were enrolled.
func (r *Roll) List() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.keys()
}

// Before is the list before its last change.
func (r *Roll) Before() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.before)
}

// Changes is how often the list was changed. Who signs a change of it signs that
// number too, so that no signed change is good twice.
func (r *Roll) Changes() int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.changes
}

// Enough is whether two people can decide.
func (r *Roll) Enough() bool { return len(r.List()) >= approval.Needed }

// Hold keeps the list as it is until release is called: whoever decides holds it
// from the check of the signatures to the event of the act. It doesn't nest.
func (r *Roll) Hold() (release func()) {
	r.turn.RLock()
	return r.turn.RUnlock
}

// Alone waits for the decisions that are under way, and keeps others away until
// release is called: for who changes the list.
func (r *Roll) Alone() (release func()) {
	r.turn.Lock()
	return r.turn.Unlock
}

// Check is approval.Check with the approvers of now.
func (r *Roll) Check(file []byte, now time.Time) (approval.Approved, error) {
	a, err := approval.Check(file, r.List(), now)
	if err == nil {
		err = r.signedSince(file, a.By())
	}
	if err != nil {
		return approval.Approved{}, err
	}
	return a, nil
}

// Signers is approval.Signers with the approvers of now.
func (r *Roll) Signers(file []byte) (approval.Proposal, []string, error) {
	p, names, err := approval.Signers(file, r.List())
	if err == nil {
		err = r.signedSince(file, names)
	}
	if err != nil {
		return approval.Proposal{}, nil, err
	}
	return p, names, nil
}

// signedSince refuses what somebody can have signed before they were struck off,
// and enrolled again.
func (r *Roll) signedSince(file []byte, names []string) error {
	p, _, err := approval.Read(file)
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, m := range r.list {
		name, err := approval.Name(m.vkey)
		if err != nil {
			return err
		}
		if p.Size <= m.again && slices.Contains(names, name) {
			return fmt.Errorf("%w: it was proposed before %s was enrolled again; make it anew", approval.ErrNotApproved, name)
		}
	}
	return nil
}

// ErrFew means that too few are named both by what is left of a log and by
// azekura.json.
var ErrFew = errors.New("fewer than two of the approvers in azekura.json are among those that what is left of the log names. Put the list back as it was, " +
	"or a better copy of the database; or empty the list, then those decide whom what is left of the log names")

// Believe is for where the end of the log is lost or not confirmed, and the roll
// has what is left. Of those whom that names, they decide whom azekura.json names
// too: who was struck off by a lost event isn't in it, and who was put into it by hand isn't in
// the log. Where an event names fewer than two, azekura.json alone is believed;
// where it is empty, the log alone.
func (r *Roll) Believe(file []string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case len(file) == 0:
		return nil
	case len(r.list) < approval.Needed:
		r.set(file)
		return nil
	}
	both := slices.DeleteFunc(slices.Clone(r.list), func(m member) bool { return !slices.Contains(file, m.vkey) })
	if len(both) < approval.Needed {
		return ErrFew
	}
	r.list = both
	return nil
}
