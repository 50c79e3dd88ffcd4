package installation_test

import (
	"context"
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"azekura/auditlog"
	"azekura/gate"
	"azekura/incident"
	"azekura/internal/db"
	"azekura/internal/installation"
	"azekura/internal/insttest"
	"azekura/internal/pgtest"
	"azekura/register/field"
	"azekura/register/rowfile"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// roles makes a database as doc/operations.md says, and returns its URLs for the
// tables' owner and for the application.
func roles(t *testing.T) (owner, application string) {
	t.Helper()
	cluster := pgtest.New(t, pgtest.Options{})
	super, err := pgx.Connect(t.Context(), cluster.URL("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	defer super.Close(context.Background())
	for _, sql := range []string{
		"CREATE ROLE azekura_app LOGIN PASSWORD 'a'",
		"CREATE ROLE azekura_owner LOGIN PASSWORD 'o' IN ROLE azekura_app",
		"CREATE DATABASE register OWNER azekura_owner",
	} {
		if _, err := super.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	as := func(role, password string) string {
		u, err := url.Parse(cluster.URL("register"))
		if err != nil {
			t.Fatal(err)
		}
		u.User = url.UserPassword(role, password)
		return u.String()
	}
	return as("azekura_owner", "o"), as("azekura_app", "a")
}

var passphrase = []byte("an old raft of cypress logs")

// TestServedAsTheApplication: an installation whose tables belong to one role is
// served by another that can't change the log, and everything works.
func TestServedAsTheApplication(t *testing.T) {
	owner, application := roles(t)
	dir := filepath.Join(t.TempDir(), "installation")
	o := installation.CreateOptions{Database: application, Owner: owner, Passphrase: passphrase, WorkFactor: 10}
	if _, err := installation.Create(t.Context(), dir, o); err != nil {
		t.Fatal(err)
	}
	if raw, err := os.ReadFile(filepath.Join(dir, "azekura.json")); err != nil || strings.Contains(string(raw), "azekura_owner") {
		t.Errorf("the owner's URL is kept (%v)", err)
	}
	// As with each new version, while nothing has changed.
	if err := installation.Migrate(t.Context(), owner); err != nil {
		t.Fatal(err)
	}
	i, err := installation.Open(t.Context(), dir, func() ([]byte, error) { return slices.Clone(passphrase), nil })
	if err != nil {
		t.Fatal(err)
	}
	defer i.Close()
	if err := i.StartJobs(t.Context()); err != nil {
		t.Fatal(err)
	}
	i.Gate.LetOneDecide(func() bool { return true }) // what two decide is another test's matter
	work(t, i)
	mayNot(t, i, application)
	size, root := i.Signer.Head()
	r, err := auditlog.Verify(t.Context(), i.DB, i.Log.ID(), size, root, auditlog.VerifyOptions{OpenMembers: i.Gate.OpenMembers})
	if err != nil || !r.OK {
		t.Errorf("the log isn't whole: %v %+v", err, r)
	}
}

// work does all that an installation does with its tables.
func work(t *testing.T, i *installation.Installation) {
	t.Helper()
	people := insttest.People(5, 30)
	path := insttest.File(t, append(insttest.CSV(t, 5, 30), []byte("broken\n")...))
	at, err := i.StartImport(t.Context(), path, rowfile.Options{})
	for deadline := time.Now().Add(2 * time.Minute); err == nil && !at.Finished; time.Sleep(10 * time.Millisecond) {
		if at.Failure != "" || time.Now().After(deadline) {
			t.Fatalf("the import doesn't end: %+v", at)
		}
		at, err = i.Register.Import(t.Context(), at.ID)
	}
	if err != nil || at.Created != 30 || at.Rejected != 1 {
		t.Fatalf("import: %+v, %v", at, err)
	}
	s := insttest.Caseworker(t, i)
	who := func(n int) gate.Who { return gate.Who{Ref: people[n].Ref} }
	name := field.SetOf(field.Name)
	if _, err := i.Gate.Read(t.Context(), s, gate.ReadRequest{Who: who(1), Why: insttest.Why, Fields: name}); err != nil {
		t.Errorf("read: %v", err)
	}
	if yes, err := i.Gate.Check(t.Context(), s, gate.CheckRequest{Who: who(1), Why: insttest.Why, Field: field.Number, Claim: people[1].Number}); err != nil {
		t.Errorf("check: %v %v", yes, err)
	}
	change := gate.ChangeRequest{Who: who(2), Why: insttest.Why, Values: map[field.Field]string{field.Phone: "03-9999-1234"}}
	if _, err := i.Gate.Change(t.Context(), s, change); err != nil {
		t.Errorf("change: %v", err)
	}
	// It vacuums as well, or would say that it can't.
	if _, err := i.Gate.Shred(t.Context(), s, who(3), insttest.Why); err != nil {
		t.Errorf("shred: %v", err)
	}
	// A key's rotation empties a table, and writes that of the keys anew.
	for _, kind := range []string{"data", "index"} {
		at, err := i.Rotator.Start(t.Context(), kind)
		if err == nil {
			err = i.Rotator.Run(t.Context(), at.ID)
		}
		if err != nil {
			t.Errorf("change the %s key: %v", kind, err)
		}
	}
	if state := insttest.Look(t, i, s); len(state.People) != 29 {
		t.Errorf("%d people are there", len(state.People))
	}
	src := incident.Source{DB: i.DB, LogID: i.Log.ID(), Signed: i.Signer.Head, OpenMembers: i.Gate.OpenMembers}
	e, err := incident.Compute(t.Context(), src, incident.Query{Sessions: []auditlog.Session{s.ID()}}, nil)
	if err != nil || e.Participants != 30 {
		t.Errorf("exposure: %v", err)
	}
	for _, kind := range []string{"data", "index"} {
		at, err := i.Rotator.Start(t.Context(), kind)
		if err == nil {
			err = i.Rotator.Run(t.Context(), at.ID)
		}
		if err != nil {
			t.Errorf("rotate the %s key: %v", kind, err)
		}
	}
	if state := insttest.Look(t, i, s); len(state.People) != 29 {
		t.Errorf("%d people are there after the keys were changed", len(state.People))
	}
	if _, err := i.Access.CloseSession(t.Context(), s.ID()); err != nil {
		t.Errorf("close the session: %v", err)
	}
}

// mayNot tries what the application must not do, by a connection of its own.
func mayNot(t *testing.T, i *installation.Installation, application string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), application)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	refused := []string{
		"UPDATE log_event SET line = line", "UPDATE log_event SET fields = 0 WHERE idx = 1", "UPDATE log_tile SET hashes = hashes",
		"UPDATE log_set_block SET sealed = sealed", "DELETE FROM log_head", "TRUNCATE log_head", "DROP TABLE log_event",
		"ALTER TABLE log_event ADD COLUMN more BIGINT", "CREATE TABLE mine (id BIGINT)", "CREATE TRIGGER t BEFORE INSERT ON log_event EXECUTE FUNCTION suppress_redundant_updates_trigger()",
		"INSERT INTO azekura_migration VALUES ('x', 1)", "SET ROLE azekura_owner", "COPY (SELECT 1) TO PROGRAM 'true'",
	}
	for _, table := range []string{"log_event", "log_tile", "log_set_block"} {
		refused = append(refused, "DELETE FROM "+table, "TRUNCATE "+table)
	}
	for _, sql := range refused {
		_, err := conn.Exec(t.Context(), sql)
		var no *pgconn.PgError
		if !errors.As(err, &no) || no.Code != "42501" {
			t.Errorf("%s: %v", sql, err)
		}
	}
	// A table without a line of its own would be one that nobody thought of.
	rows, err := i.DB.Query(t.Context(), `SELECT c.relname FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r'
		AND NOT has_table_privilege('azekura_app', c.oid, 'SELECT')`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var table string
		if err := rows.Scan(&table); err != nil {
			t.Fatal(err)
		}
		t.Errorf("nothing is granted on %s: its migration lacks a line -- grant:", table)
	}
}

// TestApplicationCantMigrate says who can.
func TestApplicationCantMigrate(t *testing.T) {
	owner, application := roles(t)
	err := installation.Migrate(t.Context(), application)
	if err == nil || !strings.Contains(err.Error(), "run azekura migrate") {
		t.Errorf("the application migrates: %v", err)
	}
	if err := installation.Migrate(t.Context(), owner); err != nil {
		t.Fatal(err)
	}
	// Now there is nothing to do, and it may look.
	d, err := db.Open(t.Context(), application)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if err := db.Migrate(t.Context(), d, time.Now(), auditlog.Migrations); err != nil {
		t.Error(err)
	}
	// What somebody granted by hand goes.
	o, err := db.Open(t.Context(), owner)
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	if _, err := o.Exec(t.Context(), "GRANT UPDATE, DELETE ON log_event TO azekura_app"); err != nil {
		t.Fatal(err)
	}
	if err := installation.Migrate(t.Context(), owner); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Exec(t.Context(), "DELETE FROM log_event"); err == nil {
		t.Error("a grant that was made by hand stays")
	}
}
