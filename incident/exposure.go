// Package incident says what an intruder saw: the exposure (漏えい), person x
// field, of the sessions that ran on a device, of a staff member, or of one
// session alone, between two moments. It is computed from the audit log and
// never typed, so it is as right as the log: recorded is a superset of released,
// and an opening that was recorded but never answered is counted too.
//
// It promises that every opening below the signed head is in the answer. The
// head is taken before the first event is read, so the answer may hold a few
// openings that came after it: it is "at least". Set events are expanded to their
// members, and a set whose members don't agree with its event's count and root is
// an error, not a smaller answer. A session's events are numbered 1, 2, 3, … and
// the log's are indexed 0, 1, 2, …; where a number is missing inside a session, or
// an index between a session's last event and the head, the answer says that it
// is not complete, and names what is missing.
//
// A leak scan's findings are a second source: the answer then says who was found in
// files, who of them these sessions opened, and both together. Figures of the two
// are kept apart, because a finding has a grade and an opening has none.
//
// It doesn't promise that what is there is what was written: it reads the log's
// look-up columns, not its lines, and azekura log verify is what compares those
// with the lines and the lines with the signed head. Nor does it know which
// sessions a device or a staff member had: the caller tells it. It says what
// could be seen, not what was looked at, and holds pseudonyms, no personal data.
package incident

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"azekura/auditlog"
	"azekura/internal/db"
	"azekura/register/field"

	"github.com/google/uuid"
)

// ErrQuery refuses a question that has no answer.
var ErrQuery = errors.New("the exposure can't be asked so")

// Query asks whom some sessions saw between two moments.
type Query struct {
	// Sessions are those of the device or staff member, as
	// access.Directory.Of lists them, or one by itself. None is a question
	// too: a device on which nobody ever sat exposed nobody.
	Sessions []auditlog.Session
	// Since is the first moment that counts, and Until the first that doesn't
	// any more; the zero time leaves that end open.
	Since, Until time.Time
	// Label says in the answer whom it is about, for example "device pc-07".
	Label string
	// Found, when given, is who a leak scan found in files. The answer says how that
	// stands to what was opened.
	Found *Found
}

// Source is what an exposure is computed from.
type Source struct {
	DB    db.DB
	LogID int64
	// Earlier are the logs that this one continues, the oldest first.
	Earlier []auditlog.Past
	// Signed is the log's last signed head: auditlog.Signer's Head, or what
	// auditlog.OpenCheckpoint returned.
	Signed func() (size int64, root auditlog.Hash)
	// OpenMembers opens a block of a set event's members: the keyring's. It
	// may be called by several goroutines at once.
	OpenMembers func(setID, block int64, sealed []byte) ([]byte, error)
	// Nobody, when given, tells who is a canary: nobody's data was seen there, and
	// nobody is told. What was seen of them isn't in the answer.
	Nobody func(id uuid.UUID) bool
}

// Exposure is the answer to a Query.
type Exposure struct {
	Label        string    `json:"label"`
	Since        time.Time `json:"since,omitzero"`
	Until        time.Time `json:"until,omitzero"`
	Sessions     int64     `json:"sessions"`
	Openings     int64     `json:"openings" doc:"participant by participant; a set event counts once for each member"`
	Sets         int64     `json:"sets" doc:"set events that were expanded"`
	Figures                // participants, fields, combinations
	First        time.Time `json:"first,omitzero" doc:"the first opening"`
	Last         time.Time `json:"last,omitzero" doc:"the last opening"`
	Head         Head      `json:"head"`
	Earlier      []Head    `json:"earlier_heads,omitempty" doc:"of the logs before, the oldest first"`
	Complete     bool      `json:"complete" doc:"whether no event of these sessions is missing below the head"`
	Gaps         []Gap     `json:"gaps"`
	UnlistedGaps int64     `json:"unlisted_gaps,omitempty" doc:"gaps beyond those listed"`
	Files        *InFiles  `json:"in_files,omitempty" doc:"who a leak scan found in files, where one was named"`

	found  map[uuid.UUID]foundPerson
	people *people
	sort   sync.Once
}

// Head is the signed head on which the answer stands.
type Head struct {
	Size int64         `json:"size"`
	Root auditlog.Hash `json:"root"`
}

// Each calls f for each participant, in the order of their ids, with the union
// of what was seen of them.
func (e *Exposure) Each(f func(id uuid.UUID, fields field.Set, first, last time.Time, openings int64) error) error {
	e.sort.Do(e.people.sort)
	for i := range e.people.list {
		p := &e.people.list[i]
		if err := f(p.id, p.fields, microTime(p.first), microTime(p.last), int64(p.openings)); err != nil {
			return err
		}
	}
	return nil
}

func microTime(us int64) time.Time { return time.UnixMicro(us).UTC() }

// Compute answers a query. It calls progress, if there is one, now and then
// with the number of openings that it has read, from one goroutine at a time.
func Compute(ctx context.Context, src Source, q Query, progress func(done int64)) (*Exposure, error) {
	sessions, err := q.sessions()
	if err != nil {
		return nil, err
	}
	e := &Exposure{Label: q.Label, Since: q.Since, Until: q.Until, Sessions: int64(len(sessions))}
	e.Head.Size, e.Head.Root = src.Signed()
	for _, of := range src.Earlier {
		e.Earlier = append(e.Earlier, Head{of.Size, of.Root})
	}
	found, err := readChain(ctx, src, q, sessions, e.Head.Size, progress)
	if err != nil {
		return nil, fmt.Errorf("compute the exposure: %w", err)
	}
	found.leaveOut(src.Nobody)
	e.Openings, e.Sets = found.openings, found.sets
	e.Gaps, e.UnlistedGaps = found.gaps.list, found.gaps.unlisted
	e.Complete = len(e.Gaps) == 0
	if e.Gaps == nil {
		e.Gaps = []Gap{}
	}
	slices.SortStableFunc(e.Gaps, func(a, b Gap) int {
		return cmp.Or(cmp.Compare(a.Session, b.Session), cmp.Compare(a.From, b.From))
	})
	e.people = found.people
	e.people.done()
	e.summarize()
	if q.Found != nil {
		e.join(q.Found, src.Nobody)
	}
	return e, nil
}

// sessions lists each session of the query once.
func (q Query) sessions() ([]auditlog.Session, error) {
	if !q.Since.IsZero() && !q.Until.IsZero() && !q.Since.Before(q.Until) {
		return nil, fmt.Errorf("%w: since (%s) must be before until (%s)", ErrQuery, q.Since.Format(time.RFC3339), q.Until.Format(time.RFC3339))
	}
	list := slices.Clone(q.Sessions)
	slices.Sort(list)
	list = slices.Compact(list)
	if len(list) > 0 && list[0] <= 0 {
		return nil, fmt.Errorf("%w: a session's number is greater than 0; azekura session list shows them", ErrQuery)
	}
	return list, nil
}

func (e *Exposure) summarize() {
	seen := map[field.Set]int64{}
	var first, last int64
	for i := range e.people.list {
		p := &e.people.list[i]
		seen[p.fields]++
		if i == 0 || p.first < first {
			first = p.first
		}
		if i == 0 || p.last > last {
			last = p.last
		}
	}
	e.Figures = Count(seen)
	if len(e.people.list) > 0 {
		e.First, e.Last = microTime(first), microTime(last)
	}
}
