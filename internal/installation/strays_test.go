package installation_test

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"azekura/gate"
	"azekura/internal/installation"
	"azekura/internal/insttest"
	"azekura/keyring"
)

// TestStrays: stray copies are an alarm like any other, that names no folder; a
// report of nothing, or of a case without an index, is refused.
func TestStrays(t *testing.T) {
	insttest.EachOpen(t, func(t *testing.T, i *installation.Installation) {
		insttest.Import(t, i, insttest.NDJSON(t, 5, 3))
		s := insttest.Caseworker(t, i)
		good := installation.Strays{Case: "L-3", Files: 2, People: 80, Report: strings.Repeat("0a", 32)}
		if _, err := i.RaiseStrays(t.Context(), good); !errors.Is(err, keyring.ErrNoCase) {
			t.Fatalf("a case without an index: %v", err)
		}
		if _, err := i.MakeLeakIndex(t.Context(), s, gate.Why{Purpose: "review", Case: "L-3"}, filepath.Join(t.TempDir(), "index"), func(int64, int64) {}); err != nil {
			t.Fatal(err)
		}
		for _, bad := range []installation.Strays{{Case: "L-3"}, {Case: "L-3", Files: 1, People: 1, Report: "/home/somebody"}, {Case: "L-3", Files: -1, People: 1, Report: good.Report}} {
			if _, err := i.RaiseStrays(t.Context(), bad); !errors.Is(err, installation.ErrStrays) {
				t.Errorf("a report of nothing: %v", err)
			}
		}
		event, err := i.RaiseStrays(t.Context(), good)
		if err != nil {
			t.Fatal(err)
		}
		list, err := i.Alarms(t.Context())
		if err != nil || len(list) != 1 || list[0].Event != event || list[0].Rule != "stray-copies" || list[0].Severity != "high" || !strings.Contains(list[0].Says, "2 files") {
			t.Errorf("%v, %+v", err, list)
		}
	})
}
