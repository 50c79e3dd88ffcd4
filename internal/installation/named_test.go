package installation_test

import (
	"strings"
	"testing"

	"azekura/incident/alarms"
	"azekura/internal/insttest"
	"azekura/witness/client"
)

// TestWitnessesNamed: who cosigns the log stands in the log from the first time that
// alarms are sent on, again when it changed, and not when it didn't. So whoever forgets a witness
// doesn't do it unseen.
func TestWitnessesNamed(t *testing.T) {
	insttest.Each(t, func(t *testing.T, engine string) {
		m := newMirroring(t, engine)
		named := func() (list []string) {
			t.Helper()
			i := insttest.Open(t, m.dir)
			must(t, i.SendAlarms(t.Context()))
			for _, e := range insttest.Events(t, i) {
				if e.Purpose == alarms.WitnessesPurpose {
					list = append(list, string(e.Detail))
				}
			}
			must(t, i.Close())
			return list
		}
		for range 2 {
			if list := named(); len(list) != 1 || !strings.Contains(list[0], `"mirror.invalid+`) || !strings.Contains(list[0], `"k":1`) {
				t.Fatalf("the log names %q", list)
			}
		}
		m.trust(t, func(s client.Settings) client.Settings { s.ReadAfter = 0; return s })
		if list := named(); len(list) != 2 || list[0] == list[1] {
			t.Errorf("openings go on without a witness, and the log names %q", list)
		}
		m.trust(t, func(s client.Settings) client.Settings { s.Witnesses = nil; return s })
		for range 2 {
			if list := named(); len(list) != 3 || !strings.Contains(list[2], `"witnesses":[]`) {
				t.Errorf("the witness is forgotten, and the log names %q", list)
			}
		}
	})
}
