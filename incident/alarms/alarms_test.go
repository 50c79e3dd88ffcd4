package alarms_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"azekura/access"
	"azekura/auditlog"
	"azekura/incident/alarms"
	"azekura/internal/installation"
	"azekura/internal/insttest"
	"azekura/internal/pgtest"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

// send names the targets in an installation's settings, and opens it.
func send(t *testing.T, dir string, to ...alarms.Target) *installation.Installation {
	t.Helper()
	insttest.Set(t, dir, "alarms", to)
	i := insttest.Open(t, dir)
	i.Trouble = func(err error) { t.Log(err) }
	must(t, i.SendAlarms(t.Context()))
	return i
}

// events are what a list of notices is about.
func events(list []alarms.Notice) (of []int64) {
	for _, n := range list {
		of = append(of, n.Event)
	}
	return of
}

// TestSent has a containment, a release and an alarm go to a webhook, a mail server and a
// syslog, each of which is away for a while; none is lost, in order, and the server
// is stopped and started among them.
func TestSent(t *testing.T) {
	insttest.Each(t, func(t *testing.T, engine string) {
		dir, out := insttest.New(t, engine), t.TempDir()
		h := newHook(t)
		mailServer, mails, toMail := newMailServer(t, out)
		logServer, lines, toLog := newSyslog(t, out)
		targets := []alarms.Target{h.target(t, dir), toMail, toLog}
		i := send(t, dir, targets...)
		settled := i.Log.Committed() - 1 // the event that names the targets
		_, err := i.Access.AddStaff(t.Context(), "s-9", "caseworker", "o-1")
		must(t, err)

		h.mu.Lock()
		h.fail = 2
		h.mu.Unlock()
		mailServer.stop()
		stopped, err := i.Access.Contain(t.Context(), access.Operator(), access.Target{Kind: access.TheStaff, ID: "s-9"}, "seen by nobody outside")
		must(t, err)
		eventually(t, "the webhook takes it", func() bool { return len(h.notices()) == 2 })
		eventually(t, "the mail server is found away", func() bool {
			s := i.Outbox.Status()
			return s[1].Fails != "" && s[1].Since != nil && s[1].Waiting > 0 && s[0].Fails == "" && s[0].Sent != nil
		})
		must(t, i.Log.Raise(t.Context(), auditlog.Tampering{Table: "register_version", Key: "0190-secret-pseudonym", Kind: "was altered"}))
		must(t, i.Close())
		mailServer.start(t)
		logServer.stop()
		logServer.start(t)

		i = send(t, dir, targets...)
		tested, err := i.TestAlarms(t.Context())
		must(t, err)
		want := []int64{settled, stopped.Event, tested - 1, tested}
		eventually(t, "the webhook has all", func() bool { return len(h.notices()) >= len(want) })
		eventually(t, "the mail server has all", func() bool { return len(mails()) >= len(want) })
		eventually(t, "the syslog has all", func() bool { return len(lines()) >= len(want) })
		if got := events(h.notices()); !slices.Equal(got, want) {
			t.Errorf("the webhook was told of the events %v, not %v", got, want)
		}
		if len(h.bad) > 0 {
			t.Errorf("what the webhook's library refuses: %v", h.bad)
		}
		contained := h.notices()[1]
		if contained.Kind != alarms.Containment || contained.Target != "staff s-9" || contained.Severity != "high" || contained.Time.IsZero() {
			t.Errorf("%+v", contained)
		}
		all := strings.Join(mails(), "\n") + strings.Join(lines(), "\n") + fmt.Sprint(h.notices())
		for _, inside := range []string{"pseudonym", "seen by nobody"} {
			if strings.Contains(all, inside) {
				t.Errorf("%q goes out", inside)
			}
		}
		for _, said := range []string{"csirt@example.go.jp, night@example.go.jp\nAzekura 遮断（重大度 高）operator\n", "対象：staff s-9\n", "データベースの行が書き換えられ", "規則：tampering"} {
			if !strings.Contains(all, said) {
				t.Errorf("no mail says %q:\n%s", said, all)
			}
		}
		for _, line := range []string{" err azekura containment ", "CEF:0|Azekura|Azekura|1|tampering|register_version: was altered|8|rt=", " notice azekura test ", "cs2=staff s-9 cs2Label=target"} {
			if !strings.Contains(strings.Join(lines(), "\n"), line) {
				t.Errorf("the syslog has no %q:\n%s", line, strings.Join(lines(), "\n"))
			}
		}
		if s := i.Outbox.Status(); s[0].Next != tested+1 || strings.Contains(s[0].Where, "secret") {
			t.Errorf("%+v", s)
		}
		// Without the mail, the others are told so.
		must(t, i.Close())
		i = send(t, dir, targets[0], targets[2])
		eventually(t, "the change of targets is told", func() bool { n := h.notices(); return n[len(n)-1].Kind == alarms.Settings })
		must(t, i.Close())
		i = send(t, dir, targets[0], targets[2])
		if e := insttest.Events(t, i); e[len(e)-1].Purpose != alarms.TargetsPurpose || e[len(e)-2].Purpose == alarms.TargetsPurpose {
			t.Error("the targets are named again though they are the same")
		}
	})
}

// TestAcknowledge: who has looked at an alarm stands in the list, and must say what
// they found of an alarm that there is.
func TestAcknowledge(t *testing.T) {
	insttest.Each(t, func(t *testing.T, engine string) {
		i := insttest.Open(t, insttest.New(t, engine))
		must(t, i.Log.Raise(t.Context(), auditlog.Tampering{Table: "case_file", Key: "1", Kind: "is gone"}))
		event := i.Log.Committed() - 1
		if _, err := i.Acknowledge(t.Context(), access.Operator(), 0, event-1, "nothing"); err == nil {
			t.Error("what is no alarm was acknowledged")
		}
		if _, err := i.Acknowledge(t.Context(), access.Operator(), 0, event, ""); err == nil {
			t.Error("nothing was found, and that not said")
		}
		s, _ := insttest.Session(t, i, "s-1", "caseworker", "d-1")
		if _, err := i.Acknowledge(t.Context(), s.Officer(), 0, event, "nothing"); err == nil {
			t.Error("a caseworker acknowledged an alarm")
		}
		_, err := i.Acknowledge(t.Context(), access.Operator(), 0, event, "a restore by hand")
		must(t, err)
		list, err := i.Alarms(t.Context())
		must(t, err)
		at := slices.IndexFunc(list, func(e alarms.Entry) bool { return e.Event == event })
		if at < 0 || list[at].Acknowledged == nil || list[at].Acknowledged.Why != "a restore by hand" || list[at].Acknowledged.By != "operator" {
			t.Errorf("%+v", list)
		}
	})
}

// TestTargetsRefused: settings that can't work, or would show secrets on the way.
func TestTargetsRefused(t *testing.T) {
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, "short"), []byte("whsec_AAAA"), 0o600))
	must(t, os.WriteFile(filepath.Join(dir, "good"), []byte("whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="), 0o600))
	hook := func(url, secret string) alarms.Target {
		return alarms.Target{Name: "a", Webhook: &alarms.Webhook{URL: url, Secret: secret}}
	}
	mail := func(m alarms.Mail) alarms.Target { return alarms.Target{Name: "a", Mail: &m} }
	to := []string{"a@example.org"}
	for name, bad := range map[string][]alarms.Target{
		"http elsewhere":     {hook("http://example.org/", "good")},
		"no secret":          {hook("https://example.org/", "missing")},
		"a short secret":     {hook("https://example.org/", "short")},
		"two kinds":          {{Name: "a", Webhook: &alarms.Webhook{URL: "https://example.org/", Secret: "good"}, Syslog: &alarms.Syslog{Server: "localhost:1", TLS: "none"}}},
		"none":               {{Name: "a"}},
		"a path for a name":  {{Name: "../a", Syslog: &alarms.Syslog{Server: "localhost:1", TLS: "none"}}},
		"one name twice":     {hook("https://example.org/", "good"), hook("https://example.org/", "good")},
		"mail without TLS":   {mail(alarms.Mail{Server: "example.org:25", TLS: "none", From: "a@example.org", To: to})},
		"a header in a name": {mail(alarms.Mail{Server: "example.org:25", From: "a@example.org", To: []string{"a@example.org\r\nBcc: b@example.org"}})},
		"nobody":             {mail(alarms.Mail{Server: "example.org:25", From: "a@example.org"})},
		"a password bare":    {mail(alarms.Mail{Server: "localhost:25", TLS: "none", From: "a@example.org", To: to, User: "u", Password: "good"})},
		"syslog bare":        {{Name: "a", Syslog: &alarms.Syslog{Server: "example.org:514", TLS: "none"}}},
		"no port":            {{Name: "a", Syslog: &alarms.Syslog{Server: "example.org"}}},
	} {
		if o, err := alarms.New(dir, "log.invalid/x", bad, nil); err == nil || len(o.Named()) > 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := alarms.New(dir, "log.invalid/x", []alarms.Target{hook("https://example.org/", "good")}, nil); err != nil {
		t.Error(err)
	}
}
