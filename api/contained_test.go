package api_test

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"azekura/access"
	"azekura/api"
	"azekura/internal/insttest"
)

// seat is one session's program, on a connection of its own.
type seat struct {
	token string
	http  *http.Client
}

// read asks over HTTPS, and returns the event that the answer rests on.
func (s *seat) read(url string, body []byte) (status int, event int64, err error) {
	r, err := http.NewRequest(http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return 0, 0, err
	}
	r.Header.Set("Authorization", "Bearer "+s.token)
	r.Header.Set("Content-Type", "application/json")
	got, err := s.http.Do(r)
	if err != nil {
		return 0, 0, err
	}
	defer got.Body.Close()
	raw, err := io.ReadAll(got.Body)
	if err != nil || got.StatusCode != http.StatusOK {
		return got.StatusCode, 0, err
	}
	var a api.ReadAnswer
	err = json.Unmarshal(raw, &a)
	return got.StatusCode, a.Event, err
}

// seats opens sessions, each of a staff member of its own at a device of its own.
func (o *office) seats(n int, office string, config *tls.Config) []*seat {
	o.t.Helper()
	list := make([]*seat, n)
	for k := range list {
		staff, device := fmt.Sprintf("%s-s-%d", office, k), fmt.Sprintf("%s-d-%d", office, k)
		_, err := o.inst.Access.AddStaff(o.t.Context(), staff, "caseworker", office)
		if err == nil {
			_, err = o.inst.Access.AddDevice(o.t.Context(), device, office)
		}
		if err != nil {
			o.t.Fatal(err)
		}
		_, token, err := o.inst.Access.OpenSession(o.t.Context(), staff, device, time.Hour)
		if err != nil {
			o.t.Fatal(err)
		}
		transport := &http.Transport{TLSClientConfig: config.Clone()}
		o.t.Cleanup(transport.CloseIdleConnections)
		list[k] = &seat{token, &http.Client{Transport: transport, Timeout: patience}}
	}
	return list
}

// TestContainedOverHTTPS: of many sessions that go on reading over open connections,
// none receives anything that the log holds behind the containment, nor anything
// that it asked for once the containment was answered; another office reads on. It
// logs how long the last refusal took.
func TestContainedOverHTTPS(t *testing.T) {
	o := shortOffice(t)
	address, config := listening(t, o)
	url := "https://" + address + "/v1/read"
	seats, far := o.seats(insttest.Soak(40, 1000), "o-7", config), o.seats(1, "o-8", config)[0]
	body, err := json.Marshal(api.ReadRequest{Whom: api.Whom{Ref: o.people[0].Ref}, Reason: why, Fields: []string{"name"}})
	if err != nil {
		t.Fatal(err)
	}
	var answered atomic.Bool
	var newest, last, broken atomic.Int64
	began := time.Now()
	var reading, refused sync.WaitGroup
	for _, s := range seats {
		reading.Add(1)
		refused.Go(func() {
			begun := sync.OnceFunc(reading.Done)
			defer begun()
			for {
				late := answered.Load()
				status, event, err := s.read(url, body)
				switch {
				case err != nil && time.Since(began) < patience:
					broken.Add(1) // a handshake that took a loaded server too long: nothing was received
					continue
				case err != nil || status != http.StatusOK && status != http.StatusUnauthorized:
					t.Errorf("status %d: %v", status, err)
					return
				case status == http.StatusUnauthorized:
					last.Store(time.Now().UnixNano())
					return
				case late:
					t.Error("let in after the containment was answered")
					return
				}
				for old := newest.Load(); event > old && !newest.CompareAndSwap(old, event); old = newest.Load() {
				}
				begun()
			}
		})
	}
	reading.Wait()
	operator, err := api.Dial(o.inst.Dir)
	if err != nil {
		t.Fatal(err)
	}
	var is access.Contained
	from := time.Now()
	in := api.NewContain{Target: access.Target{Kind: access.TheOffice, ID: "o-7"}, Why: "a test"}
	if err := operator.Do(t.Context(), http.MethodPost, "/operator/contain", in, &is); err != nil {
		t.Fatal(err)
	}
	took := time.Since(from)
	answered.Store(true)
	refused.Wait()
	t.Logf("%d sessions: contained in %v, the last one refused after %v; %d connections broke and were made again", len(seats), took, time.Unix(0, last.Load()).Sub(from), broken.Load())
	if newest.Load() >= is.Event {
		t.Errorf("event %d was answered, and the containment is event %d", newest.Load(), is.Event)
	}
	if status, _, err := far.read(url, body); status != http.StatusOK || err != nil {
		t.Errorf("another office reads: %d %v", status, err)
	}
}
