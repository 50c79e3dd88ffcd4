package endtoend

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

// TestTakeover has two gates on one installation: clients of one staff member sweep
// through both until the one that leads is killed, and go on at the other as soon as
// it has taken its place. Nothing that anyone received is missing from the log, each
// staff member gets their budget's participants and not one more, and who was
// contained under the one gate stays so under the other.
func TestTakeover(t *testing.T) {
	const limit, clientsEach = 120, 3
	eachEngine(t, 500, func(t *testing.T, a *agency) {
		rnd := chance(t)
		a.limits(t, limit)
		lead := a.serve(t)
		next := a.standby(t)
		var before string // contained in the round before
		cutShort := 0
		for round := range rounds(2) {
			staff := fmt.Sprint("t-", round)
			a.must(t, "staff", "add", staff)
			token := strings.TrimSpace(a.must(t, "session", "open", "--staff", staff, "--device", "pc-0"))
			var clients []*client
			for range 2 * clientsEach {
				clients = append(clients, a.client(t, token))
			}
			begun, done := make(chan struct{}), make(chan struct{})
			begunNext, doneNext := make(chan struct{}), make(chan struct{})
			go func() { defer close(done); a.sweep(lead, clients[:clientsEach], 0, begun) }()
			go func() { defer close(doneNext); a.sweep(next, clients[clientsEach:], 111, begunNext) }()
			<-begun
			<-begunNext
			time.Sleep(time.Duration(rnd.Int64N(int64(60 * time.Millisecond))))
			lead.kill()
			killed := time.Now()
			<-done
			<-doneNext

			first := a.client(t, token)
			eventually(t, "the other gate answers", func() bool {
				status, err := first.read(context.Background(), next, a.people[0].Ref, "name")
				return err == nil && (status == http.StatusOK || status == http.StatusTooManyRequests)
			})
			t.Logf("the gate that stood by answered %d ms after the other was killed", time.Since(killed).Milliseconds())
			lead, next = next, a.standby(t)

			again := make([]*client, 2*clientsEach)
			for n := range again {
				again[n] = a.client(t, token)
			}
			a.sweep(lead, again[:clientsEach], 222, make(chan struct{}))
			a.sweep(next, again[clientsEach:], 333, make(chan struct{}))
			a.recounted(t)
			var seen []plaintext
			got := map[string]bool{}
			for _, c := range append(append(clients, first), again...) {
				cutShort += c.broken
				for _, p := range c.seen {
					seen = append(seen, p)
					got[p.participant] = true
				}
			}
			a.audit(t, seen)
			if n := a.opened(t)[staff]; n != limit || len(got) > limit {
				t.Errorf("%s received %d participants, and %d are in the log, of a budget of %d", staff, len(got), n, limit)
			}
			for _, stopped := range []string{before, token} {
				if stopped == token {
					a.must(t, "contain", "--staff", staff, "--why", "a test")
				}
				if stopped == "" {
					continue
				}
				for _, gate := range []*server{lead, next} {
					c := a.client(t, token)
					c.token = stopped
					if status, err := c.read(context.Background(), gate, a.people[1].Ref, "name"); err != nil || status != http.StatusUnauthorized {
						t.Errorf("who was contained is answered %d: %v", status, err)
					}
				}
			}
			before = token
		}
		if t.Logf("%d requests were cut short", cutShort); cutShort == 0 {
			t.Error("no request was under way when the gate was killed")
		}
		a.verified(t)
		// One that is asked to end gives way, too.
		if status := lead.stop(t); status != 0 {
			t.Errorf("exit status %d\n%s", status, lead.stderr())
		}
		token := a.token(t, 1)
		eventually(t, "the other gate answers", func() bool {
			status, err := a.client(t, token).read(context.Background(), next, a.people[2].Ref, "name")
			return err == nil && (status == http.StatusOK || status == http.StatusTooManyRequests)
		})
		if said := next.stderr(); strings.Contains(said, "panic") || strings.Contains(said, "azekura:") {
			t.Errorf("the other gate says\n%s", said)
		}
	})
}
