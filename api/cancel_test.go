package api_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"azekura/auditlog"
	"azekura/internal/insttest"
)

// TestCancelled has a caller go away while its event is on the way to the log:
// the event stays, and nothing that it would have opened is sent. A neighbour in
// the same batch is served.
func TestCancelled(t *testing.T) {
	each(t, func(t *testing.T, o *office) {
		if a := o.reads(); a.Event == 0 {
			t.Fatal("no event")
		}
		for deadline := time.Now().Add(patience); ; {
			stayed, status := o.cancelOne(t)
			if status == http.StatusOK {
				t.Fatal("the log was held, and the read was answered")
			}
			if stayed { // else it went away before it came to the log
				break
			}
			if time.Now().After(deadline) {
				t.Fatal("no cancelled read's event stays")
			}
		}
		o.reads()
		o.whole()
		o.log()
	})
}

// cancelOne holds the log, sends two reads, and has one of them go away.
func (o *office) cancelOne(t *testing.T) (stayed bool, status int) {
	t.Helper()
	before := o.opened(t, "gone")
	tx, err := o.inst.DB.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback()
	// On SQLite the writer is held, on PostgreSQL the head's row.
	if _, err := tx.Exec(t.Context(), "UPDATE log_head SET epoch = epoch WHERE log_id = $1", o.inst.Log.ID()); err != nil {
		t.Fatal(err)
	}
	send := func(ctx context.Context, id string) <-chan *httptest.ResponseRecorder {
		r := o.request(http.MethodPost, "/v1/read", fmt.Sprintf(honest, "")).WithContext(ctx)
		r.Header.Set("X-Request-Id", id)
		done := make(chan *httptest.ResponseRecorder, 1)
		go func() { done <- answer(o.staff, r) }()
		return done
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	gone, neighbour := send(ctx, "gone"), send(t.Context(), "neighbour")
	time.Sleep(20 * time.Millisecond) // it may take longer to come to the log; then we try again
	cancel()
	w := <-gone
	o.refusal(w)
	tx.Rollback()
	if n := <-neighbour; n.Code != http.StatusOK {
		t.Errorf("the neighbour got %d: %s", n.Code, n.Body)
	}
	o.reads() // what was queued before it is settled by now
	return o.opened(t, "gone") > before, w.Code
}

// opened counts the reads of a request id in the log.
func (o *office) opened(t *testing.T, id string) (n int) {
	for _, e := range insttest.Events(t, o.inst) {
		if e.Action == auditlog.Read && e.Request == id && e.Outcome == "ok" {
			n++
		}
	}
	return n
}
