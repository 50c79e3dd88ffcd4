package thief

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"testing"
)

func TestRefsCountAsTheAgencyDoes(t *testing.T) {
	for n, want := range map[int64]string{1: "A0000001", 9_999_999: "A9999999", 10_000_000: "B0000000", highest: "Z9999999"} {
		if got := ref(n); got != want {
			t.Errorf("ref %d is %s", n, got)
		}
	}
}

func TestNeedsItsEnvironment(t *testing.T) {
	env := map[string]string{"AZEKURA_DRILL_URL": "https://127.0.0.1:1", "AZEKURA_DRILL_CA": "ca", "AZEKURA_DRILL_TOKEN": "t", "AZEKURA_DRILL_OUT": "o"}
	if c, err := FromEnv(func(name string) string { return env[name] }); err != nil || c.Token != "t" {
		t.Errorf("%+v, %v", c, err)
	}
	for name := range env {
		if _, err := FromEnv(func(asked string) string {
			if asked == name {
				return ""
			}
			return env[asked]
		}); err == nil || !strings.Contains(err.Error(), "PROTOCOL.md") {
			t.Errorf("without %s: %v", name, err)
		}
	}
}

// TestTallyWritesWholeLines: a kill between two writes leaves whole lines.
func TestTallyWritesWholeLines(t *testing.T) {
	w := &wholeLines{t: t}
	a := &attempt{name: "sweep", out: &tally{w: w}}
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 50 {
				a.tried.Add(1)
				a.obtained(&line{Attempt: a.name, Participant: "p", Fields: []string{"name"}})
			}
		})
	}
	all.Wait()
	if w.lines != 400+400/countEvery || a.out.failure() != nil {
		t.Errorf("%d lines, %v", w.lines, a.out.failure())
	}
	w.full = true
	a.count()
	if a.out.failure() == nil {
		t.Error("a full disk isn't noticed")
	}
}

type wholeLines struct {
	t     *testing.T
	lines int
	full  bool
}

func (w *wholeLines) Write(b []byte) (int, error) {
	if w.full {
		return 0, errors.New("no space left")
	}
	if bytes.Count(b, []byte("\n")) != 1 || !bytes.HasSuffix(b, []byte("}\n")) || !json.Valid(b) {
		w.t.Errorf("a write isn't one line: %q", b)
	}
	w.lines++
	return len(b), nil
}
