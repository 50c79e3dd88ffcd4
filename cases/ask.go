package cases

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"azekura/access"
	"azekura/auditlog"
	"azekura/register/field"

	"github.com/google/uuid"
)

// Limits of wrong answers.
const (
	// MaxWrong is how many a case may have about one participant; past it a
	// supervisor must open the case again.
	MaxWrong = 5
	// MaxWrongDay is how many a staff member may have in a day, over all cases.
	MaxWrongDay = 100
)

// Refusal is why a case doesn't permit something.
type Refusal struct {
	Reason string // a code, for the log
	Words  string // for the staff member
	Again  bool   // it was refused before: counted once
	beyond bool   // another search than the case was opened for by a touch
}

// Error is the words.
func (r *Refusal) Error() string { return ErrDenied.Error() + ": " + r.Words }

// Unwrap is ErrDenied.
func (r *Refusal) Unwrap() error { return ErrDenied }

// Others is the reason of who was looked for in a case about somebody else.
const Others = "participant"

// crossing are the reasons for which a case refuses whoever opened it, and whose case
// somebody else in their session has used, closed, set to wait or given away meanwhile.
var crossing = []string{Others, "closed", "waiting", "assigned"}

// Detail is that of a refusal's event. A search or a check in such a case is marked, as the
// gate marks one that finds somebody else: whose case was taken over looks for their own
// caller.
func (r *Refusal) Detail(asked string) []byte {
	mark := ""
	if !r.Again && slices.Contains(crossing, r.Reason) && (asked == auditlog.Search.String() || asked == auditlog.Check.String()) {
		mark = `,"crossed":true`
		if r.beyond {
			mark += `,"beyond":true`
		}
	}
	return fmt.Appendf(nil, `{"asked":%q,"case":%q%s}`, asked, r.Reason, mark)
}

func refuse(reason, words string, args ...any) error {
	return &Refusal{Reason: reason, Words: fmt.Sprintf(words, args...)}
}

// Ground is what a case gave as a reason at one moment. Its zero value is that no
// case of ours was named, and nobody requires one.
type Ground struct {
	no     int64
	Kind   Kind
	Office string // the case's
	// Touched says that who opened the case touched their key for it, which malware on
	// their PC can't.
	Touched  bool
	need     field.Set
	searches []string
	free     bool
	people   []person
	more     bool // whether the case may check somebody whom it hasn't yet
}

// Known tells whether a case of ours stands behind it.
func (g Ground) Known() bool { return g.no != 0 }

// Code is the case's.
func (g Ground) Code() string { return codeOf(g.no) }

// Declared tells whether these fields are among those for which whoever opened the case
// touched their key.
func (g Ground) Declared(fields field.Set) bool { return g.Touched && g.need.Contains(fields) }

// Most is how many participants the case can be about.
func (g Ground) Most() int { return kinds[g.Kind].people }

// Free tells whether the case can still be about somebody whom it isn't about.
func (g Ground) Free() bool { return !g.Known() || g.free }

// About tells whether the case is about a participant, and how well they are
// identified.
func (g Ground) About(id uuid.UUID) (level int, about bool) {
	for i := range g.people {
		if p := &g.people[i]; p.ID == id && p.About {
			return p.level(), true
		}
	}
	return 0, false
}

// Levels are the identification that a purpose asks for. An enquiry is answered to
// whom two answers identify; what changes a record or pays asks for more.
var Levels = map[string]int{"enquiry": 1, "letter": 1, "visit": 1, "death": 1, "application": 2, "change": 2, "review": 2, "audit": 2}

// Ask asks a case whether it is a reason for a staff member to do something for a
// purpose: it must be there, open, assigned to them, and of a kind for that.
func (r *Room) Ask(s access.Session, code, purpose string) (Ground, error) {
	if !IsCode(code) {
		if r.Required() {
			return Ground{}, refuse("no case", "an opening takes a case that exists; open one with azekura case open, and give its code")
		}
		return Ground{}, nil
	}
	no, err := parseCode(code)
	if err != nil {
		return Ground{}, err
	}
	r.mu.RLock()
	defer r.mu.RUnlock()
	f := r.state.files[no]
	if err := f.mayUse(s.Staff()); err != nil {
		return Ground{}, err
	}
	info := &kinds[f.Kind]
	if !slices.Contains(info.purposes, purpose) {
		return Ground{}, refuse("kind", "a %s is no reason for the purpose %s; it is for %v", info.name, purpose, info.purposes)
	}
	return Ground{no: no, Kind: f.Kind, Office: f.Office, Touched: f.Touched, need: field.Set(f.Need), searches: f.For, free: f.free(), people: slices.Clone(f.People), more: len(f.People) < maxPeople}, nil
}

// mayUse refuses a case that isn't there, isn't open, or is somebody else's.
func (f *file) mayUse(staff string) error {
	switch {
	case f == nil || f.State == Closed && f.Staff != staff:
		return refuse("no case", "no open case has that code; azekura case list shows yours")
	case f.Staff != staff:
		return refuse("assigned", "the case is assigned to somebody else; they or a supervisor can assign it to you")
	case f.State == Closed:
		return refuse("closed", "the case is closed; a supervisor can open it again, or open another")
	case f.State == Waiting:
		return refuse("waiting", "the case waits; azekura case resume takes it up again")
	}
	return nil
}

// Still refuses a case that was closed, set to wait or given to somebody else since
// it was asked.
func (r *Room) Still(code, staff string) error {
	if !IsCode(code) {
		return nil
	}
	no, err := parseCode(code)
	if err != nil {
		return err
	}
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.state.files[no].mayUse(staff)
}

// MayOpen refuses the opening of a participant whom the case isn't about, or who
// isn't identified as well as the purpose asks.
func (g Ground) MayOpen(id uuid.UUID, purpose string) error {
	if !g.Known() {
		return nil
	}
	level, about := g.About(id)
	switch {
	case !about:
		return refuse(Others, "the case isn't about whom you name; check what they say, then azekura case identify")
	case level < Levels[purpose]:
		return refuse("identification", "the purpose %s asks for identification of level %d, and this is %d; check more of what they say, or see a document", purpose, Levels[purpose], level)
	}
	return nil
}

// MayCheck refuses checks of somebody else once the case knows whom it is about,
// and of more people than one caller can be.
func (g Ground) MayCheck(id uuid.UUID) error {
	if !g.Known() {
		return nil
	}
	if _, about := g.About(id); about {
		return nil
	}
	if !g.free {
		return refuse(Others, "the case knows already whom it is about; for somebody else open another")
	}
	if !g.more && !slices.ContainsFunc(g.people, func(p person) bool { return p.ID == id }) {
		return refuse(Others, "the case has checked %d people already; open another", maxPeople)
	}
	return nil
}

// try is what wrong answers are counted by: a case and a participant, or a staff
// member.
type try struct {
	no    int64
	id    uuid.UUID
	staff string
}

// Try takes one of the tries that are left, for a check that is about to be made.
// done gives it back; a wrong answer that was recorded by then has taken it for
// good.
func (r *Room) Try(g Ground, s access.Session, id uuid.UUID) (done func(), err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	of, by := try{no: g.no, id: id}, try{staff: s.Staff()}
	if f := r.state.files[g.no]; f != nil {
		wrong := r.pending[of]
		if p := f.person(id); p != nil {
			wrong += int(p.Wrong)
		}
		if wrong >= MaxWrong {
			return nil, refuse("tries", "there were %d wrong answers about this participant; a supervisor must look at the case and open it again", MaxWrong)
		}
	}
	wrong := r.pending[by]
	if r.state.day == dayOf(r.log.Now().UnixMicro()) {
		wrong += r.state.wrong[s.Staff()]
	}
	if wrong >= MaxWrongDay {
		return nil, refuse("tries", "you had %d wrong answers today; checks go on tomorrow", MaxWrongDay)
	}
	r.pending[of]++
	r.pending[by]++
	return func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		for _, t := range []try{of, by} {
			if r.pending[t]--; r.pending[t] == 0 {
				delete(r.pending, t)
			}
		}
	}, nil
}

// Answered records the answer of a check and counts it.
func (r *Room) Answered(ctx context.Context, event auditlog.Event) error {
	_, err := r.record(ctx, auditlog.Entry{Events: []auditlog.Event{event}})
	return err
}

// record records an event and takes it into memory. It is seen through, though the
// caller has gone: what memory holds must be what the log says.
func (r *Room) record(ctx context.Context, en auditlog.Entry) (auditlog.Receipt, error) {
	if err := ctx.Err(); err != nil {
		if en.Tx != nil {
			en.Tx.Rollback()
		}
		return auditlog.Receipt{}, err
	}
	r.flow.RLock()
	defer r.flow.RUnlock()
	receipts, err := r.log.Record(context.WithoutCancel(ctx), en)
	if err != nil {
		// It may be in the log all the same: committed, and not signed yet. What a
		// judge refused isn't.
		if errors.Is(err, auditlog.ErrNotRecorded) || errors.Is(err, auditlog.ErrStopped) {
			r.unsure.Store(true)
		}
		return auditlog.Receipt{}, err
	}
	e := en.Events[0]
	e.Log, e.Index, e.Time = r.log.ID(), receipts[0].Index(), receipts[0].Time()
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.state.event(&e, r.takenBack); err != nil {
		r.unsure.Store(true)
		return receipts[0], err
	}
	return receipts[0], nil
}

// takenBack gives the closed case whose reopening was recorded; mu is held.
func (r *Room) takenBack(no int64) (*file, error) {
	f := r.back[uint64(no)%stripes]
	if f == nil || f.No != no {
		return nil, ErrNotFound
	}
	r.back[uint64(no)%stripes] = nil
	return f, nil
}

// Counts tells whether a field counts towards identification.
func Counts(f field.Field) bool { return counted.Has(f) }

// Stands tells how a case stands that isn't closed, to who has been let touch it.
func (r *Room) Stands(code string) (Info, error) {
	no, err := parseCode(code)
	if err != nil {
		return Info{}, err
	}
	r.mu.RLock()
	defer r.mu.RUnlock()
	f := r.state.files[no]
	if f == nil {
		return Info{}, ErrNotFound
	}
	return f.info(), nil
}
