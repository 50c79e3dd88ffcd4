package drill

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"sync"
	"time"

	"azekura/api"
	"azekura/population"
	"azekura/register/field"

	"github.com/google/uuid"
)

// office is the honest staff and their cases. They work like people: a case at a
// time, with pauses, and a slip of the pen now and then.
type office struct {
	seed   uint64
	chosen []int64             // the places of those with a case, in order
	people []population.Person // those

	stop chan struct{}
	work sync.WaitGroup

	mu  sync.Mutex
	own map[uuid.UUID]field.Set // what the worker at the infected PC was told
	err error
}

func newOffice(seed uint64, people int64) *office {
	return &office{seed: seed, chosen: pick(seed, people), stop: make(chan struct{}), own: map[uuid.UUID]field.Set{}}
}

// offer shows the office the next person of the register.
func (o *office) offer(place int64, p *population.Person) {
	if n := len(o.people); n < len(o.chosen) && o.chosen[n] == place {
		one := *p
		one.Former = nil
		o.people = append(o.people, one)
	}
}

// open lets each member begin to work. The first one's answers are own work.
func (o *office) open(ctx context.Context, url, ca string, team []member) error {
	for i, m := range team {
		client, err := trusting(ca)
		if err != nil {
			return err
		}
		w := &worker{office: o, url: url, token: m.token, infected: i == 0, rand: rand.New(rand.NewPCG(o.seed, uint64(i)+2)), http: client}
		o.work.Go(func() {
			if err := w.days(ctx); err != nil {
				o.mu.Lock()
				o.err = errors.Join(o.err, fmt.Errorf("honest work at %s: %w", m.device, err))
				o.mu.Unlock()
			}
			w.http.CloseIdleConnections()
		})
	}
	return nil
}

// trusting makes a client that trusts the server's certificate.
func trusting(ca string) (*http.Client, error) {
	pem, err := os.ReadFile(ca)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, errors.New("the server's certificate isn't PEM")
	}
	return &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, MaxIdleConnsPerHost: 64}}, nil
}

// close lets each finish the request that is under way, so that own work is known
// to the last answer.
func (o *office) close() error {
	close(o.stop)
	o.work.Wait()
	return o.err
}

// worker is one of the staff at a PC.
type worker struct {
	office   *office
	url      string
	token    string
	infected bool
	rand     *rand.Rand
	http     *http.Client
	served   int
}

var errClosed = errors.New("the office is closed")

func (w *worker) days(ctx context.Context) error {
	for {
		p := &w.office.people[w.rand.IntN(len(w.office.people))]
		w.served++
		err := w.serve(ctx, p, api.Reason{Purpose: "enquiry", Case: fmt.Sprintf("E-%d", w.served)})
		if errors.Is(err, errClosed) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// serve is one caller: find them, check who they are, look at what they ask about.
func (w *worker) serve(ctx context.Context, p *population.Person, why api.Reason) error {
	search := api.SearchRequest{Reason: why, By: "name_birth", Value: p.Name, Birth: p.Birth}
	if w.rand.IntN(8) == 0 {
		search.Birth = slipped(w.rand, p.Birth)
	}
	var found api.SearchAnswer
	if err := w.ask(ctx, "/v1/search", search, &found); err != nil {
		return err
	}
	for _, c := range found.Candidates {
		w.told(c.Participant, field.SetOf(field.Existence, field.Mask))
	}
	if len(found.Candidates) == 0 {
		return nil
	}
	who := api.Whom{Participant: found.Candidates[w.rand.IntN(len(found.Candidates))].Participant}
	if p.Phone != "" {
		if err := w.check(ctx, p, who, why); err != nil {
			return err
		}
	}
	var got api.ReadAnswer
	if err := w.ask(ctx, "/v1/read", api.ReadRequest{Whom: who, Reason: why, Fields: []string{"name", "birth", "address"}}, &got); err != nil {
		return err
	}
	if got.Participant != "" {
		w.told(got.Participant, field.SetOf(field.Name, field.Birth, field.Address))
	}
	return nil
}

func (w *worker) check(ctx context.Context, p *population.Person, who api.Whom, why api.Reason) error {
	var answer struct {
		Match *bool `json:"match"`
	}
	if err := w.ask(ctx, "/v1/check", api.CheckRequest{Whom: who, Reason: why, Field: "phone", Claim: p.Phone}, &answer); err != nil {
		return err
	}
	if answer.Match != nil {
		told := field.SetOf(field.Existence)
		if *answer.Match {
			told |= field.SetOf(field.Phone)
		}
		w.told(who.Participant, told)
	}
	return nil
}

// told writes down, at the infected PC, what its worker learnt.
func (w *worker) told(participant string, fields field.Set) {
	id, err := uuid.Parse(participant)
	if err != nil || !w.infected {
		return
	}
	w.office.mu.Lock()
	defer w.office.mu.Unlock()
	w.office.own[id] |= fields
}

// pace is the least pause between two requests of a worker; the most is thrice.
const pace = 60 * time.Millisecond

// ask sends a request and reads its answer. What is refused (nobody there, too
// many, a date that isn't one) leaves the answer empty: it is part of the work.
func (w *worker) ask(ctx context.Context, path string, in, out any) error {
	select {
	case <-w.office.stop:
		return errClosed
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(pace + time.Duration(w.rand.Int64N(int64(2*pace)))):
	}
	raw, err := json.Marshal(in)
	if err != nil {
		return err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, w.url+path, bytes.NewReader(raw))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", "Bearer "+w.token)
	answer, err := w.http.Do(r)
	if err != nil {
		return fmt.Errorf("ask the server: %w", err)
	}
	defer answer.Body.Close()
	switch {
	case answer.StatusCode == http.StatusOK:
		return json.NewDecoder(io.LimitReader(answer.Body, 1<<20)).Decode(out)
	case answer.StatusCode >= 500:
		return fmt.Errorf("the server answered %s with %s", path, answer.Status)
	}
	_, err = io.Copy(io.Discard, io.LimitReader(answer.Body, 1<<20))
	return err
}
