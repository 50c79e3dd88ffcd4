package endtoend

import (
	"strings"
	"testing"
	"time"

	"azekura/auditlog"
	"azekura/internal/insttest"
)

// TestStop asks a busy server to end: requests under way are finished, so what
// is in the log was received, and the other way about; it exits with 0, and the
// next server goes on.
func TestStop(t *testing.T) {
	eachEngine(t, 100, func(t *testing.T, a *agency) {
		rnd := chance(t)
		tokens := make([]string, 16)
		s := a.serve(t)
		for i := range tokens {
			tokens[i] = a.token(t, i%devices)
		}
		for range 2 {
			size := a.size(t)
			w := a.crowd(t, s, tokens, rnd)
			eventually(t, "clients are answered", func() bool { return w.given.Load() > 20 })
			time.Sleep(time.Duration(rnd.Int64N(int64(200 * time.Millisecond))))
			if status := s.stop(t); status != 0 || s.stderr() != "" {
				t.Errorf("the server ended with %d\n%s", status, s.stderr())
			}
			w.wait()

			seen := w.seen()
			broken := 0
			for _, c := range w.clients {
				broken += c.broken
				if len(c.refused) > 0 {
					t.Errorf("a client was refused: %v %v", c.refused, c.refusal)
				}
			}
			for _, p := range seen {
				if p.cutOff {
					t.Errorf("the answer of event %d was cut off", p.event)
				}
			}
			a.audit(t, seen)
			// A connection may be closed at the moment that a request arrives on it;
			// its answer is lost then, and counted as broken.
			if opened := a.openings(t, size); opened < len(seen) || opened > len(seen)+broken {
				t.Errorf("%d openings in the log, %d received, %d requests broken off", opened, len(seen), broken)
			}
			a.verified(t)
			s = a.serve(t)
		}

		// A second server may not start, and disturbs nothing.
		out, errs, status := a.try(t, "serve", "--listen", "127.0.0.1:0")
		if status != 1 || out != "" || !strings.Contains(errs, "another process holds the signer's state") {
			t.Errorf("a second server: exit status %d\n%s%s", status, out, errs)
		}
		a.verified(t)
		if status := s.stop(t); status != 0 {
			t.Errorf("the server ended with %d\n%s", status, s.stderr())
		}
		insttest.Withheld(t, s.stderr(), a.people)
	})
}

// openings counts what the log's events from an index on opened.
func (a *agency) openings(t *testing.T, from int64) (n int) {
	t.Helper()
	for _, e := range a.events(t, []plaintext{{event: from}}) {
		if e.Outcome == "ok" && (e.Action == auditlog.Read || e.Action == auditlog.Show) {
			n++
		}
	}
	return n
}
