package budget

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"time"

	"azekura/auditlog"
	"azekura/register/field"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

const start = 1_700_000_000 // seconds

func person(n int) (id auditlog.ID) {
	id[0], id[14], id[15] = 1, byte(n>>8), byte(n)
	return id
}

func read(who, staff, at int) auditlog.Event {
	return auditlog.Event{Action: auditlog.Read, Time: int64(at) * 1e6, Staff: fmt.Sprint("s-", staff), Role: "caseworker", Device: fmt.Sprint("d-", staff%2),
		Purpose: "enquiry", Participant: person(who), Fields: []auditlog.FieldVersion{{Field: field.Name}, {Field: field.Birth}}}
}

// book has small limits, and offices for its staff.
func book(t interface{ Fatal(...any) }, limits ...Limit) *Book {
	b := New()
	for staff := range 4 {
		detail, _ := json.Marshal(map[string]string{"grants": "staff", "staff": fmt.Sprint("s-", staff), "office": fmt.Sprint("o-", staff%2)})
		b.Note(&auditlog.Event{Action: auditlog.Grant, Time: start * 1e6, Detail: detail})
	}
	e := LimitsEvent(limits, "test", "a test", "")
	e.Time = start * 1e6
	b.Note(&e)
	b.Settle(true)
	return b
}

// take judges and notes one entry as the log would.
func (b *Book) takeIn(events ...auditlog.Event) error {
	v := b.Judge(events)
	if v.Refuse != nil {
		d := auditlog.Event{Action: auditlog.Deny, Time: events[0].Time, Staff: events[0].Staff}
		b.Note(&d)
		return v.Refuse
	}
	for i := range events {
		b.Note(&events[i])
	}
	return nil
}

// recount counts the lines from the events that were recorded, by the words of the
// package comment and nothing else.
func recount(events []auditlog.Event, now uint32) map[Subject]Limits {
	all := map[Subject]Limits{}
	type counted struct {
		s   Subject
		w   int
		who auditlog.ID
	}
	seen := map[counted]bool{}
	for _, e := range events {
		c := chargeOf(&e)
		if c.none() {
			continue
		}
		subjects := []Subject{{Staff, e.Staff}, {Device, e.Device}, {Purpose, e.Purpose}, {Office, "o-" + string((e.Staff + "-0")[2]&1+'0')}}
		if e.Action == auditlog.Set {
			subjects = []Subject{{Job, e.Purpose}}
		}
		for _, s := range subjects {
			used := all[s]
			for w := range Windows {
				if int64(e.Time/1e6)+int64(Windows[w]) <= int64(now) {
					continue
				}
				used[w].Points += c.points
				used[w].Persons += c.bulk
				if k := (counted{s, w, c.who}); c.who != (auditlog.ID{}) && !seen[k] {
					seen[k] = true
					used[w].Persons++
				}
			}
			all[s] = used
		}
	}
	return all
}

func (b *Book) used() map[Subject]Limits {
	all := map[Subject]Limits{}
	for _, l := range b.Lines(time.Unix(int64(b.clock), 0)) {
		all[l.Subject] = l.Used
	}
	return all
}

// TestEqualToARecount: whatever is read, refused, failed and saved in between, the
// book is what a recount of the recorded events gives, and never past a limit.
func TestEqualToARecount(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		max := Limits{{3, 60}, {5, 150}, {9, 300}}
		b := book(t, Limit{Kind: Staff, Max: max}, Limit{Kind: Office, Max: Limits{{5, -1}, {8, -1}, {12, -1}}})
		var log []auditlog.Event
		now := start
		steps := []int{0, 0, 0, 1, 60, 3599, 3600, 3601, 86399, 86400, 86401, 30*86400 - 1, 30 * 86400, 40 * 86400}
		for range rapid.IntRange(1, 40).Draw(t, "batches") {
			now += rapid.SampledFrom(steps).Draw(t, "later")
			committed := rapid.IntRange(0, 3).Draw(t, "commits") > 0
			var batch []auditlog.Event
			for range rapid.IntRange(1, 6).Draw(t, "entries") {
				var entry []auditlog.Event
				for range rapid.IntRange(1, 3).Draw(t, "events") {
					e := read(rapid.IntRange(1, 12).Draw(t, "who"), rapid.IntRange(0, 3).Draw(t, "staff"), now)
					switch rapid.IntRange(0, 9).Draw(t, "kind") {
					case 0:
						e.Action = auditlog.Check
					case 1:
						e.Action = auditlog.Show
					case 2:
						e.Action, e.Participant = auditlog.Set, auditlog.ID{}
						e.Set = &auditlog.SetInfo{Count: 700, Opens: true, Union: field.SetOf(field.Name)}
					}
					entry = append(entry, e)
				}
				if err := b.takeIn(entry...); err == nil {
					batch = append(batch, entry...)
				} else if !errors.Is(err, ErrSpent) {
					t.Fatal(err)
				}
			}
			b.Settle(committed)
			if committed {
				log = append(log, batch...)
			}
			if rapid.IntRange(0, 5).Draw(t, "restart") == 0 {
				var kept bytes.Buffer
				if err := b.Save(&kept); err != nil {
					t.Fatal(err)
				}
				b = New()
				if err := b.Load(&kept); err != nil {
					t.Fatal(err)
				}
			}
			want, got := recount(log, b.clock), b.used()
			for s, used := range got {
				if used != want[s] {
					t.Fatalf("%v counts %v, the log %v", s, used, want[s])
				}
				for w := range used {
					if s.Kind == Staff && (used[w].Persons > max[w].Persons || used[w].Points > max[w].Points) {
						t.Fatalf("%v is past its limit: %v", s, used)
					}
				}
			}
			for s, used := range want {
				if got[s] != used {
					t.Fatalf("%v counts %v, the log %v", s, got[s], used)
				}
			}
		}
	})
}

// TestEdges: an opening counts through the window's last second, and no longer.
func TestEdges(t *testing.T) {
	for w, span := range Windows {
		max := Limits{{-1, -1}, {-1, -1}, {-1, -1}}
		max[w].Persons = 2
		b := book(t, Limit{Kind: Staff, Max: max})
		for who := range 2 {
			if err := b.takeIn(read(who+1, 0, start+10*who)); err != nil {
				t.Fatal(err)
			}
		}
		late := int(span)
		if err := b.takeIn(read(1, 0, start+late-1)); err != nil {
			t.Fatalf("one who is counted already isn't a person more: %v", err)
		}
		err := b.takeIn(read(3, 0, start+late+9))
		var r *Refused
		if !errors.As(err, &r) || r.Window != Names[w] || r.Frees.Unix() != int64(start+10+late) || r.Limit != 2 {
			t.Fatalf("in the window's last second of the second: %v", err)
		}
		if err := b.takeIn(read(3, 0, start+late+10)); err != nil {
			t.Fatalf("a second later: %v", err)
		}
		if err := b.takeIn(read(4, 0, start+late+10)); !errors.Is(err, ErrSpent) {
			t.Fatalf("and one more: %v", err)
		}
	}
}

// TestExtra: what is added holds until its end.
func TestExtra(t *testing.T) {
	b := book(t, Limit{Kind: Staff, Role: "caseworker", Max: Limits{{1, -1}, {-1, -1}, {-1, -1}}})
	if err := errors.Join(b.takeIn(read(1, 0, start)), b.takeIn(read(1, 1, start))); err != nil {
		t.Fatal(err)
	}
	b.Settle(true)
	if err := b.takeIn(read(2, 0, start)); !errors.Is(err, ErrSpent) {
		t.Fatal(err)
	}
	e := ExtraEvent(Extra{Subject: Subject{Staff, "s-0"}, Persons: 1, Until: time.Unix(start+100, 0), Why: "a fair", By: "s-9"})
	e.Time = start * 1e6
	b.Note(&e)
	b.Settle(false)
	if err := b.takeIn(read(2, 0, start)); !errors.Is(err, ErrSpent) {
		t.Fatalf("what wasn't committed added: %v", err)
	}
	b = book(t, Limit{Kind: Staff, Role: "caseworker", Max: Limits{{1, -1}, {-1, -1}, {-1, -1}}})
	b.Note(&e)
	b.Settle(true)
	if err := errors.Join(b.takeIn(read(1, 0, start)), b.takeIn(read(2, 0, start))); err != nil {
		t.Fatal(err)
	}
	if err := b.takeIn(read(3, 0, start+99)); !errors.Is(err, ErrSpent) {
		t.Fatal(err)
	}
	if near := b.Near("s-0", "caseworker", "", "", time.Unix(start+99, 0)); near == nil || near.Left != 0 || near.Of != 2 {
		t.Fatalf("what is left: %+v", near)
	}
}

// FuzzLoad: whatever is loaded, the book is as new or whole, and doesn't fall.
func FuzzLoad(f *testing.F) {
	b := book(f, Limit{Kind: Staff, Max: Limits{}})
	_ = b.takeIn(read(1, 0, start))
	var kept bytes.Buffer
	if err := b.Save(&kept); err != nil {
		f.Fatal(err)
	}
	f.Add(kept.Bytes())
	f.Add(kept.Bytes()[:20])
	f.Fuzz(func(t *testing.T, raw []byte) {
		b := New()
		if b.Load(bytes.NewReader(raw)) != nil {
			if diff := cmp.Diff(New().Limits(), b.Limits()); diff != "" || len(b.lines) > 0 {
				t.Fatal("a failed load left something")
			}
		}
	})
}

// TestIdleIsDropped: whoever opened nothing for thirty days takes no memory, nor does
// what was added until long ago; and taking a batch back doesn't meet a dropped line.
func TestIdleIsDropped(t *testing.T) {
	b := book(t, Limit{Kind: Staff, Max: Limits{{-1, -1}, {-1, -1}, {-1, -1}}})
	for n := range 500 {
		e := read(n+1, n, start)
		e.Device, e.Purpose = fmt.Sprint("pc-", n), fmt.Sprint("p-", n)
		if err := b.takeIn(e); err != nil {
			t.Fatal(err)
		}
	}
	x := ExtraEvent(Extra{Subject: Subject{Staff, "s-0"}, Persons: 1, Until: time.Unix(start+100, 0), By: "s-9"})
	x.Time = start * 1e6
	b.Note(&x)
	b.Settle(true)
	later := start + int(Windows[2])
	for _, committed := range []bool{false, true} {
		if err := b.takeIn(read(7, 1, later)); err != nil {
			t.Fatal(err)
		}
		b.Settle(committed)
	}
	if len(b.lines) != 4 || b.people.held != 1 || len(b.rules.extras) != 0 {
		t.Fatalf("%d lines, %d participants and %d extras are held", len(b.lines), b.people.held, len(b.rules.extras))
	}
	want := recount([]auditlog.Event{read(7, 1, later)}, b.clock)
	for s, used := range b.used() {
		if used != want[s] {
			t.Fatalf("%v counts %v, not %v", s, used, want[s])
		}
	}
}

// TestOneExtraAtATime: what is added to a budget that something is added to is
// refused, in one batch too, until that ends; a surge stands beside it.
func TestOneExtraAtATime(t *testing.T) {
	b := book(t)
	add := func(at int, approval string) error {
		e := ExtraEvent(Extra{Subject: Subject{Staff, "s-0"}, Persons: 1, Until: time.Unix(start+100, 0), By: "s-9", Approval: approval})
		e.Time = int64(at) * 1e6
		return b.takeIn(e)
	}
	if err := add(start, ""); err != nil {
		t.Fatal(err)
	}
	if err := add(start, ""); !errors.Is(err, ErrAdded) {
		t.Fatalf("a second one in the same batch: %v", err)
	}
	b.Settle(false)
	if err := add(start, ""); err != nil {
		t.Fatalf("after the first wasn't committed: %v", err)
	}
	b.Settle(true)
	if err := add(start+99, ""); !errors.Is(err, ErrAdded) {
		t.Fatalf("a second one later: %v", err)
	}
	if err := errors.Join(add(start+99, "signed"), add(start+100, "")); err != nil {
		t.Fatal(err)
	}
}

// TestShownIsAPerson: whom a mask shows and whom a check asks about counts as one who
// is read does, once.
func TestShownIsAPerson(t *testing.T) {
	b := book(t, Limit{Kind: Staff, Max: Limits{{3, -1}, {-1, -1}, {-1, -1}}})
	event := func(action auditlog.Action, who int) auditlog.Event {
		e := read(who, 1, start)
		e.Action, e.Fields = action, []auditlog.FieldVersion{{Field: field.Existence}, {Field: field.Mask}}
		return e
	}
	for _, e := range []auditlog.Event{event(auditlog.Show, 1), event(auditlog.Check, 1), read(1, 1, start), event(auditlog.Check, 2), event(auditlog.Show, 3), event(auditlog.Search, 4)} {
		if err := b.takeIn(e); err != nil {
			t.Fatalf("%s: %v", e.Action, err)
		}
	}
	for _, action := range []auditlog.Action{auditlog.Show, auditlog.Check, auditlog.Read} {
		if err := b.takeIn(event(action, 4)); !errors.Is(err, ErrSpent) {
			t.Errorf("a fourth person by a %s: %v", action, err)
		}
	}
	b.Settle(true)
}
