package tampering

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	"azekura/auditlog"
	"azekura/cases"
	"azekura/gate"
	"azekura/internal/db"
	"azekura/internal/installation"
	"azekura/internal/insttest"
	"azekura/internal/pgtest"
	"azekura/population"
	"azekura/register"
	"azekura/register/field"
	"azekura/register/rowfile"

	"github.com/google/uuid"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

// people is how many an installation has; each act takes others of them, so that
// no alarm stands for two.
const people = 60

// office is an installation, and beside it a connection that may do anything.
type office struct {
	*testing.T
	dir    string
	raw    db.DB
	i      *installation.Installation
	token  string
	closed string // a token whose session was closed
	why    gate.Why
	people []population.Person
	ids    []uuid.UUID
	shred  int // who was shredded
	key    [4]any
	index  string         // the table of the index
	early  [3]any         // the head at an early moment
	heard  map[string]int // alarms about a table so far
	forged int            // alarms about jobs before the one that is forged
}

// newOffice has imports, changes, a shredding and more than a tile of events.
func newOffice(t *testing.T, engine string) *office {
	o := &office{T: t, heard: map[string]int{}, dir: insttest.New(t, engine), why: gate.Why{Purpose: "review", Case: "T-1"}, people: insttest.People(7, people), shred: people - 1}
	o.open()
	o.importPeople()
	_, o.closed = insttest.Session(t, o.i, "s-2", "caseworker", "d-2")
	gone, err := o.i.Access.AtSocket(o.closed)
	o.ok(err)
	_, err = o.i.Access.CloseSession(t.Context(), gone.ID())
	o.ok(err)
	_, o.token = insttest.Session(t, o.i, "s-1", "caseworker", "d-1")
	url := filepath.Join(o.dir, "azekura.db")
	if o.i.Config.Database != "" {
		url = o.i.Config.Database
	}
	o.raw, err = db.Open(t.Context(), url)
	o.ok(err)
	t.Cleanup(func() { o.raw.Close() })
	o.index = "register_index"
	if _, err := o.count("register_index_1"); err == nil {
		o.index = "register_index_1"
	}
	for n := range people {
		a, err := o.read(n)
		o.ok(err)
		o.ids = append(o.ids, a.Participant)
	}
	var size int64
	var root, mac []byte
	o.ok(o.raw.QueryRow(t.Context(), "SELECT size, root, mac FROM log_head", nil, &size, &root, &mac))
	o.early = [3]any{size, root, mac}
	for n := range 12 {
		o.change(n, "03-1234-56"+fmt.Sprint(10+n))
	}
	o.change(3, "03-1234-9999")
	var no, epoch int64
	var wrapped []byte
	o.ok(o.raw.QueryRow(t.Context(), "SELECT key_no, epoch, wrapped FROM keyring_participant WHERE participant_id = $1", []any{o.ids[o.shred][:]}, &no, &epoch, &wrapped))
	o.key = [4]any{no, epoch, o.ids[o.shred][:], wrapped}
	s, err := o.i.Access.AtSocket(o.token)
	o.ok(err)
	_, err = o.i.Gate.Shred(t.Context(), s, gate.Who{Participant: o.ids[o.shred]}, o.why)
	o.ok(err)
	_, err = o.i.Cases.Open(t.Context(), cases.By{Session: s}, cases.Call, 0, nil, "")
	o.ok(err)
	o.ok(o.i.Cases.Write(t.Context()))
	for o.i.Log.Committed() < 300 {
		_, err := o.read(int(o.i.Log.Committed()) % 50)
		o.ok(err)
	}
	return o
}

// importPeople imports through the job engine.
func (o *office) importPeople() {
	o.Helper()
	at, err := o.i.StartImport(o.Context(), insttest.File(o.T, insttest.CSV(o.T, 7, people)), rowfile.Options{})
	o.ok(err)
	for !at.Finished && at.Failure == "" {
		time.Sleep(20 * time.Millisecond)
		at, err = o.i.Register.Import(o.Context(), at.ID)
		o.ok(err)
	}
	if at.Created != people {
		o.Fatalf("%d were imported: %s", at.Created, at.Failure)
	}
}

func (o *office) ok(err error) {
	o.Helper()
	if err != nil {
		o.Fatal(err)
	}
}

func (o *office) open() {
	o.Helper()
	var err error
	o.i, err = insttest.OpenDir(o.Context(), o.dir)
	o.ok(err)
	o.Cleanup(o.close)
	o.ok(o.i.StartJobs(o.Context()))
}

func (o *office) close() {
	if o.i != nil {
		if err := o.i.Close(); err != nil && !errors.Is(err, auditlog.ErrStopped) {
			o.Error(err)
		}
		o.i = nil
	}
}

func (o *office) count(table string) (n int64, err error) {
	return n, o.raw.QueryRow(o.Context(), "SELECT count(*) FROM "+table, nil, &n)
}

// read reads a person's name by their ref.
func (o *office) read(n int) (gate.Answer, error) {
	s, err := o.i.Access.AtSocket(o.token)
	if err != nil {
		return gate.Answer{}, err
	}
	return o.i.Gate.Read(o.Context(), s, gate.ReadRequest{Who: gate.Who{Ref: o.people[n].Ref}, Why: o.why, Fields: field.SetOf(field.Name)})
}

func (o *office) change(n int, phone string) {
	o.Helper()
	s, err := o.i.Access.AtSocket(o.token)
	o.ok(err)
	_, err = o.i.Gate.Change(o.Context(), s, gate.ChangeRequest{Who: gate.Who{Participant: o.ids[n]}, Why: o.why, Values: map[field.Field]string{field.Phone: phone}})
	o.ok(err)
}

// exec does something to the database that must change a row.
func (o *office) exec(sql string, args ...any) {
	o.Helper()
	n, err := o.raw.Exec(o.Context(), sql, args...)
	o.ok(err)
	if n == 0 && !strings.HasPrefix(sql, "CREATE") {
		o.Fatalf("%s changed nothing", sql)
	}
}

// keep copies tables, and gives back what puts them as they were. The log's grows
// meanwhile, by alarms: those stay.
func (o *office) keep(tables []string, stopped bool) (undo func()) {
	o.Helper()
	size, err := o.count("log_event")
	o.ok(err)
	for _, table := range tables {
		_, err := o.raw.Exec(o.Context(), "CREATE TABLE kept_"+table+" AS SELECT * FROM "+table)
		o.ok(err)
	}
	return func() {
		o.Helper()
		for _, table := range tables {
			where := ""
			if table == "log_event" && !stopped {
				where = fmt.Sprintf(" WHERE idx < %d OR idx > 1000000", size)
			}
			for _, sql := range []string{"DELETE FROM " + table + where, "INSERT INTO " + table + " SELECT * FROM kept_" + table, "DROP TABLE kept_" + table} {
				_, err := o.raw.Exec(o.Context(), sql)
				o.ok(err)
			}
		}
	}
}

// The ways in which tampering is found.
const (
	byRead   = "the next read"
	byLog    = "log verify"
	byVerify = "verify"
	byWatch  = "every minute"
	byStart  = "the next start"
	byCases  = "the next start, by an alarm"
	byImport = "the next import"
	byJob    = "its turn"
	noEffect = "no effect"
)

// find looks in one of these ways and returns what is said.
func (o *office) find(by string, person int) string {
	o.Helper()
	switch by {
	case byRead:
		_, err := o.read(person)
		return o.alarmed(err)
	case byLog:
		if o.i == nil {
			r, _, err := installation.VerifyLog(o.Context(), o.dir, nil)
			o.ok(err)
			return r.Problem
		}
		size, root := o.i.Signer.Head()
		r, err := auditlog.Verify(o.Context(), o.i.DB, o.i.Log.ID(), size, root, auditlog.VerifyOptions{OpenMembers: o.i.Gate.OpenMembers, Edge: o.i.Signer.Edge()})
		o.ok(err)
		return r.Problem
	case byVerify:
		v, err := o.i.Gate.VerifyRegister(o.Context(), nil)
		o.ok(err)
		if len(v.Problems) == 0 {
			return ""
		}
		return v.Problems[0].String()
	case byJob:
		for {
			if list := o.alarmsOn("river_job"); len(list) > o.forged {
				return list[len(list)-1].String()
			}
			time.Sleep(20 * time.Millisecond)
		}
	case byImport:
		_, err := insttest.TryImport(o.Context(), o.i, insttest.File(o.T, insttest.CSV(o.T, 7, people)), register.ImportOptions{})
		return o.alarmed(err)
	case byWatch:
		if err := o.i.CheckAuthority(o.Context()); err != nil {
			return err.Error()
		}
	case byStart:
		o.close()
		i, err := insttest.OpenDir(o.Context(), o.dir)
		if err == nil {
			o.ok(i.Close())
			return ""
		}
		return err.Error()
	case byCases:
		o.close()
		o.open()
		for _, table := range []string{"case_file", "case_snapshot"} {
			list := o.alarmsOn(table)
			if n := len(list); n > o.heard[table] {
				o.heard[table] = n
				return list[n-1].String()
			}
		}
	case noEffect:
		o.close()
		o.open()
		if _, err := o.i.Access.AtSocket(forgedToken); err == nil {
			return "the forged token opens"
		}
		if _, err := o.i.Access.AtSocket(o.closed); err == nil {
			return "the closed session opens"
		}
		return "nothing is granted"
	}
	return ""
}

func (o *office) alarmsOn(table string) (list []auditlog.Tampering) {
	o.Helper()
	all, err := o.i.Log.Alarms(o.Context())
	o.ok(err)
	for _, a := range all {
		if a.Table == table {
			list = append(list, a.Tampering)
		}
	}
	return list
}

// alarmed is an error, if it is in the log as an alarm.
func (o *office) alarmed(err error) string {
	o.Helper()
	var wrong *auditlog.Tampered
	if !errors.As(err, &wrong) {
		return fmt.Sprint("no tampering: ", err)
	}
	list, err := o.i.Log.Alarms(o.Context())
	if err != nil { // the log's own events were tampered with
		return wrong.Tampering.String()
	}
	for _, a := range list {
		if a.Tampering == wrong.Tampering {
			return wrong.Tampering.String()
		}
	}
	return "no alarm: " + wrong.Error()
}

// act is one thing done to one table.
type act struct {
	on, what string
	tables   []string // that it touches, to be put back
	stopped  bool     // while no server runs
	person   int      // whom a read is about
	do       func(o *office, person int)
	by       []string
	says     string
}

// TestTampering prints the table.
func TestTampering(t *testing.T) {
	insttest.Each(t, func(t *testing.T, engine string) {
		o := newOffice(t, engine)
		var table strings.Builder
		w := tabwriter.NewWriter(&table, 0, 0, 2, ' ', 0)
		fmt.Fprintln(w, "on\twhat\tfound by\tms\tit says")
		for n, a := range acts() {
			o.try(w, a, n)
		}
		w.Flush()
		t.Logf("%s, %d participants\n%s", engine, people, &table)
		for _, by := range []string{byLog, byVerify, byWatch} {
			if says := o.find(by, 0); says != "" {
				t.Errorf("after all was put back, %s says %q", by, says)
			}
		}
	})
}

func (o *office) try(w *tabwriter.Writer, a act, n int) {
	o.Helper()
	name := a.on + ": " + a.what
	if a.stopped {
		o.close()
	}
	tables := slices.Clone(a.tables)
	for i := range tables {
		if tables[i] == "index" {
			tables[i] = o.index
		}
	}
	undo := o.keep(tables, a.stopped)
	a.do(o, a.person)
	for _, by := range a.by {
		began := time.Now()
		says := o.find(by, a.person)
		took := time.Since(began)
		if !strings.Contains(says, a.says) || says == "" {
			o.Errorf("%s: %s says %q, not %q", name, by, says, a.says)
		}
		says = strings.ReplaceAll(says, "\n", " ")
		for i, id := range o.ids { // a table that is printed twice should be the same
			says = strings.ReplaceAll(says, id.String(), fmt.Sprint("P", i))
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%s\n", a.on, a.what, by, took.Milliseconds(), says)
	}
	undo()
	if o.i == nil {
		o.open()
	}
}
