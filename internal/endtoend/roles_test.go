package endtoend

import (
	"context"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"azekura/internal/insttest"
	"azekura/internal/pgtest"

	"github.com/jackc/pgx/v5"
)

// TestTwoRoles is doc/operations.md's PostgreSQL, from init to a new version: one
// role owns the tables and another serves.
func TestTwoRoles(t *testing.T) {
	cluster := pgtest.New(t, pgtest.Options{})
	super, err := pgx.Connect(t.Context(), cluster.URL("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	defer super.Close(context.Background())
	for _, sql := range []string{"CREATE ROLE azekura_app LOGIN PASSWORD 'a'", "CREATE ROLE azekura_owner LOGIN PASSWORD 'o' IN ROLE azekura_app",
		"CREATE DATABASE register OWNER azekura_owner"} {
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
		return u.String() + "\n"
	}
	home, err := os.MkdirTemp("", "az-") // short, for the socket's sake
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(home) })
	a := &agency{dir: filepath.Join(home, "inst"), passphrase: filepath.Join(home, "passphrase"), people: insttest.People(7, 20)}
	if err := os.WriteFile(a.passphrase, []byte(passphrase+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	say := func(in string, args ...string) string {
		cmd := a.command(args...)
		cmd.Stdin = strings.NewReader(in)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("azekura %s: %v\n%s", strings.Join(args, " "), err, out)
		}
		return string(out)
	}
	keys, public := approvers(t)
	// The URLs hold passwords, so they are asked for and stand in no argument.
	say(as("azekura_app", "a")+as("azekura_owner", "o"), "init", "--cases-optional", "--db", "-", "--owner-db", "-", "--approver", public[0], "--approver", public[1])
	a.must(t, "staff", "add", "s-1")
	a.must(t, "device", "add", "pc-0")
	a.must(t, "participants", "import", insttest.File(t, insttest.CSV(t, 7, 20)))
	s := a.serve(t)
	token := filepath.Join(home, "token")
	a.must(t, "session", "open", "--staff", "s-1", "--device", "pc-0", "--save", token)
	why := []string{"--purpose", "enquiry", "--case", "C-1", "--token-file", token}
	if out := say(a.people[3].Ref+"\n", append([]string{"read", "--ref", "-", "--fields", "name"}, why...)...); !strings.Contains(out, a.people[3].Name) {
		t.Error("the read doesn't show whom it is of")
	}
	a.must(t, "staff", "add", "s-2", "--role", "supervisor")
	a.must(t, "device", "add", "pc-1")
	token2 := filepath.Join(home, "token2")
	a.must(t, "session", "open", "--staff", "s-2", "--device", "pc-1", "--save", token2)
	id := participantID.FindString(a.must(t, append([]string{"read", "--ref", a.people[4].Ref, "--fields", "name", "--json"}, why...)...))
	proposal := filepath.Join(home, "proposal")
	a.must(t, append([]string{"proposal", "draft", "shred", "-o", proposal, "--participant", id}, why...)...)
	decided(t, proposal, keys[:1])
	a.must(t, "proposal", "submit", proposal, "--token-file", token)
	decided(t, proposal, keys[1:])
	brought := a.must(t, "proposal", "submit", proposal, "--token-file", token2)
	out := a.must(t, append([]string{"participants", "shred", "--participant", id, "--confirm", "destroy", "--proposal", strings.Fields(brought)[1]}, why...)...)
	if strings.Contains(out, "Look to this") {
		t.Errorf("something remains of the shredded key: %s", out)
	}
	if out := say(as("azekura_owner", "o"), "migrate", "--db", "-"); out != "The tables are those of this version.\n" {
		t.Errorf("migrate, beside a running server: %s", out)
	}
	a.verified(t)
	if status := s.stop(t); status != 0 {
		t.Errorf("the server ended with %d\n%s", status, s.stderr())
	}
}
