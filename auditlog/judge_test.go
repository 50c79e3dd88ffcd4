package auditlog_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"sync/atomic"
	"testing"

	"azekura/auditlog"
	"azekura/internal/db"

	"github.com/google/uuid"
)

// counter is a judge that lets so many reads pass and no more, refuses
// participant 1,000,666's with an alarm and a containment, and fails at 1,000,013's.
type counter struct {
	limit        int
	reads, noted atomic.Int64
	pendingReads int64
	pendingNoted int64
	loaded       atomic.Bool
}

var errSpent = errors.New("spent")

func (c *counter) Name() string { return "counter" }

func (c *counter) Judge(events []auditlog.Event) auditlog.Verdict {
	n := c.reads.Load() + c.pendingReads
	for _, e := range events {
		switch e.Participant {
		case person(1_000_013):
			panic("made to fail")
		case person(1_000_666):
			return auditlog.Verdict{Refuse: errSpent, Outcome: "number", Add: []auditlog.Event{
				{Action: auditlog.Alarm, Outcome: "found", Participant: person(1_000_667)},
				{Action: auditlog.Contain, Session: e.Session, Detail: []byte(`{"contains":"session"}`)}}}
		case person(1_000_700):
			return auditlog.Verdict{Add: []auditlog.Event{{Action: auditlog.Alarm, Outcome: "found", Session: 99}}}
		}
		if e.Action == auditlog.Read {
			n++
		}
	}
	if n > int64(c.limit) {
		return auditlog.Verdict{Refuse: errSpent, Outcome: "budget", Detail: []byte(`{"limit":1}`)}
	}
	return auditlog.Verdict{}
}

func (c *counter) Note(e *auditlog.Event) {
	c.pendingNoted++
	if e.Action == auditlog.Read {
		c.pendingReads++
	}
}

func (c *counter) Settle(committed bool) {
	if committed {
		c.reads.Add(c.pendingReads)
		c.noted.Add(c.pendingNoted)
	}
	c.pendingReads, c.pendingNoted = 0, 0
}

func (c *counter) Save(w io.Writer) error {
	return binary.Write(w, binary.BigEndian, []int64{c.reads.Load(), c.noted.Load()})
}

func (c *counter) Load(r io.Reader) error {
	var n [2]int64
	if err := binary.Read(r, binary.BigEndian, &n); err != nil {
		return err
	}
	c.reads.Store(n[0])
	c.noted.Store(n[1])
	c.loaded.Store(true)
	return nil
}

// judged opens what onBoth made under a counter.
func (in *installation) judged(t testing.TB, limit int) *counter {
	t.Helper()
	c := &counter{limit: limit}
	ok(t, in.log.Appoint(t.Context(), c))
	return c
}

// recount is what the log's lines say of the judge's state.
func (c *counter) recount(t testing.TB, in *installation) {
	t.Helper()
	if n := in.count(t, "SELECT count(*) FROM log_event WHERE action = 1"); c.reads.Load() != n {
		t.Fatalf("the judge counts %d reads, the log %d", c.reads.Load(), n)
	}
	if n := in.log.Committed(); c.noted.Load() != n {
		t.Fatalf("the judge was told of %d events, the log holds %d", c.noted.Load(), n)
	}
}

func TestJudgeIsNeverPassed(t *testing.T) {
	onBoth(t, func(t *testing.T, in *installation) {
		const limit, asked = 100, 400
		c := in.judged(t, limit)
		var passed atomic.Int64
		inParallel(asked, func(i int) {
			_, err := in.log.RecordOne(t.Context(), event(person(1000+i), auditlog.Session(i%7+1)))
			switch {
			case err == nil:
				passed.Add(1)
			case !errors.Is(err, errSpent):
				t.Error(err)
			}
		})
		if passed.Load() != limit {
			t.Fatalf("%d passed a limit of %d", passed.Load(), limit)
		}
		if n := in.count(t, "SELECT count(*) FROM log_event WHERE action = 6"); n != asked-limit {
			t.Fatalf("%d denials of %d", n, asked-limit)
		}
		c.recount(t, in)
		in.mustVerify(t)
	})
}

func TestRefusedEntryLosesItsRows(t *testing.T) {
	onBoth(t, func(t *testing.T, in *installation) {
		in.ledger(t)
		c := in.judged(t, 1)
		_, err := in.log.Record(t.Context(), in.with(t, "kept", 1))
		ok(t, err)
		within(t, "a refused entry with a transaction", func() {
			inParallel(12, func(i int) {
				if i%2 == 0 {
					en := in.with(t, "refused", int64(i+2))
					if _, err := in.log.Record(t.Context(), en); !errors.Is(err, errSpent) {
						t.Errorf("got %v", err)
					}
				} else if _, err := in.log.RecordOne(t.Context(), auditlog.Event{Action: auditlog.Search, Outcome: "none"}); err != nil {
					t.Error(err)
				}
			})
		})
		if n := in.count(t, "SELECT count(*) FROM ledger WHERE note = 'refused'"); n != 0 {
			t.Fatalf("%d rows of refused entries stand", n)
		}
		d := in.count(t, "SELECT max(idx) FROM log_event WHERE action = 6")
		if e := in.line(t, d); e.Outcome != "budget" || string(e.Detail) != `{"limit":1}` || e.Staff != "s-01" || len(e.Fields) > 0 {
			t.Fatalf("the denial is %+v", e)
		}
		c.recount(t, in)
		in.mustVerify(t)
	})
}

func TestWhatAJudgeAddsStandsRightBehind(t *testing.T) {
	onBoth(t, func(t *testing.T, in *installation) {
		c := in.judged(t, 100)
		var contained atomic.Int64
		in.log.Heed(func(e auditlog.Event) {
			if e.Action == auditlog.Contain {
				contained.Store(e.Index)
			}
		})
		if _, err := in.log.RecordOne(t.Context(), event(person(1_000_666), 5)); !errors.Is(err, errSpent) {
			t.Fatalf("got %v", err)
		}
		at := contained.Load()
		if at == 0 {
			t.Fatal("the answer came before the containment was heard of")
		}
		for i, want := range []auditlog.Action{auditlog.Deny, auditlog.Alarm, auditlog.Contain} {
			if e := in.line(t, at-2+int64(i)); e.Action != want || e.Participant == (uuid.UUID{}) && want == auditlog.Alarm {
				t.Fatalf("event %d is %+v, not a %v", e.Index, e, want)
			}
		}
		r, err := in.log.RecordOne(t.Context(), event(person(1_000_700), 6))
		ok(t, err)
		if e := in.line(t, r.Index()+1); e.Action != auditlog.Alarm || e.Session != 99 || e.SessionSeq != 1 {
			t.Fatalf("behind the read stands %+v", e)
		}
		seen := 0
		ok(t, in.log.Authority(t.Context(), func(e auditlog.Event) error { seen++; return nil }))
		if seen != 3 { // two alarms and a containment
			t.Fatalf("%d events of authority", seen)
		}
		c.recount(t, in)
		in.mustVerify(t)
	})
}

func TestFailedCommitIsTakenBack(t *testing.T) {
	onBoth(t, func(t *testing.T, in *installation) {
		in.ledger(t)
		c := in.judged(t, 1000)
		inParallel(40, func(i int) {
			if i%4 > 0 {
				_, err := in.log.RecordOne(t.Context(), event(person(i+2000), 1))
				if err != nil {
					t.Error(err)
				}
				return
			}
			en := in.with(t, "bad", int64(i+1))
			en.Finish = func(context.Context, db.Tx, []auditlog.Event) error { return errNoDatabase }
			if _, err := in.log.Record(t.Context(), en); !errors.Is(err, auditlog.ErrNotRecorded) {
				t.Errorf("got %v", err)
			}
		})
		if c.reads.Load() != 30 {
			t.Fatalf("30 reads were recorded, the judge counts %d", c.reads.Load())
		}
		c.recount(t, in)
	})
}

func TestJudgeThatFailsRefuses(t *testing.T) {
	onBoth(t, func(t *testing.T, in *installation) {
		c := in.judged(t, 1000)
		if _, err := in.log.RecordOne(t.Context(), event(person(1_000_013), 1)); !errors.Is(err, auditlog.ErrJudge) {
			t.Fatalf("got %v", err)
		}
		if e := in.line(t, 0); e.Action != auditlog.Deny || e.Outcome != "failed" {
			t.Fatalf("the log holds %+v", e)
		}
		_, err := in.log.RecordOne(t.Context(), event(person(14), 1))
		ok(t, err)
		c.recount(t, in)
	})
}

// TestJudgeRemembers starts anew from the lines alone, and from what was saved.
func TestJudgeRemembers(t *testing.T) {
	onBoth(t, func(t *testing.T, in *installation) {
		in.judged(t, 1<<30)
		in.record(t, 700)
		in.stop(t)
		for _, saved := range []bool{false, true} {
			in.start(t)
			c := in.judged(t, 1<<30)
			if c.loaded.Load() != saved {
				t.Fatalf("loaded is %t, not %t", c.loaded.Load(), saved)
			}
			c.recount(t, in)
			in.record(t, 100)
			c.recount(t, in)
			if !saved {
				ok(t, in.log.SaveMemory(t.Context()))
				in.record(t, 300)
			}
			in.stop(t)
		}
		// One that somebody wrote isn't taken up, nor half of one.
		for _, sql := range []string{"UPDATE log_memory SET bytes = mac", "UPDATE log_memory SET parts = 2"} {
			in.start(t)
			mustExec(t, in.d, sql)
			c := in.judged(t, 1<<30)
			if c.loaded.Load() {
				t.Fatal("what nobody vouches for was taken up")
			}
			c.recount(t, in)
			in.stop(t)
		}
	})
}

// bulky is a counter that saves much: as many bytes more, whatever they are.
type bulky struct {
	counter
	more   int
	filler byte
}

func (b *bulky) Save(w io.Writer) error {
	if err := b.counter.Save(w); err != nil {
		return err
	}
	_, err := w.Write(bytes.Repeat([]byte{b.filler}, b.more))
	return err
}

func (b *bulky) Load(r io.Reader) error {
	head := make([]byte, 16)
	if _, err := io.ReadFull(r, head); err != nil {
		return err
	}
	rest, err := io.ReadAll(r)
	if err != nil || len(rest) != b.more {
		return errors.New("it is cut short")
	}
	return b.counter.Load(bytes.NewReader(head))
}

// TestMuchIsRemembered: what takes several rows is taken up whole, up to a row's very
// end; and not once one of them is altered, gone, of another time, or in another's place.
func TestMuchIsRemembered(t *testing.T) {
	onBoth(t, func(t *testing.T, in *installation) {
		const row = 1 << 20
		for _, more := range []int{0, 2*row - 16, 2*row - 15, 5 * row / 2} {
			b := &bulky{counter: counter{limit: 1 << 30}, more: more}
			in.record(t, 20)
			ok(t, in.log.Appoint(t.Context(), b))
			ok(t, in.log.SaveMemory(t.Context()))
			in.stop(t)
			in.start(t)
			again := &bulky{counter: counter{limit: 1 << 30}, more: more}
			ok(t, in.log.Appoint(t.Context(), again))
			if !again.loaded.Load() {
				t.Fatalf("%d bytes aren't taken up", more)
			}
			again.recount(t, in)
			in.stop(t)
			in.start(t)
		}
		newest := "(SELECT max(idx) FROM log_memory)"
		for _, sql := range []string{
			"UPDATE log_memory SET mac = bytes WHERE part = 2 AND idx = " + newest,
			"DELETE FROM log_memory WHERE part = 2 AND idx = " + newest,
			"UPDATE log_memory SET part = 9 WHERE part = 0 AND idx = " + newest,
			"UPDATE log_memory SET bytes = (SELECT bytes FROM log_memory o WHERE o.part = 0 AND o.idx = log_memory.idx) WHERE part = 1 AND idx = " + newest,
			"UPDATE log_memory SET parts = 2 WHERE part < 2 AND idx = " + newest,
		} {
			b := &bulky{counter: counter{limit: 1 << 30}, more: 5 * row / 2}
			ok(t, in.log.Appoint(t.Context(), b))
			in.record(t, 20)
			mustExec(t, in.d, "DELETE FROM log_memory")
			ok(t, in.log.SaveMemory(t.Context()))
			in.stop(t)
			in.start(t)
			mustExec(t, in.d, sql)
			again := &bulky{counter: counter{limit: 1 << 30}, more: 5 * row / 2}
			ok(t, in.log.Appoint(t.Context(), again))
			if again.loaded.Load() {
				t.Fatalf("taken up after %s", sql)
			}
			again.recount(t, in)
			in.stop(t)
			in.start(t)
		}
		// Rows of two times, each vouched for, don't go together.
		b := &bulky{counter: counter{limit: 1 << 30}, more: 5 * row / 2}
		ok(t, in.log.Appoint(t.Context(), b))
		mustExec(t, in.d, "DELETE FROM log_memory")
		var first, mac []byte
		for b.filler = range byte(2) {
			ok(t, in.log.SaveMemory(t.Context()))
			if b.filler == 0 {
				ok(t, in.d.QueryRow(t.Context(), "SELECT bytes, mac FROM log_memory WHERE part = 0", nil, &first, &mac))
			}
		}
		in.stop(t)
		in.start(t)
		mustExec(t, in.d, "UPDATE log_memory SET bytes = $1, mac = $2 WHERE part = 0", first, mac)
		again := &bulky{counter: counter{limit: 1 << 30}, more: 5 * row / 2}
		ok(t, in.log.Appoint(t.Context(), again))
		if again.loaded.Load() {
			t.Fatal("rows of two times were taken up together")
		}
		again.recount(t, in)
	})
}

// TestEditedLineIsNotRecounted has a line altered that no start would read but
// for the judges.
func TestEditedLineIsNotRecounted(t *testing.T) {
	onBoth(t, func(t *testing.T, in *installation) {
		in.record(t, 600)
		in.stop(t)
		in.start(t)
		var line []byte
		ok(t, in.d.QueryRow(t.Context(), "SELECT line FROM log_event WHERE idx = 3", nil, &line))
		edited := bytes.Replace(line, []byte(`"staff":"s-01"`), []byte(`"staff":"s-02"`), 1)
		if bytes.Equal(line, edited) {
			t.Fatal("nothing was edited")
		}
		mustExec(t, in.d, "UPDATE log_event SET line = $1 WHERE idx = 3", edited)
		if err := in.log.Appoint(t.Context(), &counter{limit: 1}); !errors.Is(err, auditlog.ErrSigner) {
			t.Fatalf("got %v", err)
		}
		if _, err := in.log.RecordOne(t.Context(), event(person(1), 1)); !errors.Is(err, auditlog.ErrJudge) {
			t.Fatalf("an opening that nobody can judge: %v", err)
		}
		_, err := in.log.RecordOne(t.Context(), auditlog.Event{Action: auditlog.Alarm, Outcome: "found"})
		ok(t, err)
	})
}
