package access_test

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"azekura/access"
	"azekura/auditlog"
	"azekura/internal/installation"
	"azekura/internal/insttest"
	"azekura/internal/pgtest"

	"github.com/google/go-cmp/cmp"
)

func TestMain(m *testing.M) {
	checks := "25" // each act is an event that is synced
	if os.Getenv("AZEKURA_SOAK") == "1" {
		checks = "1000"
	}
	if err := flag.Set("rapid.checks", checks); err != nil {
		panic(err)
	}
	os.Exit(pgtest.Main(m))
}

// event is the event of an index.
func event(t *testing.T, i *installation.Installation, index int64) auditlog.Event {
	t.Helper()
	events := insttest.Events(t, i)
	if index < 0 || index >= int64(len(events)) {
		t.Fatalf("there is no event %d", index)
	}
	return events[index]
}

// of lists the sessions that a staff member or a device ever had.
func of(t *testing.T, i *installation.Installation, staff, device string) []auditlog.Session {
	t.Helper()
	list, err := i.Access.Of(t.Context(), staff, device)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// TestGrantsAreEvents: each grant is in the log, whole.
func TestGrantsAreEvents(t *testing.T) {
	insttest.EachOpen(t, func(t *testing.T, i *installation.Installation) {
		staff, err := i.Access.AddStaff(t.Context(), "s-1", "supervisor", "o-1")
		if err != nil {
			t.Fatal(err)
		}
		device, err := i.Access.AddDevice(t.Context(), "d-1", "o-2")
		if err != nil {
			t.Fatal(err)
		}
		session, token, err := i.Access.OpenSession(t.Context(), "s-1", "d-1", time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		live, err := i.Access.AtSocket(token)
		if err != nil || live.Role() != "supervisor" || live.ID().String() != session.ID {
			t.Fatal(err, live.Role())
		}
		hash := sha256.Sum256([]byte(token))
		for _, c := range []struct {
			event  int64
			detail string
		}{
			{staff.Event, `{"grants":"staff","staff":"s-1","role":"supervisor","office":"o-1"}`},
			{device.Event, `{"grants":"device","device":"d-1","office":"o-2"}`},
			{session.Event, `{"grants":"session","expires":"` + session.Expires.Format(time.RFC3339Nano) + `","token":"` +
				base64.StdEncoding.EncodeToString(hash[:]) + `"}`},
		} {
			if e := event(t, i, c.event); e.Action != auditlog.Grant || e.Outcome != "ok" || string(e.Detail) != c.detail {
				t.Errorf("event %+v", e)
			}
		}
		if e := event(t, i, session.Event); e.Session != live.ID() || e.Staff != "s-1" || e.Device != "d-1" || e.Role != "supervisor" || e.SessionSeq != 1 {
			t.Errorf("%+v", e)
		}
		closed, err := i.Access.CloseSession(t.Context(), live.ID())
		if err != nil || closed.Closed == nil || closed.Event != session.Event {
			t.Fatalf("%v %+v", err, closed)
		}
		last := i.Log.Committed() - 1
		if e := event(t, i, last); e.Action != auditlog.Contain || e.Session != live.ID() || string(e.Detail) != `{"contains":"session"}` {
			t.Errorf("%+v", e)
		}
		if again, err := i.Access.CloseSession(t.Context(), live.ID()); err != nil || i.Log.Committed() != last+1 || again.Closed == nil {
			t.Errorf("closing twice: %v", err)
		}
		if _, err := i.Access.AtSocket(token); !errors.Is(err, access.ErrNoSession) || i.Access.Still(live) == nil {
			t.Error("a closed session is live:", err)
		}
	})
}

// TestRefusals: what isn't granted leaves neither an event nor a row.
func TestRefusals(t *testing.T) {
	insttest.EachOpen(t, func(t *testing.T, i *installation.Installation) {
		insttest.Caseworker(t, i)
		events := i.Log.Committed()
		staff := func(id, role, office string) error {
			_, err := i.Access.AddStaff(t.Context(), id, role, office)
			return err
		}
		device := func(id, office string) error { _, err := i.Access.AddDevice(t.Context(), id, office); return err }
		session := func(staff, device string, lasts time.Duration) error {
			_, token, err := i.Access.OpenSession(t.Context(), staff, device, lasts)
			if token != "" {
				t.Error("a token came with an error")
			}
			return err
		}
		for name, c := range map[string]struct{ err, want error }{
			"staff again":          {staff("s-1", "auditor", "o-1"), access.ErrExists},
			"device again":         {device("d-1", "o-2"), access.ErrExists},
			"no role":              {staff("s-2", "", "o-1"), access.ErrInvalid},
			"unknown role":         {staff("s-2", "root", "o-1"), access.ErrInvalid},
			"no id":                {staff("", "auditor", "o-1"), access.ErrInvalid},
			"a name as id":         {staff("髙橋花子", "auditor", "o-1"), access.ErrInvalid},
			"capitals":             {staff("S-2", "auditor", "o-1"), access.ErrInvalid},
			"a line end":           {staff("s-2\n", "auditor", "o-1"), access.ErrInvalid},
			"a dash first":         {device("-d", "o-1"), access.ErrInvalid},
			"a long id":            {device(strings.Repeat("d", 33), "o-1"), access.ErrInvalid},
			"no office":            {device("d-2", ""), access.ErrInvalid},
			"an odd office":        {staff("s-2", "auditor", "o 1"), access.ErrInvalid},
			"no time":              {session("s-1", "d-1", 0), access.ErrInvalid},
			"less than no time":    {session("s-1", "d-1", -time.Hour), access.ErrInvalid},
			"too long":             {session("s-1", "d-1", access.MaxSession+1), access.ErrInvalid},
			"nobody's session":     {session("s-9", "d-1", time.Hour), access.ErrNotFound},
			"session on no device": {session("s-1", "d-9", time.Hour), access.ErrNotFound},
		} {
			if !errors.Is(c.err, c.want) {
				t.Errorf("%s: %v, not %v", name, c.err, c.want)
			}
		}
		if _, err := i.Access.CloseSession(t.Context(), 1); !errors.Is(err, access.ErrNotFound) {
			t.Error(err)
		}
		for _, token := range []string{"", "azs_", "azs_" + strings.Repeat("A", 43), strings.Repeat("x", 1<<16)} {
			if _, err := i.Access.AtSocket(token); !errors.Is(err, access.ErrNoSession) {
				t.Errorf("%d bytes of token: %v", len(token), err)
			}
		}
		if err := i.Access.Still(access.Session{}); !errors.Is(err, access.ErrNoSession) || (access.Session{}).Live() {
			t.Error("nobody's session is live:", err)
		}
		known := len(i.Access.Staff()) + len(i.Access.Devices()) + len(i.Access.Sessions())
		if i.Log.Committed() != events || known != 3 {
			t.Errorf("%d events came of it, and %d are known", i.Log.Committed()-events, known)
		}
	})
}

// TestExpiry: a session ends by itself.
func TestExpiry(t *testing.T) {
	insttest.EachOpen(t, func(t *testing.T, i *installation.Installation) {
		insttest.Caseworker(t, i)
		_, token, err := i.Access.OpenSession(t.Context(), "s-1", "d-1", 300*time.Millisecond)
		if err != nil {
			t.Fatal(err)
		}
		s, err := i.Access.AtSocket(token)
		if err != nil { // a slow machine came too late; the rest holds all the same
			t.Log(err)
		}
		for i.Access.Still(s) == nil {
			time.Sleep(10 * time.Millisecond)
		}
		if _, err := i.Access.AtSocket(token); !errors.Is(err, access.ErrNoSession) {
			t.Error(err)
		}
	})
}

// TestTokenIsNowhere: of a token only the hash is kept, in the log, the database
// and every file beside it.
func TestTokenIsNowhere(t *testing.T) {
	insttest.EachOpen(t, func(t *testing.T, i *installation.Installation) {
		_, token := insttest.Session(t, i, "s-1", "caseworker", "d-1")
		if len(token) != len("azs_")+43 {
			t.Errorf("a token of %d characters", len(token))
		}
		for _, e := range insttest.Events(t, i) {
			if strings.Contains(fmt.Sprintf("%+v", e)+string(e.Detail), token[4:]) {
				t.Errorf("event %d holds the token", e.Index)
			}
		}
		entries, err := os.ReadDir(i.Dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, entry := range entries {
			if entry.IsDir() {
				continue
			}
			content, err := os.ReadFile(i.Dir + "/" + entry.Name())
			if err != nil || strings.Contains(string(content), token[4:]) {
				t.Errorf("%s holds the token, or can't be read: %v", entry.Name(), err)
			}
		}
	})
}

// TestRestart: what was granted is there after a restart, and what was ended
// stays ended.
func TestRestart(t *testing.T) {
	insttest.Each(t, func(t *testing.T, engine string) {
		dir := insttest.New(t, engine)
		i := insttest.Open(t, dir)
		_, kept := insttest.Session(t, i, "s-1", "caseworker", "d-1")
		ended, endedToken := insttest.Session(t, i, "s-2", "auditor", "d-2")
		if _, err := i.Access.CloseSession(t.Context(), ended.ID()); err != nil {
			t.Fatal(err)
		}
		staff, devices, sessions := i.Access.Staff(), i.Access.Devices(), i.Access.Sessions()
		if err := i.Close(); err != nil {
			t.Fatal(err)
		}
		i = insttest.Open(t, dir)
		if diff := cmp.Diff(staff, i.Access.Staff()); diff != "" {
			t.Error(diff)
		}
		if diff := cmp.Diff(devices, i.Access.Devices()); diff != "" {
			t.Error(diff)
		}
		now := i.Access.Sessions()
		for n := range now { // the log has the event's time, memory that of the request
			if (now[n].Closed == nil) != (sessions[n].Closed == nil) {
				t.Errorf("session %d is closed, or isn't any more", n)
			}
			now[n].Closed, sessions[n].Closed = nil, nil
		}
		if diff := cmp.Diff(sessions, now); diff != "" {
			t.Error(diff)
		}
		if s, err := i.Access.AtSocket(kept); err != nil || s.Role() != "caseworker" {
			t.Error(err)
		}
		if _, err := i.Access.AtSocket(endedToken); !errors.Is(err, access.ErrNoSession) {
			t.Error("a closed session lives again:", err)
		}
	})
}

// TestTogether grants from many callers at once, some of whom want the same.
func TestTogether(t *testing.T) {
	insttest.EachOpen(t, func(t *testing.T, i *installation.Installation) {
		var wg sync.WaitGroup
		var mu sync.Mutex
		made, tokens := 0, map[string]bool{}
		for n := range 32 {
			wg.Go(func() {
				_, err := i.Access.AddStaff(t.Context(), fmt.Sprintf("s-%d", n%8), "caseworker", "o-1")
				if err != nil && !errors.Is(err, access.ErrExists) {
					t.Error(err)
				}
				if _, err := i.Access.AddDevice(t.Context(), fmt.Sprintf("d-%d", n), "o-1"); err != nil {
					t.Error(err)
				}
				_, token, errOpen := i.Access.OpenSession(t.Context(), fmt.Sprintf("s-%d", n%8), fmt.Sprintf("d-%d", n), time.Hour)
				if errOpen != nil {
					t.Error(errOpen)
				}
				mu.Lock()
				defer mu.Unlock()
				tokens[token] = true
				if err == nil {
					made++
				}
			})
		}
		wg.Wait()
		if made != 8 || len(i.Access.Staff()) != 8 || len(i.Access.Devices()) != 32 || len(i.Access.Sessions()) != 32 || len(tokens) != 32 {
			t.Errorf("%d of 8 staff, %d devices, %d sessions, %d tokens", made, len(i.Access.Devices()), len(i.Access.Sessions()), len(tokens))
		}
		list := i.Access.Sessions()
		if !slices.IsSortedFunc(list, func(a, b access.SessionInfo) int { return int(a.Event - b.Event) }) {
			t.Error("the sessions aren't in their order")
		}
		if n := len(of(t, i, "s-3", "")); n != 4 {
			t.Errorf("%d sessions of a staff member, not 4", n)
		}
		if a, b := of(t, i, "s-3", "d-3"), of(t, i, "", "d-3"); len(a) != 1 || !slices.Equal(a, b) {
			t.Errorf("sessions of a device: %v, %v", a, b)
		}
	})
}

// TestCallerGoes: a caller who gives up doesn't leave a grant that the log has
// and the directory doesn't know.
func TestCallerGoes(t *testing.T) {
	insttest.EachOpen(t, func(t *testing.T, i *installation.Installation) {
		for n := range 60 {
			ctx, cancel := context.WithTimeout(t.Context(), time.Duration(n)*50*time.Microsecond)
			_, err := i.Access.AddStaff(ctx, fmt.Sprintf("s-%d", n), "caseworker", "o-1")
			cancel()
			known := slices.ContainsFunc(i.Access.Staff(), func(s access.Staff) bool { return s.ID == fmt.Sprintf("s-%d", n) })
			if known != (err == nil) {
				t.Errorf("staff %d: known %v, error %v", n, known, err)
			}
		}
		granted := 0
		for _, e := range insttest.Events(t, i) {
			if e.Action == auditlog.Grant {
				granted++
			}
		}
		if granted != len(i.Access.Staff()) {
			t.Errorf("%d grants, and %d staff members are known", granted, len(i.Access.Staff()))
		}
	})
}

// TestClosingIsRecorded: a session whose closing couldn't be recorded is dead all
// the same, and closing it again records it.
func TestClosingIsRecorded(t *testing.T) {
	insttest.EachOpen(t, func(t *testing.T, i *installation.Installation) {
		s := insttest.Caseworker(t, i)
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		tx, err := i.DB.Begin(t.Context()) // so that there is something to wait for
		if err != nil {
			t.Fatal(err)
		}
		_, err = i.Access.CloseSession(gone, s.ID())
		tx.Rollback()
		if err == nil {
			t.Fatal("a caller who had gone closed a session")
		}
		if i.Access.Still(s) == nil {
			t.Error("the session lives")
		}
		if info, err := i.Access.CloseSession(t.Context(), s.ID()); err != nil || info.Closed == nil {
			t.Fatal(err)
		}
		if e := event(t, i, i.Log.Committed()-1); e.Action != auditlog.Contain {
			t.Errorf("%+v", e)
		}
	})
}
