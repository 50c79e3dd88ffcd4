package drill_test

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"azekura/access"
	"azekura/access/policy"
	"azekura/api"
	"azekura/drill"
	"azekura/drill/workday"
	"azekura/incident"
)

// twoDays is a small drill of days.
func twoDays(t *testing.T) drill.Options {
	o := stage(t)
	o.People, o.Days, o.Staff, o.Devices, o.Infected, o.Known, o.Theft = 600, 2, 10, 22, 9, 10, 2*time.Minute
	o.Canaries = 0.02
	return o
}

// TestDays: honest work and a theft of days, in seconds; every way is reported, none
// got what the exposure lacks, and honest work isn't hindered at PCs that aren't
// infected.
func TestDays(t *testing.T) {
	r, err := drill.June(t.Context(), twoDays(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Err(); err != nil {
		t.Error(err)
	}
	if r.Unmatched != nil {
		t.Errorf("our attacker wrote what can't be so: %+v", *r.Unmatched)
	}
	d := r.Days
	if d == nil || d.Honest.Callers < 2*8*20 || d.Honest.Openings < d.Honest.Callers/2 || d.Honest.AtClean != 0 {
		t.Fatalf("honest work: %+v", d)
	}
	// Who is contained hands their callers over and comes back at a clean PC: nobody is
	// left unserved. Each case takes a touch.
	h := d.Honest
	if h.AtInfected == 0 || h.Refused != h.AtInfected || h.NeverDone != 0 || h.PassedOn == 0 || h.Touches < h.Callers || h.Moved == 0 {
		t.Errorf("relief: %+v", h)
	}
	if r.OwnWork.Participants == 0 || d.Beyond > r.Stolen.Participants {
		t.Errorf("own work with %d, stolen of %d, beyond that %d", r.OwnWork.Participants, r.Stolen.Participants, d.Beyond)
	}
	tried := map[string]drill.Attempt{}
	for _, a := range r.Attempts {
		tried[a.Name] = a
	}
	for _, way := range []string{"slow-search", "targeted", "users-cases", "sweep", "search", "fabricated-case", "token-elsewhere", "token-with-key", "database-copied"} {
		if a := tried[way]; a.Tried == 0 {
			t.Errorf("%s wasn't tried: %+v", way, a)
		}
	}
	for _, way := range []string{"shared-folders", "tables-edited"} {
		if a := tried[way]; a.NotTested == "" {
			t.Errorf("%s is neither tried nor said not to be: %+v", way, a)
		}
	}
	// Nothing opens in a case that nobody touched a key for, and none opens but whom it is about; a token counts at its own device and its key at one
	// address, and a copy of the database shows nobody.
	for _, way := range []string{"slow-search", "targeted", "fabricated-case", "sweep", "search", "token-elsewhere", "token-with-key", "database-copied"} {
		if a := tried[way]; a.Participants != 0 || a.StoppedBy == "" {
			t.Errorf("%s: %+v", way, a)
		}
	}
	if a := tried["sweep"]; a.SecondsToStop == nil || a.PCsStopped != 1 || a.PCs != 1 || *a.SecondsToStop > 60 {
		t.Errorf("the sweep: %+v", a)
	}
	if a := tried["search"]; a.SecondsToStop == nil || a.SecondsToContain == nil || *a.SecondsToContain > 60 {
		t.Errorf("the fast search: %+v", a)
	}
	if a := tried["slow-search"]; a.SecondsToStop == nil || a.SecondsToContain == nil || a.PCs != 3 || *a.SecondsToContain > 86400 {
		t.Errorf("the slow search: %+v", a)
	}
	// Who guesses is contained by rule, and not who works beside.
	if !slices.ContainsFunc(d.Contained, func(s drill.Stop) bool { return s.By == "rule case-without-touch" }) {
		t.Errorf("contained: %+v", d.Contained)
	}
	for _, in := range []incident.Language{incident.English, incident.Japanese} {
		var text strings.Builder
		if err := r.WriteTable(&text, in, ""); err != nil || strings.Contains(text.String(), "%!") {
			t.Errorf("%v\n%s", err, text.String())
		}
	}
}

// TestStranger: a thief that somebody wrote from PROTOCOL.md alone, who uses the users' own
// cases as soon as they are open and learns from what contains its PCs. It gets nobody.
func TestStranger(t *testing.T) {
	o := twoDays(t)
	attacker, err := filepath.Abs("testdata/stranger.py")
	if err != nil {
		t.Fatal(err)
	}
	o.Command = "exec python3 '" + attacker + "'"
	r, err := drill.June(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Err(); err != nil || r.Unmatched != nil {
		t.Errorf("%v, %+v", err, r.Unmatched)
	}
	tried := int64(0)
	for _, a := range r.Attempts {
		if a.Name == "takeover" || a.Name == "search" {
			tried += a.Tried
		}
	}
	if d := r.Days; tried == 0 || d.Beyond != 0 || d.Honest.AtClean != 0 || len(d.Contained) == 0 {
		t.Errorf("%d tried, %d people beyond own work, %+v", tried, d.Beyond, d.Honest)
	}
}

// TestAwakeAttackerIsStopped: one that knows nothing of the clock lives in real time,
// for as long as it may; then the days go on.
func TestAwakeAttackerIsStopped(t *testing.T) {
	o := twoDays(t)
	o.Days, o.Theft = 1, time.Second
	o.Command = `echo '{"tried":3}' >> "$AZEKURA_DRILL_OUT"; exec sleep 1000`
	r, err := drill.June(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if a := r.Attempts[0]; a.Name != "attacker" || !strings.Contains(a.StoppedBy, "real time") {
		t.Errorf("%+v", a)
	}
	if r.Days.Honest.Callers < 8*20 {
		t.Errorf("the day ended after %d callers", r.Days.Honest.Callers)
	}
}

// TestContainedPC: where a person contains an infected PC, the report says so, its
// own user's work is counted as refused, and the others' days go on.
func TestContainedPC(t *testing.T) {
	o := twoDays(t)
	o.Keep = filepath.Join(os.Getenv("TMPDIR"), "kept")
	defer os.RemoveAll(o.Keep)
	device := fmt.Sprintf("pc-%03d", workday.Spread(o.Seed, o.Staff, o.Infected, o.Days)[0].Staff+1)
	var once sync.Once
	o.Tell = func(p drill.Progress) {
		if p.Stage != drill.Stealing || p.Done == 0 {
			return
		}
		once.Do(func() {
			c, err := api.Dial(o.Keep)
			if err == nil {
				in := api.NewContain{Target: access.Target{Kind: access.TheDevice, ID: device}, Why: "a test"}
				err = c.Do(t.Context(), http.MethodPost, "/operator/contain", in, nil)
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
	r, err := drill.June(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	d := r.Days
	if !slices.ContainsFunc(d.Contained, func(s drill.Stop) bool { return s.Device == device && s.By == "operator" }) {
		t.Errorf("contained: %+v", d.Contained)
	}
	if d.Honest.Refused == 0 || d.Honest.AtClean != 0 || d.Honest.Callers < 2*8*20 {
		t.Errorf("honest work: %+v", d.Honest)
	}
}

// noAccounts is a real text: the shipped one, and one more.
const noAccounts = `
@id("no-accounts")
@en("Accounts are opened at the head office.")
@ja("口座は本部で開きます。")
forbid (principal is Staff, action, resource)
when { context.fields.contains("account") };
//! refuse no-accounts: fields=account
`

// TestPolicies: an agency's own policies, of a folder's files, decide in a drill; what
// they refuse of honest work and of the thief is told apart, and the former is never done.
func TestPolicies(t *testing.T) {
	o := twoDays(t)
	o.Policy = t.TempDir()
	for name, text := range map[string]string{"1.cedar": string(policy.Strict()), "2.cedar": noAccounts, "notes.txt": "not one"} {
		if err := os.WriteFile(filepath.Join(o.Policy, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	o.Days, o.Staff, o.Devices, o.Infected = 1, 3, 4, 2
	r, err := drill.June(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	p, h := r.Days.Policies, r.Days.Honest
	delete(p.Honest, "fields-by-touch") // who asked before they touched their key, and then did
	if p == nil || p.Tests < 10 || p.Honest["no-accounts"] < 5 || p.Thief["case-by-touch"] == 0 || len(p.Honest) != 1 {
		t.Fatalf("policies: %+v; honest work: %+v", p, h)
	}
	if h.AtClean == 0 || h.AtClean+h.NeverDone != p.Honest["no-accounts"] || h.PerTenK < 100 {
		t.Errorf("honest work: %+v of %+v", h, p)
	}
	o.Policy = filepath.Join(o.Policy, "2.cedar")
	if err := os.WriteFile(o.Policy, []byte(strings.Replace(noAccounts, "//! refuse", "//! allow", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := drill.June(t.Context(), o); !errors.Is(err, drill.ErrOptions) {
		t.Errorf("a text that fails its own test: %v", err)
	}
}
