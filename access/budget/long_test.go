package budget

import (
	"bytes"
	"math/rand/v2"
	"testing"
	"time"

	"azekura/auditlog"
)

// TestMonths runs a book over months: lines and tables grow, are compacted and are made
// anew, numbers of participants are given again, commits fail, and what is saved is taken up.
// It stays equal to a recount, and no larger than its windows.
func TestMonths(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	free := Limits{{-1, -1}, {-1, -1}, {-1, -1}}
	b := book(t, Limit{Kind: Staff, Max: free}, Limit{Kind: Device, Max: free}, Limit{Kind: Office, Max: free})
	var log []auditlog.Event
	now, most := start, 0
	for n := range 3000 {
		now += r.IntN(8000)
		var batch []auditlog.Event
		for range 1 + r.IntN(16) {
			// The crowd moves on: those of months ago don't come back.
			batch = append(batch, read(n*3+r.IntN(2000), r.IntN(4), now))
			if err := b.takeIn(batch[len(batch)-1]); err != nil {
				t.Fatal(err)
			}
		}
		committed := r.IntN(4) > 0
		if b.Settle(committed); committed {
			log = append(log, batch...)
		}
		if n%300 != 299 {
			continue
		}
		for len(log) > 0 && past(uint32(log[0].Time/1e6), len(Windows)-1, b.clock) {
			log = log[1:]
		}
		if n%1500 == 1499 {
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
		for s, used := range want {
			if got[s] != used {
				t.Fatalf("%v counts %v, the log %v", s, got[s], used)
			}
		}
		b.holds(t)
		most = max(most, len(b.people.list))
	}
	// A month's crowd is some 4,000; all that ever came are some 11,000.
	if most > 6000 {
		t.Fatalf("%d participants are numbered", most)
	}
}

// holds checks what the tables promise: each participant is found, once, and each touch
// that counts somebody is where the line's index says.
func (b *Book) holds(t *testing.T) {
	t.Helper()
	held := 0
	for id := 1; id < len(b.people.list); id++ {
		if who := b.people.list[id]; who != (auditlog.ID{}) {
			held++
			if found, _ := b.people.find(&who); found != uint32(id) {
				t.Fatalf("participant %d is found as %d", id, found)
			}
		}
	}
	if held != b.people.held || held+len(b.people.free) != len(b.people.list)-1 {
		t.Fatalf("%d participants are held and %d numbers free, of %d; the table says %d", held, len(b.people.free), len(b.people.list)-1, b.people.held)
	}
	for s, l := range b.lines {
		if gone := l.from[len(Windows)-1]; gone > 4096 && gone > len(l.touches)*3/4 {
			t.Fatalf("%v keeps %d touches that left, of %d", s, gone, len(l.touches))
		}
		for at := l.from[len(Windows)-1]; at < len(l.touches); at++ {
			if who := l.touches[at].who; who != 0 && who < again {
				if found, _ := l.find(who); found != at {
					t.Fatalf("%v finds a participant's touch at %d, not %d", s, found, at)
				}
			}
		}
	}
}

// TestSavedOutOfRange: touches of nobody, or of later than the book's clock, aren't taken up.
func TestSavedOutOfRange(t *testing.T) {
	for name, spoil := range map[string]func(*touch){
		"nobody's number": func(l *touch) { l.who = 2 },
		"nobody's again":  func(l *touch) { l.who = 2 | again },
		"a later second":  func(l *touch) { l.at = start + 1 },
	} {
		b := book(t)
		if err := b.takeIn(read(1, 0, start)); err != nil {
			t.Fatal(err)
		}
		spoil(&b.lines[Subject{Staff, "s-0"}].touches[0])
		var kept bytes.Buffer
		if err := b.Save(&kept); err != nil {
			t.Fatal(err)
		}
		if err := New().Load(&kept); err == nil {
			t.Errorf("%s is taken up", name)
		}
	}
}
