package installation_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"azekura/approval"
	"azekura/internal/installation"
	"azekura/internal/insttest"
)

// TestApproversEdited: who writes azekura.json enrols nobody: the log's events say
// who is, and the list is made anew out of them.
func TestApproversEdited(t *testing.T) {
	insttest.Each(t, func(t *testing.T, engine string) {
		o := newOffice(t, engine, 1)
		o.stop(t)
		enrol(t, o.dir)
		c, err := installation.ReadConfig(o.dir)
		if err != nil {
			t.Fatal(err)
		}
		honest := c.Approvers
		var forger people
		for n, name := range []string{"mallory", "oscar"} {
			key, vkey := insttest.Approver(t, name)
			forger = append(forger, key)
			replaceInConfig(t, o.dir, honest[n], vkey)
		}
		if _, err := insttest.OpenDir(t.Context(), o.dir); err == nil || !strings.Contains(err.Error(), "approvers in azekura.json") {
			t.Error("an edited list of approvers was taken:", err)
		}
		file, err := installation.ProposeFreeze(t.Context(), o.dir, "a test", "op-1", time.Hour)
		if _, err := installation.Freeze(t.Context(), o.dir, forger.approve(t, file, err)); err == nil {
			t.Error("two keys of the editor's own froze the log")
		}
		if c, err = installation.ReadConfig(o.dir); err != nil {
			t.Fatal(err)
		}
		edited := `"` + strings.Join(c.Approvers, "\",\n    \"") + `"`
		replaceInConfig(t, o.dir, edited, "")
		o.start(t)
		if !slices.Equal(o.Config.Approvers, honest) || o.Log.ID() != 1 {
			t.Errorf("the list wasn't made anew: %v, log %d", o.Config.Approvers, o.Log.ID())
		}
		o.stop(t)
		// Cut off between the event and the settings.
		replaceInConfig(t, o.dir, ",\n    \""+honest[1]+`"`, "")
		if _, err := installation.AddApprover(t.Context(), o.dir, honest[1], nil); err == nil {
			t.Error("an approver was enrolled twice")
		}
		o.start(t)
		if !slices.Equal(o.Config.Approvers, honest) {
			t.Errorf("%v", o.Config.Approvers)
		}
	})
}

// TestApproversRecordedLate: the first two, enrolled while the restored log waited to
// be confirmed, are in the log once it goes on.
func TestApproversRecordedLate(t *testing.T) {
	insttest.Each(t, func(t *testing.T, engine string) {
		o := newOffice(t, engine, 1)
		identity, to := keyPair(t)
		raw := backupOf(t, o.Installation, to)
		o.stop(t)
		dir, done := restore(t, raw, engine, identity)
		var p people
		for _, name := range []string{"hanako", "jiro"} {
			key, vkey := insttest.Approver(t, name)
			if recorded, err := installation.AddApprover(t.Context(), dir, vkey, nil); err != nil || recorded {
				t.Fatal(recorded, err)
			}
			p = append(p, key)
		}
		file, err := installation.ProposeConfirm(t.Context(), dir, "op-1", time.Hour)
		if err := installation.Confirm(t.Context(), dir, done.Log.Size, p.approve(t, file, err)); err != nil {
			t.Fatal(err)
		}
		i := insttest.Open(t, dir)
		n := 0
		for _, e := range insttest.Events(t, i) {
			if e.Purpose == "approver" {
				n++
			}
		}
		if n != approval.Needed || len(i.Config.Approvers) != approval.Needed {
			t.Errorf("%d enrolments are in the log", n)
		}
		mustVerify(t, i)
	})
}
