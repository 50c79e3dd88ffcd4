package auditlog_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"azekura/auditlog"
	"azekura/internal/db"
	"azekura/internal/pgtest"
	"azekura/register/field"

	"github.com/google/uuid"
)

// asChild makes this test binary a program of a test's own; it names which.
const asChild = "AZEKURA_AUDITLOG_CHILD"

func TestMain(m *testing.M) {
	switch os.Getenv(asChild) {
	case "":
		os.Exit(pgtest.Main(m))
	case "recorder":
		recorder()
	case "filler":
		filler()
	}
}

// soak is whether the tests run at full size.
var soak = os.Getenv("AZEKURA_SOAK") != ""

// onBoth runs a test on both engines, each with a database of its own.
func onBoth(t *testing.T, test func(t *testing.T, in *installation)) {
	for _, engine := range []db.Engine{db.SQLite, db.PostgreSQL} {
		t.Run(string(engine), func(t *testing.T) {
			t.Parallel()
			test(t, install(t, databaseURL(t, engine)))
		})
	}
}

func databaseURL(t testing.TB, engine db.Engine) string {
	if engine == db.PostgreSQL {
		return pgtest.URL(t)
	}
	return filepath.Join(t.TempDir(), "azekura.db")
}

// installation is a database and a signer's folder, and what runs on them.
type installation struct {
	url, dir string
	d        db.DB
	signer   *auditlog.Signer
	log      *auditlog.Log
}

const origin = "azekura.invalid/test"

// install makes one and starts it.
func install(t testing.TB, url string) *installation {
	t.Helper()
	in := &installation{url: url, dir: filepath.Join(t.TempDir(), "signer")}
	ok(t, auditlog.CreateSigner(in.dir, origin))
	in.start(t)
	t.Cleanup(func() { in.kill() })
	return in
}

func (in *installation) start(t testing.TB) {
	t.Helper()
	ok(t, in.tryStart())
}

// tryStart opens everything anew and says why it can't.
func (in *installation) tryStart() (err error) {
	ctx := context.Background()
	if in.d, err = db.Open(ctx, in.url); err != nil {
		return err
	}
	if err = db.Migrate(ctx, in.d, time.Now(), auditlog.Migrations); err != nil {
		return err
	}
	if in.signer, err = auditlog.OpenSigner(in.dir); err != nil {
		in.kill()
		return err
	}
	if in.log, err = in.lead(); err != nil {
		in.kill()
	}
	return err
}

// lead opens one more log on the same database.
func (in *installation) lead() (*auditlog.Log, error) {
	return auditlog.Open(context.Background(), in.d, auditlog.Options{ID: 1, Signer: in.signer, Now: time.Now, Rand: rand.Reader})
}

// kill closes what is open, whatever it says.
func (in *installation) kill() {
	if in.log != nil {
		in.log.Close()
	}
	if in.signer != nil {
		in.signer.Close()
	}
	if in.d != nil {
		in.d.Close()
	}
	in.log, in.signer, in.d = nil, nil, nil
}

// stop closes everything in order.
func (in *installation) stop(t testing.TB) {
	t.Helper()
	ok(t, in.log.Close())
	in.kill()
}

func (in *installation) verify(t testing.TB) auditlog.Report {
	t.Helper()
	size, root := in.signer.Head()
	r, err := auditlog.Verify(t.Context(), in.d, in.log.ID(), size, root, auditlog.VerifyOptions{Edge: in.signer.Edge()})
	ok(t, err)
	return r
}

// mustVerify wants a log without a fault.
func (in *installation) mustVerify(t testing.TB) {
	t.Helper()
	if r := in.verify(t); !r.OK {
		t.Fatalf("the log doesn't verify: %+v", r)
	}
}

func (in *installation) record(t testing.TB, n int) []auditlog.Receipt {
	t.Helper()
	var all []auditlog.Receipt
	for at := 0; at < n; at += 64 {
		list := make([]auditlog.Event, min(64, n-at))
		for i := range list {
			list[i] = event(person(at+i), 1)
			list[i].Known = auditlog.Known{Valid: true} // true of an empty log, and of no other believed
		}
		receipts, err := in.log.Record(t.Context(), auditlog.Entry{Events: list})
		ok(t, err)
		all = append(all, receipts...)
	}
	return all
}

// line is an event as it is stored.
func (in *installation) line(t testing.TB, index int64) auditlog.Event {
	t.Helper()
	var line []byte
	ok(t, in.d.QueryRow(t.Context(), "SELECT line FROM log_event WHERE log_id = $1 AND idx = $2", []any{int64(1), index}, &line))
	e, err := auditlog.ParseLine(line)
	ok(t, err)
	return e
}

func (in *installation) count(t testing.TB, sql string, args ...any) (n int64) {
	t.Helper()
	ok(t, in.d.QueryRow(t.Context(), sql, args, &n))
	return n
}

// person is the nth participant.
func person(n int) uuid.UUID {
	id := uuid.MustParse("0190d2a5-7b3c-7d00-8000-000000000000")
	id[12], id[13], id[14], id[15] = byte(n>>24), byte(n>>16), byte(n>>8), byte(n)
	return id
}

func event(id uuid.UUID, session auditlog.Session) auditlog.Event {
	return auditlog.Event{Action: auditlog.Read, Outcome: "ok", Purpose: "enquiry", Case: "C-1", Staff: "s-01", Role: "caseworker",
		Device: "d-01", Session: session, Participant: id, Request: "q-1",
		Fields: []auditlog.FieldVersion{{Field: field.Name, Version: 1}, {Field: field.Birth, Version: 2}}}
}

func ok(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// within fails a test that hangs, with everyone's stacks, long before go test
// would; it judges nobody's speed.
func within(t testing.TB, what string, f func()) {
	t.Helper()
	done := make(chan struct{})
	go func() { defer close(done); f() }()
	select {
	case <-done:
	case <-time.After(2 * time.Minute):
		panic("this hangs: " + what)
	}
}

// inParallel runs f n times beside each other.
func inParallel(n int, f func(i int)) {
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { f(i) })
	}
	wg.Wait()
}

func copyFile(t testing.TB, from, to string) {
	t.Helper()
	src, err := os.Open(from)
	ok(t, err)
	defer src.Close()
	dst, err := os.OpenFile(to, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	ok(t, err)
	_, err = io.Copy(dst, src)
	ok(t, err)
	ok(t, dst.Close())
}

func seed(t testing.TB) int64 {
	n := time.Now().UnixNano()
	if text := os.Getenv("AZEKURA_TEST_SEED"); text != "" {
		fmt.Sscan(text, &n)
	}
	t.Logf("seed %d (AZEKURA_TEST_SEED repeats it)", n)
	return n
}
