package cases

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"azekura/access"
	"azekura/auditlog"
	"azekura/register/field"

	"github.com/google/uuid"
)

// By is who does something to a case, and their request.
type By struct {
	Session access.Session
	Request string
	Touched access.Touched // for the act, where they touched their key for it
}

var mayWork = []string{"caseworker", "supervisor"}

func (b By) supervisor(office string) bool {
	return b.Session.Role() == "supervisor" && b.Session.Office() == office
}

// event is the event of an act.
func (b By) event(no int64, a act) auditlog.Event {
	raw, err := json.Marshal(a)
	if err != nil { // codes and numbers
		panic(err)
	}
	return b.Session.Stamp(auditlog.Event{Action: auditlog.Case, Outcome: "ok", Case: codeOf(no), Request: b.Request, Detail: raw})
}

// deny records a refusal before it is told.
func (r *Room) deny(ctx context.Context, b By, no int64, what string, why error) error {
	var refusal *Refusal
	if !errors.As(why, &refusal) {
		return why
	}
	e := b.event(no, act{})
	e.Action, e.Outcome = auditlog.Deny, "case"
	e.Detail = refusal.Detail("case " + what)
	if _, err := r.log.RecordOne(ctx, e); err != nil {
		return err
	}
	return why
}

func (r *Room) live(b By) error {
	if !b.Session.Live() {
		return access.ErrNoSession
	}
	return r.access.Still(b.Session)
}

// Open opens a case, assigned to who opens it, or by a supervisor to somebody of
// their office.
//
// need are the fields that are to be read in it. They count where the key was touched
// for just that: what is read beyond them takes a touch of its own, if the policies say so.
// So do searches, hashes of Seek: no other is made in the case then.
func (r *Room) Open(ctx context.Context, b By, kind Kind, need field.Set, searches []string, staff string) (Info, error) {
	if err := r.live(b); err != nil {
		return Info{}, err
	}
	if kind == 0 || int(kind) >= len(kinds) {
		return Info{}, fmt.Errorf("%w: a case is a %s", ErrInvalid, strings.Join(KindNames(), ", "))
	}
	if err := checkSeek(kind, searches); err != nil {
		return Info{}, err
	}
	no, err := r.newNo(ctx)
	if err != nil {
		return Info{}, err
	}
	office := b.Session.Office()
	if staff == "" {
		staff = b.Session.Staff()
	}
	switch {
	case !slices.Contains(mayWork, b.Session.Role()):
		err = refuse("role", "the role %s opens no cases", b.Session.Role())
	case kind == Review && b.Session.Role() != "supervisor":
		err = refuse("role", "a review is opened by a supervisor")
	case staff != b.Session.Staff():
		err = r.mayHave(b, staff, office)
	}
	if err != nil {
		return Info{}, r.deny(ctx, b, no, actOpen, err)
	}
	turn := r.turn(no)
	turn.Lock()
	defer turn.Unlock()
	if _, err := r.record(ctx, auditlog.Entry{Events: []auditlog.Event{b.event(no, act{Act: actOpen, Kind: kind.String(), Staff: staff, Office: office,
		Fields: need.String(), For: searches, Touch: b.Touched.For(access.OpenCase(kind.String(), need, searches...))})}}); err != nil {
		return Info{}, fmt.Errorf("open the case: %w", err)
	}
	return r.info(no)
}

// mayHave refuses to give a case to who can't work on it, or is of another office.
func (r *Room) mayHave(b By, staff, office string) error {
	to, ok := r.access.Member(staff)
	switch {
	case !ok:
		return fmt.Errorf("staff member %w", access.ErrNotFound)
	case !slices.ContainsFunc(r.access.RolesOf(staff), func(role string) bool { return slices.Contains(mayWork, role) }):
		return refuse("role", "that staff member has no role that works on cases")
	case to.Office != office:
		return refuse("office", "the case is of another office than that staff member")
	}
	return nil
}

// do lets one act happen to a case: may looks at the case as it is and makes the act,
// and the participant whom it is about.
func (r *Room) do(ctx context.Context, b By, code, what string, may func(f *file) (act, uuid.UUID, error)) (Info, error) {
	if err := r.live(b); err != nil {
		return Info{}, err
	}
	no, err := parseCode(code)
	if err != nil {
		return Info{}, err
	}
	turn := r.turn(no)
	turn.Lock()
	defer turn.Unlock()
	f, err := r.find(ctx, no)
	if err != nil {
		return Info{}, err
	}
	var a act
	var id uuid.UUID
	if err = f.mayTouch(b); err == nil {
		a, id, err = may(f)
	}
	if err != nil {
		return Info{}, r.deny(ctx, b, no, what, err)
	}
	if a.Act == "" { // there is nothing to do
		return f.info(), nil
	}
	if f.Log == r.log.ID() {
		a.Before = &f.Event
	}
	event := b.event(no, a)
	event.Participant = id
	if _, err := r.record(ctx, auditlog.Entry{Events: []auditlog.Event{event}}); err != nil {
		return Info{}, fmt.Errorf("%s the case: %w", what, err)
	}
	return r.info(no)
}

// mayTouch refuses whoever the case isn't assigned to and who isn't a supervisor of
// its office.
func (f *file) mayTouch(b By) error {
	if !slices.Contains(mayWork, b.Session.Role()) {
		return refuse("role", "the role %s works on no cases", b.Session.Role())
	}
	if f.Staff != b.Session.Staff() && !b.supervisor(f.Office) {
		return refuse("assigned", "the case is assigned to somebody else; they or a supervisor of its office can do that")
	}
	return nil
}

// find gives a copy of a case: from memory, or a closed one from its row.
func (r *Room) find(ctx context.Context, no int64) (*file, error) {
	r.mu.RLock()
	f := r.state.files[no]
	if f != nil {
		f = f.clone()
	}
	r.mu.RUnlock()
	if f != nil {
		return f, nil
	}
	f, err := r.row(ctx, no)
	if err == nil && f == nil {
		err = ErrNotFound
	}
	return f, err
}

func live(f *file) error {
	if f.State == Closed {
		return refuse("closed", "the case is closed; a supervisor can open it again")
	}
	return nil
}

// Assign gives a case to somebody else of its office. How the participant was
// identified stays with it.
func (r *Room) Assign(ctx context.Context, b By, code, staff string) (Info, error) {
	return r.do(ctx, b, code, actAssign, func(f *file) (act, uuid.UUID, error) {
		if err := errors.Join(live(f), r.mayHave(b, staff, f.Office)); err != nil || staff == f.Staff {
			return act{}, uuid.UUID{}, err
		}
		return act{Act: actAssign, Staff: staff, Office: f.Office}, uuid.UUID{}, nil
	})
}

// Identify says that the case is about a participant whom its checks identified, or
// who showed a document; in a review, on a supervisor's word.
func (r *Room) Identify(ctx context.Context, b By, code string, id uuid.UUID, document string) (Info, error) {
	if document != "" && !slices.Contains(Documents, document) {
		return Info{}, fmt.Errorf("%w: the documents are %s", ErrInvalid, strings.Join(Documents, ", "))
	}
	return r.do(ctx, b, code, actIdentify, func(f *file) (act, uuid.UUID, error) {
		a := act{Act: actIdentify, Document: document, Word: f.Kind == Review && b.supervisor(f.Office)}
		if err := errors.Join(live(f), f.mayDocument(document)); err != nil {
			return act{}, id, err
		}
		if id == (uuid.UUID{}) {
			return act{}, id, refuse("identification", "nobody is identified by that")
		}
		if !a.Word && f.Staff != b.Session.Staff() {
			return act{}, id, refuse("assigned", "who has the case identifies whom it is about")
		}
		p := person{ID: id}
		if known := f.person(id); known != nil {
			p = *known
		}
		if !p.About && !f.free() {
			return act{}, id, refuse(Others, "the case knows already whom it is about; for somebody else open another")
		}
		p.Word = p.Word || a.Word
		if at := slices.Index(Documents, document); at >= 0 {
			p.Docs |= 1 << at
		}
		if a.Level = p.level(); a.Level < 1 {
			return act{}, id, refuse("identification", "nobody is identified yet: check two fields or more of what they say, their number or date of birth among them, or one of those beside a document")
		}
		if p.About && document == "" && p.Word == (f.person(id) != nil && f.person(id).Word) {
			return act{}, id, nil
		}
		return a, id, nil
	})
}

// mayDocument refuses a document where nobody can have shown one.
func (f *file) mayDocument(document string) error {
	if document != "" && (f.Kind == Call || f.Kind == Letter) {
		return refuse("document", "in a %s nobody shows a document", f.Kind)
	}
	return nil
}

// SetWaiting sets a case to wait, or takes it up again.
func (r *Room) SetWaiting(ctx context.Context, b By, code string, wait bool) (Info, error) {
	name, to := actResume, Open
	if wait {
		name, to = actWait, Waiting
	}
	return r.do(ctx, b, code, name, func(f *file) (act, uuid.UUID, error) {
		if err := live(f); err != nil || f.State == to {
			return act{}, uuid.UUID{}, err
		}
		return act{Act: name}, uuid.UUID{}, nil
	})
}

// Close closes a case.
func (r *Room) Close(ctx context.Context, b By, code, outcome string) (Info, error) {
	if !slices.Contains(Outcomes, outcome) {
		return Info{}, fmt.Errorf("%w: a case ends as %s", ErrInvalid, strings.Join(Outcomes, ", "))
	}
	return r.do(ctx, b, code, actClose, func(f *file) (act, uuid.UUID, error) {
		if f.State == Closed {
			return act{}, uuid.UUID{}, nil
		}
		return act{Act: actClose, Outcome: outcome}, uuid.UUID{}, nil
	})
}

// Reopen opens a case again, or lets one go on that had too many wrong answers; a
// supervisor other than the one whose case it is says so. Nothing is identified any
// more.
func (r *Room) Reopen(ctx context.Context, b By, code, staff string) (Info, error) {
	return r.do(ctx, b, code, actReopen, func(f *file) (act, uuid.UUID, error) {
		to := staff
		if to == "" {
			to = f.Staff
		}
		switch {
		case !b.supervisor(f.Office):
			return act{}, uuid.UUID{}, refuse("role", "a supervisor of the case's office opens it again")
		case to == b.Session.Staff() && f.Kind != Review:
			return act{}, uuid.UUID{}, refuse("role", "a supervisor opens a case again for somebody else, not for themselves")
		}
		if err := r.mayHave(b, to, f.Office); err != nil {
			return act{}, uuid.UUID{}, err
		}
		r.takeBack(f)
		return act{Act: actReopen, Staff: to, Office: f.Office, Touch: b.Touched.For(access.ReopenCase(code))}, uuid.UUID{}, nil
	})
}

// takeBack keeps a closed case at hand, whose reopening is about to be recorded. Its
// turn is held; what is left of an act that failed is the next one's.
func (r *Room) takeBack(f *file) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.back[uint64(f.No)%stripes] = f.clone()
}

// AddTask notes something to do, until the end of a day in Japan.
func (r *Room) AddTask(ctx context.Context, b By, code, kind string, due time.Time) (Info, error) {
	if !slices.Contains(TaskKinds, kind) {
		return Info{}, fmt.Errorf("%w: a task is to %s; more is said in a note", ErrInvalid, strings.Join(TaskKinds, ", "))
	}
	day := dayOf(due.UnixMicro())
	if today := dayOf(r.log.Now().UnixMicro()); day < today || day > today+3660 {
		return Info{}, fmt.Errorf("%w: a task is due today or later, within ten years", ErrInvalid)
	}
	return r.do(ctx, b, code, actTask, func(f *file) (act, uuid.UUID, error) {
		if err := live(f); err != nil {
			return act{}, uuid.UUID{}, err
		}
		if len(f.Tasks) >= maxTasks {
			return act{}, uuid.UUID{}, fmt.Errorf("%w: a case has at most %d tasks", ErrInvalid, maxTasks)
		}
		return act{Act: actTask, Task: kind, Due: int32(day), No: len(f.Tasks) + 1}, uuid.UUID{}, nil
	})
}

// DoneTask says that a task is done.
func (r *Room) DoneTask(ctx context.Context, b By, code string, no int) (Info, error) {
	return r.do(ctx, b, code, actDone, func(f *file) (act, uuid.UUID, error) {
		if err := live(f); err != nil {
			return act{}, uuid.UUID{}, err
		}
		if no < 1 || no > len(f.Tasks) {
			return act{}, uuid.UUID{}, fmt.Errorf("%w: the case has tasks 1 to %d", ErrInvalid, len(f.Tasks))
		}
		if f.Tasks[no-1].Done {
			return act{}, uuid.UUID{}, nil
		}
		return act{Act: actDone, No: no}, uuid.UUID{}, nil
	})
}
