package endtoend

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
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"azekura/api"
	"azekura/auditlog"
	"azekura/internal/db"
	"azekura/population"
	"azekura/register/field"
)

// plaintext is something that a client received: whose, which fields, and the
// event that the answer says it rests on.
type plaintext struct {
	event       int64
	participant string
	fields      field.Set // none where the answer was cut off, or there were none
	cutOff      bool
}

// client is one staff member's program: it asks over HTTPS and remembers what
// it was given, answers cut off in their middle included.
type client struct {
	http  *http.Client
	token string
	seen  []plaintext
	// refused counts answers that aren't 200, by status and kind; the last of
	// each is kept. broken counts those that didn't come at all.
	refused map[string]int
	refusal map[string]string
	broken  int
}

// client makes one that trusts the installation's own certificate only.
func (a *agency) client(t *testing.T, token string) *client {
	t.Helper()
	cert, err := os.ReadFile(api.CertFile(a.dir))
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(cert) {
		t.Fatal("the server's certificate isn't PEM")
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{a.pcs[a.at[token]]}}}
	t.Cleanup(transport.CloseIdleConnections)
	return &client{http: &http.Client{Transport: transport, Timeout: patience}, token: token,
		refused: map[string]int{}, refusal: map[string]string{}}
}

// ask posts a request and returns the answer as far as it came.
func (c *client) ask(ctx context.Context, s *server, path string, in any) (status int, answer []byte, err error) {
	raw, err := json.Marshal(in)
	if err != nil {
		return 0, nil, err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://"+s.address+path, bytes.NewReader(raw))
	if err != nil {
		return 0, nil, err
	}
	r.Header.Set("Authorization", "Bearer "+c.token)
	r.Header.Set("Content-Type", "application/json")
	got, err := c.http.Do(r)
	if err != nil {
		c.broken++
		return 0, nil, err
	}
	defer got.Body.Close()
	answer, err = io.ReadAll(got.Body)
	if got.StatusCode != http.StatusOK {
		kind := fmt.Sprint(got.StatusCode, " ", got.Header.Get("Content-Type"))
		c.refused[kind]++
		c.refusal[kind] = string(answer)
	}
	return got.StatusCode, answer, err
}

var why = api.Reason{Purpose: "enquiry", Case: "K-1"}

// choices are what clients ask for; the last, everything.
var choices = []string{"name,birth", "number,name,address", "phone", "account,name", field.SetOf(field.All()...).String()}

// read opens fields of one person and notes what came.
func (c *client) read(ctx context.Context, s *server, ref, fields string) (int, error) {
	status, answer, err := c.ask(ctx, s, "/v1/read", api.ReadRequest{Whom: api.Whom{Ref: ref}, Reason: why, Fields: strings.Split(fields, ",")})
	if status != http.StatusOK {
		return status, err
	}
	var a api.ReadAnswer
	if json.Unmarshal(answer, &a) == nil {
		c.seen = append(c.seen, plaintext{event: a.Event, participant: a.Participant, fields: given(&a.Values)})
	} else {
		c.cutOff(answer)
	}
	return status, err
}

// given are the fields that an answer holds.
func given(v *api.Values) field.Set {
	var s field.Set
	for f, text := range map[field.Field]string{field.Number: v.Number, field.Name: v.Name, field.Kana: v.Kana, field.Romaji: v.Romaji,
		field.Birth: v.Birth, field.Sex: v.Sex, field.Phone: v.Phone, field.Email: v.Email, field.Ref: v.Ref} {
		if text != "" {
			s |= field.SetOf(f)
		}
	}
	if v.Address != nil {
		s |= field.SetOf(field.Address)
	}
	if v.Account != nil {
		s |= field.SetOf(field.Account)
	}
	return s
}

// search looks for a person by number and birth, and notes the masks.
func (c *client) search(ctx context.Context, s *server, p *population.Person) error {
	status, answer, err := c.ask(ctx, s, "/v1/search", api.SearchRequest{Reason: why, By: "number", Value: p.Number, Birth: p.Birth})
	if status != http.StatusOK {
		return err
	}
	var a api.SearchAnswer
	if json.Unmarshal(answer, &a) != nil {
		c.cutOff(answer)
	}
	for _, found := range a.Candidates {
		c.seen = append(c.seen, plaintext{event: found.Event, participant: found.Participant, fields: field.SetOf(field.Existence, field.Mask)})
	}
	return err
}

var cut = regexp.MustCompile(`"participant":"([0-9a-f-]{36})"[^{}]*"event":(\d+),`)

// cutOff notes what an answer gave away before it broke off.
func (c *client) cutOff(answer []byte) {
	for _, m := range cut.FindAllSubmatch(answer, -1) {
		if event, err := strconv.ParseInt(string(m[2]), 10, 64); err == nil {
			c.seen = append(c.seen, plaintext{event: event, participant: string(m[1]), cutOff: true})
		}
	}
}

// crowd are clients that ask as fast as they can until told to stop.
type crowd struct {
	clients []*client
	given   atomic.Int64 // plaintexts received
	asked   atomic.Int64 // requests made
	stop    context.CancelFunc
	done    sync.WaitGroup
}

// crowd sets clients to work on a server, one a token.
func (a *agency) crowd(t *testing.T, s *server, tokens []string, rnd *rand.Rand) *crowd {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	w := &crowd{stop: cancel}
	t.Cleanup(w.wait)
	for _, token := range tokens {
		c, own := a.client(t, token), rand.New(rand.NewPCG(rnd.Uint64(), rnd.Uint64()))
		w.clients = append(w.clients, c)
		w.done.Go(func() {
			for ctx.Err() == nil {
				before := len(c.seen)
				c.one(s, &a.people[own.IntN(len(a.people))], own)
				w.given.Add(int64(len(c.seen) - before))
				w.asked.Add(1)
			}
		})
	}
	return w
}

// one reads, searches or checks once. It sees the request through, whatever happens to
// the server.
func (c *client) one(s *server, p *population.Person, rnd *rand.Rand) {
	var err error
	switch rnd.IntN(8) {
	case 0, 1:
		err = c.search(context.Background(), s, p)
	case 2:
		// It opens nothing that leaves; it is here for what its events do to the log.
		_, _, err = c.ask(context.Background(), s, "/v1/check", api.CheckRequest{Whom: api.Whom{Ref: p.Ref}, Reason: why, Field: "number", Claim: p.Number})
	default:
		_, err = c.read(context.Background(), s, p.Ref, choices[rnd.IntN(len(choices))])
	}
	if err != nil {
		time.Sleep(time.Millisecond) // the server is gone; no need to spin
	}
}

// wait ends the crowd's work.
func (w *crowd) wait() {
	w.stop()
	w.done.Wait()
}

// seen is what all of them received.
func (w *crowd) seen() []plaintext {
	var all []plaintext
	for _, c := range w.clients {
		all = append(all, c.seen...)
	}
	return all
}

// audit looks for each plaintext in the log itself, past the program.
func (a *agency) audit(t *testing.T, seen []plaintext) {
	t.Helper()
	events := a.events(t, seen)
	for _, p := range seen {
		if err := p.in(events); err != nil {
			t.Errorf("received, and not in the log: event %d: %v", p.event, err)
		}
	}
}

func (p plaintext) in(events map[int64]auditlog.Event) error {
	e, ok := events[p.event]
	if !ok {
		return errors.New("it isn't there")
	}
	if e.Action != auditlog.Read && e.Action != auditlog.Show || e.Outcome != "ok" {
		return fmt.Errorf("it is a %s, %s", e.Action, e.Outcome)
	}
	if e.Participant.String() != p.participant {
		return errors.New("it names another participant")
	}
	var told field.Set
	for _, fv := range e.Fields {
		if fv.Version > 0 {
			told |= field.SetOf(fv.Field)
		}
	}
	if !told.Contains(p.fields) {
		return fmt.Errorf("it holds the fields %s, received were %s", told, p.fields)
	}
	return nil
}

// open opens the database with all rights, beside whoever else has it open.
func (a *agency) open(t *testing.T) db.DB {
	t.Helper()
	name := a.database
	if name == "" {
		name = a.dir + "/azekura.db"
	}
	d, err := db.Open(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

// events are the log's, from the first that was received.
func (a *agency) events(t *testing.T, seen []plaintext) map[int64]auditlog.Event {
	t.Helper()
	events := map[int64]auditlog.Event{}
	if len(seen) == 0 {
		return events
	}
	first := seen[0].event
	for _, p := range seen {
		first = min(first, p.event)
	}
	d := a.open(t)
	defer d.Close()
	rows, err := d.Query(t.Context(), "SELECT idx, line FROM log_event WHERE log_id = 1 AND idx >= $1 ORDER BY idx", first)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var index int64
		var line []byte
		if err := rows.Scan(&index, &line); err != nil {
			t.Fatal(err)
		}
		e, err := auditlog.ParseLine(line)
		if err != nil {
			t.Fatalf("event %d: %v", index, err)
		}
		if e.Index != index {
			t.Errorf("row %d holds event %d", index, e.Index)
		}
		events[index] = e
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return events
}
