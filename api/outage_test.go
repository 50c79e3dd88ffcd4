package api_test

import (
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"azekura/api"
	"azekura/internal/insttest"
	"azekura/internal/pgtest"
)

// TestGrantsDuringAnOutage: whoever asks for a grant while the database hangs is
// answered when the time is up, those who wait behind others too; and grants go
// on when it is back.
func TestGrantsDuringAnOutage(t *testing.T) {
	cluster := pgtest.New(t, pgtest.Options{})
	o := newOffice(t, insttest.Open(t, insttest.NewAt(t, cluster.URL("postgres"))))
	t.Cleanup(api.SetMaxWait(500 * time.Millisecond))
	operator := o.server.Operator()
	grant := func(path, body string) int {
		w := answer(operator, o.request(http.MethodPost, path, body))
		if w.Code != http.StatusOK {
			o.refusal(w)
		}
		return w.Code
	}
	// Some are under way when it begins to hang, at whatever step.
	var granted, refused atomic.Int64
	var wg sync.WaitGroup
	for n := range 8 {
		wg.Go(func() {
			for i := 0; refused.Load() < 8; i++ {
				switch status := grant("/operator/devices", fmt.Sprintf(`{"id":"d-%d-%d","office":"o-1"}`, n, i)); status {
				case http.StatusOK:
					granted.Add(1)
				case http.StatusServiceUnavailable:
					refused.Add(1)
				default:
					t.Errorf("neither granted nor refused: %d; the server said\n%s", status, o.log())
					return
				}
			}
		})
	}
	for deadline := time.Now().Add(patience); granted.Load() < 20; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("nothing is granted")
		}
	}
	if err := cluster.Pause(); err != nil {
		t.Fatal(err)
	}
	defer cluster.Resume()
	ended := make(chan bool)
	go func() { wg.Wait(); close(ended) }()
	select {
	case <-ended:
	case <-time.After(patience):
		t.Fatal("grants wait for a database that hangs, past the time that a request may wait")
	}
	for path, body := range map[string]string{
		"/operator/staff":    `{"id":"s-2","role":"auditor","office":"o-1"}`,
		"/operator/sessions": `{"staff":"s-1","device":"d-1","minutes":5}`,
	} {
		if status := grant(path, body); status != http.StatusServiceUnavailable {
			t.Errorf("%s during an outage: %d", path, status)
		}
	}
	if err := cluster.Resume(); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(patience); grant("/operator/staff", `{"id":"s-3","role":"auditor","office":"o-1"}`) == http.StatusServiceUnavailable; {
		if time.Now().After(deadline) {
			t.Fatal("nothing is granted though the database is back")
		}
	}
	o.whole()
}
