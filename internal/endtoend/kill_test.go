package endtoend

import (
	"testing"
	"time"
)

// TestKill kills the server under load, at random moments, again and again on
// one installation: nothing that anyone received may be missing from the log.
func TestKill(t *testing.T) {
	eachEngine(t, 500, func(t *testing.T, a *agency) {
		rnd := chance(t)
		s := a.serve(t)
		tokens := make([]string, 16)
		for i := range tokens {
			tokens[i] = a.token(t, i%devices)
		}
		var received, cutShort int
		for range rounds(3) {
			w := a.crowd(t, s, tokens, rnd)
			eventually(t, "clients are answered", func() bool { return w.given.Load() > 0 })
			time.Sleep(time.Duration(rnd.Int64N(int64(time.Second))))
			s.kill()
			w.wait()
			for _, c := range w.clients {
				cutShort += c.broken
				if len(c.refused) > 0 {
					t.Errorf("a client was refused: %v\n%s", c.refused, s.stderr())
				}
			}
			received += len(w.seen())

			// What lies there now is all there is: a dead server adds nothing. It
			// must be found before anyone had a chance to mend it, and after.
			a.audit(t, w.seen())
			a.verified(t)
			a.audit(t, w.seen())
			s = a.serve(t)
		}
		if t.Logf("%d plaintexts received, %d requests cut short", received, cutShort); cutShort == 0 {
			t.Error("no request was under way when the server was killed")
		}
		w := a.crowd(t, s, tokens[:1], rnd)
		eventually(t, "reads go on", func() bool { return w.given.Load() > 0 })
		w.wait()
		a.audit(t, w.seen())
	})
}
