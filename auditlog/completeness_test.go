package auditlog_test

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"azekura/auditlog"
	"azekura/auditlog/complete"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// clock is a log's, and moves when it is told to.
type clock struct{ at atomic.Int64 }

func (c *clock) now() time.Time       { return time.UnixMicro(c.at.Load()).UTC() }
func (c *clock) set(text string)      { t, _ := time.Parse(time.RFC3339, text); c.at.Store(t.UnixMicro()) }
func (c *clock) tick(d time.Duration) { c.at.Add(d.Microseconds()) }

// relead opens the log anew, by the clock.
func (in *installation) relead(t testing.TB, c *clock) {
	t.Helper()
	ok(t, in.log.Close())
	var err error
	in.log, err = auditlog.Open(t.Context(), in.d, auditlog.Options{ID: 1, Signer: in.signer, Now: c.now, Rand: rand.Reader})
	ok(t, err)
}

// week records some days of work: people 1 to 9 on the first two, a day on which
// only person 5 is seen, a day of nothing, and a set that holds people 0 to 29.
func week(t testing.TB, in *installation) *clock {
	t.Helper()
	c := &clock{}
	c.set("2026-05-08T08:00:00Z")
	in.relead(t, c)
	work := func(people ...int) {
		for i, p := range people {
			_, err := in.log.RecordOne(t.Context(), event(person(p), auditlog.Session(1+i%3)))
			ok(t, err)
			c.tick(time.Minute)
		}
	}
	work(1, 2, 3, 4, 5, 6, 7, 8, 9, 5, 5)
	in.daily(t, 0) // the day isn't over
	c.set("2026-05-09T08:00:00Z")
	in.daily(t, 1)
	in.daily(t, 0) // once
	work(9, 8, 7, 5, 4, 3, 2, 1)
	in.set(t, 30, true)
	c.set("2026-05-10T00:00:01Z")
	work(5) // before the root of the day before is made
	in.daily(t, 1)
	c.set("2026-05-13T12:00:00Z") // nobody worked, nothing ran
	in.relead(t, c)
	in.daily(t, 1)
	work(1, 5, 5)
	c.set("2026-05-14T00:00:00Z")
	in.daily(t, 1)
	return c
}

func (in *installation) daily(t testing.TB, want int) {
	t.Helper()
	n, err := in.log.Daily(t.Context())
	ok(t, err)
	if n != want {
		t.Errorf("%d daily roots were recorded, not %d", n, want)
	}
}

func (in *installation) prove(t testing.TB, s complete.Subject, from, to string) []byte {
	t.Helper()
	var file bytes.Buffer
	_, err := in.log.ProveComplete(t.Context(), s, auditlog.CompleteOptions{From: from, To: to, OpenMembers: unseal}, &file)
	ok(t, err)
	return file.Bytes()
}

func (in *installation) keys(t testing.TB) []note.Verifier {
	t.Helper()
	v, err := note.NewVerifier(in.signer.VerifierKey())
	ok(t, err)
	return []note.Verifier{v}
}

func of(n int) complete.Subject {
	return complete.Subject{Kind: complete.Participant, ID: person(n).String()}
}

// TestComplete proves and checks: those who were seen every day, on some, on none;
// a session; and a range of days.
func TestComplete(t *testing.T) {
	onBoth(t, func(t *testing.T, in *installation) {
		week(t, in)
		_, vkey, err := note.GenerateKey(rand.Reader, in.signer.Origin())
		ok(t, err)
		stranger, err := note.NewVerifier(vkey)
		ok(t, err)
		for name, c := range map[string]struct {
			subject  complete.Subject
			from, to string
			want     complete.Result
		}{
			"every day":  {of(5), "", "", complete.Result{Events: 7, First: 1, Last: 7, Sets: 1, Days: 4}},
			"some days":  {of(1), "", "", complete.Result{Events: 3, First: 1, Last: 3, Sets: 1, Days: 4}},
			"two days":   {of(9), "", "", complete.Result{Events: 2, First: 1, Last: 2, Sets: 1, Days: 4}},
			"sets alone": {of(29), "", "", complete.Result{Sets: 1, Days: 4}},
			"never":      {of(31), "", "", complete.Result{Days: 4}},
			"a session":  {complete.Subject{Kind: complete.Session, ID: auditlog.Session(3).String()}, "", "", complete.Result{Events: 7, First: 1, Last: 7, Days: 4}},
			"from a day": {of(5), "2026-05-10", "", complete.Result{Events: 3, First: 5, Last: 7, Days: 2}},
			"up to one":  {of(5), "", "2026-05-09", complete.Result{Events: 4, First: 1, Last: 4, Sets: 1, Days: 2}},
		} {
			t.Run(name, func(t *testing.T) {
				file := in.prove(t, c.subject, c.from, c.to)
				got, err := complete.Check(bytes.NewReader(file), in.keys(t), nil)
				ok(t, err)
				if got.Events != c.want.Events || got.First != c.want.First || got.Last != c.want.Last || got.Sets != c.want.Sets || got.Days != c.want.Days {
					t.Errorf("got %+v, want %+v", got, c.want)
				}
				if got.FromOutset != (c.from == "") {
					t.Errorf("from the outset: %v", got.FromOutset)
				}
				if _, err := complete.Check(bytes.NewReader(file), []note.Verifier{stranger}, nil); err == nil {
					t.Error("another log's key is as good")
				}
			})
		}
		if flag.Lookup("update").Value.String() == "true" { // what complete's own tests read
			ok(t, os.WriteFile("complete/testdata/proof", in.prove(t, of(5), "", ""), 0o644))
			ok(t, os.WriteFile("complete/testdata/vkey", []byte(in.signer.VerifierKey()+"\n"), 0o644))
		}
		if _, err := in.log.ProveComplete(t.Context(), of(1), auditlog.CompleteOptions{From: "2027-01-01"}, &bytes.Buffer{}); !errors.Is(err, auditlog.ErrNoDays) {
			t.Errorf("days that the log doesn't have: %v", err)
		}
		in.mustVerify(t)
	})
}

// TestIncompleteIsRefused alters proofs as somebody would who has something to
// hide, with the whole log and every hash of it at hand.
func TestIncompleteIsRefused(t *testing.T) {
	onBoth(t, func(t *testing.T, in *installation) {
		week(t, in)
		keys := in.keys(t)
		whole := records(t, in.prove(t, of(5), "", ""))
		stranger := records(t, in.prove(t, of(31), "", ""))
		seldom := records(t, in.prove(t, of(1), "", ""))
		if _, err := complete.Check(bytes.NewReader(file(t, whole)), keys, nil); err != nil {
			t.Fatal(err)
		}
		find := func(list []complete.Record, n int, is func(complete.Record) bool) int {
			for i, r := range list {
				if is(r) {
					if n == 0 {
						return i
					}
					n--
				}
			}
			t.Fatal("no such record")
			return 0
		}
		isDay := func(r complete.Record) bool { return r.Day != nil }
		isEvent := func(r complete.Record) bool { return r.Event != nil }
		drop := func(list []complete.Record, i int) []complete.Record { return append(list[:i:i], list[i+1:]...) }
		fewer := func(list []complete.Record) []complete.Record {
			end := *list[len(list)-1].End
			end.Events--
			list[len(list)-1].End = &end
			return list
		}
		for name, c := range map[string]struct {
			of    []complete.Record
			alter func(list []complete.Record) []complete.Record
			want  string
		}{
			"the first event dropped":    {whole, func(l []complete.Record) []complete.Record { return fewer(drop(l, find(l, 0, isEvent))) }, "is due"},
			"an event dropped":           {whole, func(l []complete.Record) []complete.Record { return fewer(drop(l, find(l, 1, isEvent))) }, "is due"},
			"a day's last event dropped": {whole, func(l []complete.Record) []complete.Record { return fewer(drop(l, find(l, 2, isEvent))) }, "is missing"},
			"the last event dropped":     {whole, func(l []complete.Record) []complete.Record { return fewer(drop(l, find(l, 6, isEvent))) }, "is missing"},
			"an event twice": {whole, func(l []complete.Record) []complete.Record {
				i := find(l, 1, isEvent)
				l[i] = l[i-1]
				return l
			}, "is due"},
			"a number used again": {whole, func(l []complete.Record) []complete.Record {
				i := find(l, 1, isEvent)
				e := *l[i].Event
				e.Line = strings.Replace(e.Line, `"participant_seq":2`, `"participant_seq":1`, 1)
				l[i].Event = &e
				return l
			}, "isn't in the signed log"},
			"events in another order": {whole, func(l []complete.Record) []complete.Record {
				i := find(l, 0, isEvent)
				l[i], l[i+1] = l[i+1], l[i]
				return l
			}, "is due"},
			"another's event": {whole, func(l []complete.Record) []complete.Record {
				l[find(l, 1, isEvent)] = seldom[find(seldom, 1, isEvent)]
				return l
			}, "isn't the subject's"},
			"a day left out": {whole, func(l []complete.Record) []complete.Record {
				from, to := find(l, 1, isDay), find(l, 2, isDay)
				return append(l[:from:from], l[to:]...)
			}, "a day is missing"},
			"a day of nothing left out": {stranger, func(l []complete.Record) []complete.Record { return drop(l, find(l, 1, isDay)) }, "a day is missing"},
			"a day twice": {stranger, func(l []complete.Record) []complete.Record {
				i := find(l, 1, isDay)
				return append(l[:i:i], append([]complete.Record{l[i]}, l[i:]...)...)
			}, "a day is missing"},
			"absent, of one who is there": {whole, func(l []complete.Record) []complete.Record {
				i := find(l, 0, isDay)
				d := *l[i].Day
				d.Self, d.Left, d.Right = nil, stranger[find(stranger, 0, isDay)].Day.Left, stranger[find(stranger, 0, isDay)].Day.Right
				l[i].Day = &d
				return l
			}, "isn't shown"},
			"absent, of an empty list": {whole, func(l []complete.Record) []complete.Record {
				i := find(l, 0, isDay)
				d := *l[i].Day
				d.Self = nil
				l[i].Day = &d
				return l
			}, "isn't shown"},
			"absent, with the leaf between left out": {whole, func(l []complete.Record) []complete.Record {
				i := find(l, 0, isDay)
				d := *l[i].Day
				d.Left, d.Right = in.neighbours(t, &d, person(5))
				d.Self = nil
				l[i].Day = &d
				return l
			}, "isn't shown"},
			"numbers of its entry altered": {whole, func(l []complete.Record) []complete.Record {
				i := find(l, 0, isDay)
				d, self := *l[i].Day, *l[i].Day.Self
				self.Last--
				d.Self = &self
				l[i].Day = &d
				return l
			}, "doesn't hold the subject"},
			"another's entry": {whole, func(l []complete.Record) []complete.Record {
				i := find(l, 0, isDay)
				d := *l[i].Day
				d.Self = seldom[find(seldom, 0, isDay)].Day.Self
				l[i].Day = &d
				return l
			}, "doesn't hold the subject"},
			"another salt": {stranger, func(l []complete.Record) []complete.Record {
				i := find(l, 0, isDay)
				d := *l[i].Day
				d.Line = strings.Replace(d.Line, `"salt":"`, `"salt":"A`, 1)
				l[i].Day = &d
				return l
			}, "isn't in the signed log"},
			"an event for a day": {whole, func(l []complete.Record) []complete.Record {
				i := find(l, 0, isDay)
				l[i].Day = &complete.Day{Event: *l[find(l, 0, isEvent)].Event}
				return l
			}, "isn't a daily root"},
			"the end cut off":     {whole, func(l []complete.Record) []complete.Record { return l[:len(l)-1] }, "it has no end"},
			"more behind the end": {whole, func(l []complete.Record) []complete.Record { return append(l, l[1]) }, "behind its end"},
			"no head":             {whole, func(l []complete.Record) []complete.Record { return l[1:] }, "doesn't begin with a head"},
			"no day":              {stranger, func(l []complete.Record) []complete.Record { return []complete.Record{l[0], l[len(l)-1]} }, "shows no day"},
			"another subject": {stranger, func(l []complete.Record) []complete.Record {
				h := *l[0].Head
				h.Subject = of(5)
				l[0].Head = &h
				return l
			}, "isn't shown"},
			"a head that isn't signed": {whole, func(l []complete.Record) []complete.Record {
				h := *l[0].Head
				h.Checkpoint = strings.Replace(h.Checkpoint, "\n", "\n1", 1)
				l[0].Head = &h
				return l
			}, "isn't signed"},
			"a member's proof altered": {whole, func(l []complete.Record) []complete.Record {
				i := find(l, 0, func(r complete.Record) bool { return r.Set != nil })
				s := *l[i].Set
				s.Place++
				l[i].Set = &s
				return l
			}, "doesn't hold the subject"},
		} {
			t.Run(name, func(t *testing.T) {
				altered := c.alter(append([]complete.Record(nil), c.of...))
				got, err := complete.Check(bytes.NewReader(file(t, altered)), keys, nil)
				if err == nil || !strings.Contains(err.Error(), c.want) {
					t.Errorf("got %+v, %v; want an error with %q", got, err, c.want)
				}
			})
		}
	})
}

// neighbours are the entries beside a subject's own, with their true proofs.
func (in *installation) neighbours(t testing.TB, d *complete.Day, id auditlog.ID) (left, right *complete.Place) {
	t.Helper()
	var detail complete.Daily
	e, err := auditlog.ParseLine([]byte(d.Line))
	ok(t, err)
	ok(t, json.Unmarshal(e.Detail, &detail))
	left, right, err = auditlog.Beside(t.Context(), in.log, &detail, complete.TokenOf([16]byte(detail.Salt), 'p', id[:]))
	ok(t, err)
	return left, right
}

func records(t testing.TB, file []byte) (list []complete.Record) {
	t.Helper()
	for d := json.NewDecoder(bytes.NewReader(file)); d.More(); {
		var r complete.Record
		ok(t, d.Decode(&r))
		list = append(list, r)
	}
	return list
}

func file(t testing.TB, list []complete.Record) []byte {
	t.Helper()
	var b bytes.Buffer
	for _, r := range list {
		ok(t, json.NewEncoder(&b).Encode(r))
	}
	return b.Bytes()
}

// TestProofOfAlteredEvents: what a database's administrator took away or altered
// can't be proved complete, and no root is recorded over it.
func TestProofOfAlteredEvents(t *testing.T) {
	for name, sql := range map[string]string{
		"an event deleted":            "DELETE FROM log_event WHERE idx = 9",
		"an event's number altered":   "UPDATE log_event SET participant_seq = 77 WHERE idx = 9",
		"an event given to another":   "UPDATE log_event SET participant_id = (SELECT participant_id FROM log_event WHERE idx = 1) WHERE idx = 9",
		"an event's line altered":     "UPDATE log_event SET line = (SELECT line FROM log_event WHERE idx = 8) WHERE idx = 9",
		"a daily root's line swapped": "UPDATE log_event SET line = (SELECT line FROM log_event WHERE idx = 8) WHERE idx = 11",
	} {
		t.Run(name, func(t *testing.T) {
			onBoth(t, func(t *testing.T, in *installation) {
				c := week(t, in)
				in.exec(t, sql)
				var b bytes.Buffer
				_, err := in.log.ProveComplete(t.Context(), of(5), auditlog.CompleteOptions{}, &b)
				if err == nil {
					_, err = complete.Check(&b, in.keys(t), nil)
				}
				if err == nil {
					t.Error("it is proved complete")
				}
				in.exec(t, "UPDATE log_event SET line = (SELECT line FROM log_event WHERE idx = 8) WHERE idx = (SELECT max(idx) FROM log_event)")
				c.set("2026-06-01T00:00:00Z")
				if n, err := in.log.Daily(t.Context()); err == nil || n > 0 {
					t.Errorf("a root is recorded over an altered line: %d, %v", n, err)
				}
			})
		})
	}
}

func (in *installation) exec(t testing.TB, sql string) {
	t.Helper()
	_, err := in.d.Exec(t.Context(), sql)
	ok(t, err)
}

// TestDailyRoots holds the roots against lists made by hand, sorted in many runs
// and in one, and catches up with days that were missed.
func TestDailyRoots(t *testing.T) {
	t.Cleanup(auditlog.SetRunLeaves(7))
	onBoth(t, func(t *testing.T, in *installation) {
		c := &clock{}
		c.set("2026-05-08T08:00:00Z")
		in.relead(t, c)
		for day := range 4 { // nothing makes roots meanwhile
			for i := range 60 {
				_, err := in.log.RecordOne(t.Context(), event(person(i%(13+day)), auditlog.Session(1+i%5)))
				ok(t, err)
			}
			c.tick(24 * time.Hour)
		}
		in.daily(t, 4)
		before := ""
		for index := int64(240); index < 244; index++ {
			e := in.line(t, index)
			var d complete.Daily
			ok(t, json.Unmarshal(e.Detail, &d))
			if e.Action != auditlog.System || e.Purpose != auditlog.PurposeDaily || d.Day <= before || d.To-d.From != 60 {
				t.Errorf("event %d: %s %s %+v", index, e.Action, e.Purpose, d)
			}
			before = d.Day
			if root, count := byHand(t, in, &d); root != d.Root || count != d.Count {
				t.Errorf("the root of %s is another: %d and %d entries", d.Day, d.Count, count)
			}
			for p := range 18 {
				l, r, err := auditlog.Beside(t.Context(), in.log, &d, complete.TokenOf([16]byte(d.Salt), 'p', personID(p)))
				ok(t, err)
				if l == nil && r == nil {
					t.Error("nobody has neighbours")
				}
			}
		}
	})
}

func personID(n int) []byte { id := person(n); return id[:] }

// byHand makes a day's root from maps and x/mod's TreeHash.
func byHand(t testing.TB, in *installation, d *complete.Daily) (tlog.Hash, int64) {
	t.Helper()
	found := map[complete.Token]*complete.Leaf{}
	add := func(token complete.Token, n int64) {
		if found[token] == nil {
			found[token] = &complete.Leaf{Token: token, First: n, Last: n}
		}
		found[token].First, found[token].Last = min(found[token].First, n), max(found[token].Last, n)
	}
	for index := d.From; index < d.To; index++ {
		e := in.line(t, index)
		var z [8]byte
		for i := range z {
			z[i] = byte(uint64(e.Session) >> (56 - 8*i))
		}
		if e.Session != 0 {
			add(complete.TokenOf([16]byte(d.Salt), 'z', z[:]), e.SessionSeq)
		}
		if e.Participant != (auditlog.ID{}) {
			add(complete.TokenOf([16]byte(d.Salt), 'p', e.Participant[:]), e.ParticipantSeq)
		}
	}
	sorted := make([]string, 0, len(found))
	for _, l := range found {
		sorted = append(sorted, string(l.Append(nil)))
	}
	slices.Sort(sorted)
	var stored []tlog.Hash
	reader := tlog.HashReaderFunc(func(indexes []int64) (list []tlog.Hash, err error) {
		for _, i := range indexes {
			list = append(list, stored[i])
		}
		return list, nil
	})
	for i, leaf := range sorted {
		hashes, err := tlog.StoredHashes(int64(i), []byte(leaf), reader)
		ok(t, err)
		stored = append(stored, hashes...)
	}
	root, err := tlog.TreeHash(int64(len(sorted)), reader)
	ok(t, err)
	return root, int64(len(sorted))
}

// TestDailyAtSize makes the root of a day of many events, 1,000,000 in make soak,
// and says what it took.
func TestDailyAtSize(t *testing.T) {
	n := 20_000
	if soak {
		n = 1_000_000
	}
	onBoth(t, func(t *testing.T, in *installation) {
		c := &clock{}
		c.set("2026-05-08T00:00:00Z")
		in.relead(t, c)
		inParallel(32, func(w int) {
			for at := w * 64; at < n; at += 32 * 64 {
				list := make([]auditlog.Event, 0, 64)
				for i := range 64 {
					e := event(person((at+i)*7919%n), auditlog.Session(1+w))
					e.Fields = e.Fields[:1]
					list = append(list, e)
				}
				if _, err := in.log.Record(t.Context(), auditlog.Entry{Events: list}); err != nil {
					t.Error(err)
				}
			}
		})
		c.set("2026-05-09T00:00:00Z")
		peak := watchHeap()
		began := time.Now()
		in.daily(t, 1)
		took := time.Since(began)
		t.Logf("%d events: %s, heap at most %d MiB", in.log.Committed()-1, took.Round(time.Millisecond), peak()>>20)
		began = time.Now()
		file := in.prove(t, of(17), "", "")
		t.Logf("a proof over them: %s, %d bytes", time.Since(began).Round(time.Millisecond), len(file))
		began = time.Now()
		_, err := complete.Check(bytes.NewReader(file), in.keys(t), nil)
		ok(t, err)
		t.Logf("checked in %s", time.Since(began).Round(time.Microsecond))
	})
}

// watchHeap samples the heap; the function that it returns stops and tells the most.
func watchHeap() (most func() uint64) {
	runtime.GC()
	stop, done := make(chan bool), make(chan uint64)
	go func() {
		peak := uint64(0)
		for tick := time.NewTicker(5 * time.Millisecond); ; {
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			peak = max(peak, m.HeapAlloc)
			select {
			case <-stop:
				tick.Stop()
				done <- peak
				return
			case <-tick.C:
			}
		}
	}()
	return func() uint64 { close(stop); return <-done }
}
