package auditlog_test

import (
	"context"
	"encoding/json"
	"errors"
	"math/rand"
	"strings"
	"testing"
	"time"

	"azekura/auditlog"
	"azekura/register/field"
)

// lastSeq is what a submitter reads, by the expression that the log gives him.
func (in *installation) lastSeq(t testing.TB, n int) auditlog.Known {
	asOf := in.log.Committed()
	id := person(n)
	return auditlog.Known{Valid: true, AsOf: asOf, Seq: in.count(t, "SELECT "+auditlog.LastSeq("$1", "$2"), int64(1), id[:])}
}

// TestNumbers has 200 callers record for a few participants and sessions, with
// every kind of knowledge of the last number.
func TestNumbers(t *testing.T) {
	onBoth(t, func(t *testing.T, in *installation) {
		seed := seed(t)
		for round := range 2 { // the second after a restart, with nothing remembered
			var stale [30]auditlog.Known
			for i := range stale {
				stale[i] = in.lastSeq(t, i)
			}
			within(t, "200 callers", func() {
				inParallel(200, func(g int) {
					random := rand.New(rand.NewSource(seed + int64(1000*round+g)))
					for range 5 {
						list := make([]auditlog.Event, 1+random.Intn(4))
						for i := range list {
							n := random.Intn(len(stale))
							list[i] = event(person(n), auditlog.Session(1+random.Intn(10)))
							switch random.Intn(5) {
							case 0:
								list[i].Known = stale[n]
							case 1:
								list[i].Known = in.lastSeq(t, n)
							case 2: // read at a time that hasn't come
								list[i].Known = auditlog.Known{Valid: true, AsOf: 1 << 40, Seq: 12345}
							case 3: // more events than the log holds
								list[i].Known = auditlog.Known{Valid: true, AsOf: in.log.Committed(), Seq: 1 << 40}
							}
						}
						if _, err := in.log.Record(t.Context(), auditlog.Entry{Events: list}); err != nil {
							t.Error(err)
						}
					}
				})
			})
			in.mustBeNumbered(t)
			in.stop(t)
			in.start(t)
		}
		in.mustVerify(t)
	})
}

// TestNumbersAcrossGenerations records more participants than a generation
// remembers, thrice, and comes back to the first ones with knowledge from before.
func TestNumbersAcrossGenerations(t *testing.T) {
	onBoth(t, func(t *testing.T, in *installation) {
		people, rounds := 1<<16+5000, 2
		if raced {
			people = 5000
		}
		if soak {
			rounds = 4
		}
		stale := auditlog.Known{Valid: true} // true of an empty log
		for range rounds {
			within(t, "a generation", func() {
				inParallel(16, func(g int) {
					for at := g * 64; at < people; at += 16 * 64 {
						list := make([]auditlog.Event, min(64, people-at))
						for i := range list {
							list[i] = event(person(at+i), auditlog.Session(g+1))
							list[i].Known = stale
						}
						if _, err := in.log.Record(t.Context(), auditlog.Entry{Events: list}); err != nil {
							t.Error(err)
						}
					}
				})
			})
		}
		in.mustBeNumbered(t)
		in.mustVerify(t)
	})
}

// TestBadEntriesAmongGoodOnes has entries that can't be recorded come between
// others.
func TestBadEntriesAmongGoodOnes(t *testing.T) {
	one := func(change func(e *auditlog.Event)) auditlog.Entry {
		e := event(person(1), 1)
		change(&e)
		return auditlog.Entry{Events: []auditlog.Event{e}}
	}
	set := func(change func(e *auditlog.Event, w *auditlog.SetWriter)) auditlog.Entry {
		w := auditlog.NewSet(77, "job", true, func(_, _ int64, b []byte) []byte { return b })
		w.Add(auditlog.Member{ID: person(1), Fields: field.SetOf(field.Name), Version: 1})
		w.Info.Root = auditlog.Hash{1}
		e := event(person(1), 1)
		e.Action, e.Set = auditlog.Set, &w.Info
		change(&e, w)
		return auditlog.Entry{Events: []auditlog.Event{e}, Set: w}
	}
	bad := map[string]auditlog.Entry{
		"no event":                 {},
		"65 events":                {Events: make([]auditlog.Event, 65)},
		"no action":                one(func(e *auditlog.Event) { e.Action = 0 }),
		"an unknown action":        one(func(e *auditlog.Event) { e.Action = 200 }),
		"too long a purpose":       one(func(e *auditlog.Event) { e.Purpose = strings.Repeat("x", 70_000) }),
		"too long when escaped":    one(func(e *auditlog.Event) { e.Case = strings.Repeat("\x01", 11_000) }),
		"too long a detail":        one(func(e *auditlog.Event) { e.Detail = json.RawMessage(`"` + strings.Repeat("x", 70_000) + `"`) }),
		"no JSON for a detail":     one(func(e *auditlog.Event) { e.Detail = json.RawMessage(`{`) }),
		"a detail that breaks out": one(func(e *auditlog.Event) { e.Detail = json.RawMessage(`1,"salt":"x"`) }),
		"two details":              one(func(e *auditlog.Event) { e.Detail = json.RawMessage(`1 2`) }),
		"a purpose not in UTF-8":   one(func(e *auditlog.Event) { e.Purpose = "\xff" }),
		"a detail not in UTF-8":    one(func(e *auditlog.Event) { e.Detail = json.RawMessage("\"\xff\"") }),
		"a session below 0":        one(func(e *auditlog.Event) { e.Session = -1 }),
		"an unknown field":         one(func(e *auditlog.Event) { e.Fields = []auditlog.FieldVersion{{Field: 30, Version: 1}} }),
		"a field out of range":     one(func(e *auditlog.Event) { e.Fields = []auditlog.FieldVersion{{Field: 200, Version: 1}} }),
		"a field twice":            one(func(e *auditlog.Event) { e.Fields = append(e.Fields, e.Fields[0]) }),
		"a version below 0":        one(func(e *auditlog.Event) { e.Fields[0].Version = -1 }),
		"a set without its event":  one(func(e *auditlog.Event) { e.Action = auditlog.Set }),
		"set info on a read":       set(func(e *auditlog.Event, _ *auditlog.SetWriter) { e.Action = auditlog.Read }),
		"another set's info":       set(func(e *auditlog.Event, w *auditlog.SetWriter) { info := w.Info; info.Count++; e.Set = &info }),
		"an unfinished set":        set(func(e *auditlog.Event, w *auditlog.SetWriter) { w.Info.Root = auditlog.Hash{} }),
		"a set of no id":           set(func(e *auditlog.Event, w *auditlog.SetWriter) { w.Info.ID = 0 }),
		"a set of unknown fields":  set(func(e *auditlog.Event, w *auditlog.SetWriter) { w.Info.Union = 1 << 30; e.Set.Union = 1 << 30 }),
	}
	onBoth(t, func(t *testing.T, in *installation) {
		const good = 40
		inParallel(2*good, func(i int) {
			if i < good {
				if _, err := in.log.RecordOne(t.Context(), event(person(i), 1)); err != nil {
					t.Errorf("a good one: %v", err)
				}
				return
			}
			for name, en := range bad {
				if i == good {
					t.Logf("%s: %v", name, func() error { _, err := in.log.Record(t.Context(), en); return err }())
				}
				if receipts, err := in.log.Record(t.Context(), en); err == nil || receipts != nil {
					t.Errorf("%s: %d receipts, %v", name, len(receipts), err)
				}
			}
		})
		if n := in.log.Committed(); n != good {
			t.Errorf("%d events", n)
		}
		in.mustVerify(t)
	})
}

// TestLongestEvent comes as near to the limit as an event may.
func TestLongestEvent(t *testing.T) {
	onBoth(t, func(t *testing.T, in *installation) {
		for _, e := range []auditlog.Event{
			{Action: auditlog.System, Detail: json.RawMessage(`"` + strings.Repeat("x", 64<<10-1-1024-2) + `"`)},
			{Action: auditlog.System, Purpose: strings.Repeat("\x01", (64<<10-1-1024)/6)},
		} {
			r, err := in.log.RecordOne(t.Context(), e)
			ok(t, err)
			in.line(t, r.Index())
		}
		in.mustVerify(t)
	})
}

// TestCancelled gives up at random moments: the event is there once or not at
// all, and there is no receipt.
func TestCancelled(t *testing.T) {
	onBoth(t, func(t *testing.T, in *installation) {
		in.ledger(t)
		seed := seed(t)
		const callers = 100
		within(t, "callers who give up", func() {
			inParallel(callers, func(i int) {
				random := rand.New(rand.NewSource(seed + int64(i)))
				ctx, cancel := context.WithCancel(t.Context())
				time.AfterFunc(time.Duration(random.Intn(3000))*time.Microsecond, cancel)
				en := auditlog.Entry{Events: []auditlog.Event{event(person(i), 1)}}
				if i%10 == 0 {
					en = in.with(t, "cancelled", int64(i+1))
					en.Events[0].Participant = person(i)
				}
				receipts, err := in.log.Record(ctx, en)
				switch {
				case err == nil && len(receipts) == 1:
				case errors.Is(err, context.Canceled) && receipts == nil:
					// The caller's own events are his again.
					en.Events[0] = auditlog.Event{Action: auditlog.Deny, Staff: "reused"}
				default:
					t.Errorf("%d receipts, %v", len(receipts), err)
				}
				cancel()
			})
			mustExec(t, in.d, "INSERT INTO ledger (idx, note) VALUES (100000, 'free')")
			ok(t, in.log.Close())
		})
		for i := range callers {
			id := person(i)
			if n := in.count(t, "SELECT count(*) FROM log_event WHERE participant_id = $1", id[:]); n > 1 {
				t.Errorf("caller %d's event is there %d times", i, n)
			}
		}
		in.mustVerify(t)
		in.mustBeNumbered(t)
	})
}

// TestReceiptsCoverWhatWasRecorded changes the caller's slice afterwards.
func TestReceiptsCoverWhatWasRecorded(t *testing.T) {
	onBoth(t, func(t *testing.T, in *installation) {
		e := event(person(1), 1)
		receipt, err := in.log.RecordOne(t.Context(), e)
		ok(t, err)
		e.Fields[0] = auditlog.FieldVersion{Field: field.Account, Version: 1}
		if err := receipt.Covers(person(1), field.Account, 1); !errors.Is(err, auditlog.ErrNoReceipt) {
			t.Error("a receipt covers what its event didn't name")
		}
		ok(t, receipt.Covers(person(1), field.Name, 1))
		for _, err := range []error{receipt.Covers(person(1), field.Name, 2), receipt.Covers(person(2), field.Name, 1),
			receipt.Covers(person(1), field.Sex, 1), auditlog.Receipt{}.Covers(person(1), field.Name, 1), auditlog.Receipt{}.Covers(auditlog.ID{}, 0, 0)} {
			if !errors.Is(err, auditlog.ErrNoReceipt) {
				t.Errorf("got %v", err)
			}
		}
	})
}

// TestNoReceiptBeforeTheSignersSync closes the signer's file under the log.
func TestNoReceiptBeforeTheSignersSync(t *testing.T) {
	onBoth(t, func(t *testing.T, in *installation) {
		in.record(t, 10)
		ok(t, in.signer.Close())
		for range 3 {
			r, err := in.log.RecordOne(t.Context(), event(person(1), 1))
			if !errors.Is(err, auditlog.ErrNotRecorded) || r.Covers(person(1), field.Name, 1) == nil {
				t.Fatalf("a receipt without the signer's sync: %v", err)
			}
		}
		if size, _ := in.signer.Head(); size != 10 {
			t.Fatalf("the signer stands at %d", size)
		}
		in.stop(t)
		in.start(t) // the signer catches up with what was committed
		if size, _ := in.signer.Head(); size != 13 {
			t.Fatalf("the signer stands at %d", size)
		}
		in.mustVerify(t)
	})
}

// TestClose records what is queued, and nothing after.
func TestClose(t *testing.T) {
	onBoth(t, func(t *testing.T, in *installation) {
		recorded := make(chan auditlog.Receipt, 100)
		within(t, "closing under load", func() {
			inParallel(51, func(i int) {
				if i == 50 {
					ok(t, in.log.Close())
					ok(t, in.log.Close())
					return
				}
				r, err := in.log.RecordOne(t.Context(), event(person(i), 1))
				if err == nil {
					recorded <- r
				} else if !errors.Is(err, auditlog.ErrStopped) {
					t.Error(err)
				}
			})
		})
		if n := in.count(t, "SELECT count(*) FROM log_event"); n != int64(len(recorded)) {
			t.Errorf("%d events for %d receipts", n, len(recorded))
		}
		in.mustVerify(t)
	})
}
