package check_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"azekura/auditlog/check"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// line is an entry that names who goes on.
func line(key, next, vkey string) []byte {
	return fmt.Appendf(nil, `{"v":1,"action":"system","outcome":"ok","purpose":"successor","detail":{"key":%q,"next":%q,"next_key":%q}}`, key, next, vkey)
}

// step proves an entry under a head of a log.
func (m *made) step(t *testing.T, origin string, index, size int64, signer note.Signer) check.Step {
	t.Helper()
	path, err := tlog.ProveRecord(size, index, prefix{m})
	ok(t, err)
	p := check.Proof{Index: index, Path: path, Checkpoint: m.checkpoint(t, origin, size, signer)}
	return check.Step{Proof: string(p.Format()), Line: string(m.entries[index])}
}

// prefix reads a log as it was at any size.
type prefix struct{ *made }

// family is a log whose key was changed at 101 entries, which ended at 300, and
// goes on in another of 40.
type family struct {
	first, second *made
	site          map[string]any
	signers       []note.Signer
	vkeys         []string
}

func newFamily(t *testing.T) *family {
	t.Helper()
	f := &family{}
	for n, name := range []string{origin, origin, origin + "/2", origin} { // the last is a thief's
		s, v := key(t, name, byte(n+1))
		f.signers, f.vkeys = append(f.signers, s), append(f.vkeys, v)
	}
	f.first = logOf(t, 300, func(n int64) []byte {
		switch n {
		case 99:
			return line(f.vkeys[0], origin, f.vkeys[1])
		case 298:
			return line(f.vkeys[1], origin+"/2", f.vkeys[2])
		}
		return entry(n)
	}, f.signers[1])
	f.second = logOf(t, 40, entry, f.signers[1])
	f.second.put("checkpoint", f.second.checkpoint(t, origin+"/2", 40, f.signers[2]))
	f.site = map[string]any{"log": 2, "origin": origin + "/2", "former_logs": []any{map[string]any{"log_id": 1, "origin": origin}},
		"succession": []check.Step{f.first.step(t, origin, 99, 101, f.signers[0]), f.first.step(t, origin, 298, 300, f.signers[1])}}
	return f
}

// source is what its server gives.
func (f *family) source(t *testing.T) check.Source {
	t.Helper()
	all := &made{files: f.second.files}
	for name, file := range f.first.files {
		all.put("log/1/"+name, file.Data)
	}
	raw, err := json.Marshal(f.site)
	ok(t, err)
	all.put(check.WellKnown, raw)
	return check.Dir(all.files)
}

// TestChain follows from any key of a chain to the newest, and checks each log on
// the way.
func TestChain(t *testing.T) {
	f := newFamily(t)
	for n, logs := range []int{2, 2, 1} {
		list, err := check.Chain(t.Context(), f.source(t), check.Options{Keys: keys(t, f.vkeys[n]), Entries: true})
		if err != nil || len(list) != logs || list[logs-1].Origin != origin+"/2" || list[logs-1].Entries != 40 || logs == 2 && list[0].Entries != 300 {
			t.Errorf("from key %d: %+v, %v", n, list, err)
		}
	}
	// What was seen under the first key, and under the last.
	for _, since := range [][]byte{f.first.checkpoint(t, origin, 50, f.signers[0]), f.second.checkpoint(t, origin+"/2", 7, f.signers[2])} {
		list, err := check.Chain(t.Context(), f.source(t), check.Options{Keys: keys(t, f.vkeys[0]), Since: since})
		if err != nil || max(list[0].Since, list[1].Since) < 7 {
			t.Errorf("%+v, %v", list, err)
		}
	}
	kept := map[string]bool{}
	_, err := check.Chain(t.Context(), f.source(t), check.Options{Keys: keys(t, f.vkeys[0]), Workers: 1, Keep: func(path string, _ []byte) error {
		kept[path] = true
		return nil
	}})
	if err != nil || !kept["log/1/checkpoint"] || !kept["checkpoint"] || !kept[check.WellKnown] {
		t.Errorf("%v: %v", err, kept)
	}
}

// TestChainForged: nothing but a key's own word, in the log's own history, leads on.
func TestChainForged(t *testing.T) {
	for name, c := range map[string]struct {
		forge func(t *testing.T, f *family)
		says  string
	}{
		"the new head by another key": {func(t *testing.T, f *family) {
			s, _ := key(t, origin+"/2", 9)
			f.second.put("checkpoint", f.second.checkpoint(t, origin+"/2", 40, s))
		}, "isn't signed by a key"},
		"a step by a stranger": {func(t *testing.T, f *family) {
			f.site["succession"] = []check.Step{f.first.step(t, origin, 99, 101, f.signers[3])}
		}, "isn't signed by a key"},
		"no step to the next": {func(t *testing.T, f *family) {
			f.site["succession"] = []check.Step{f.first.step(t, origin, 99, 101, f.signers[0])}
		}, "no key that was given leads"},
		"another line behind the proof": {func(t *testing.T, f *family) {
			step := f.first.step(t, origin, 99, 101, f.signers[0])
			step.Line = string(line(f.vkeys[0], origin, f.vkeys[3]))
			f.site["succession"] = []check.Step{step}
		}, "isn't the one that the proof is of"},
		"an entry of another kind": {func(t *testing.T, f *family) {
			f.site["succession"] = []check.Step{f.first.step(t, origin, 98, 101, f.signers[0])}
		}, "doesn't name a successor"},
		"a name of somebody else's": {func(t *testing.T, f *family) {
			_, v := key(t, "log.example.test/other", 8)
			m := logOf(t, 5, func(int64) []byte { return line(f.vkeys[0], "log.example.test/other", v) }, f.signers[0])
			f.site["succession"] = []check.Step{m.step(t, origin, 4, 5, f.signers[0])}
		}, "isn't of its name"},
		"an old step under a newer head, by which a key that handed on would be back": {func(t *testing.T, f *family) {
			both := f.first.step(t, origin, 99, 300, f.signers[1])
			p, err := check.ParseProof([]byte(both.Proof))
			ok(t, err)
			p.Checkpoint = f.first.checkpoint(t, origin, 300, f.signers[1], f.signers[0])
			both.Proof = string(p.Format())
			f.site["succession"] = append(f.site["succession"].([]check.Step)[:1], both)
		}, "hands on, and not rightly"},
		"a head of the key that handed on": {func(t *testing.T, f *family) {
			f.first.put("checkpoint", f.first.checkpoint(t, origin, 300, f.signers[0]))
		}, "isn't signed by a key"},
		"a log that goes on behind its end": {func(t *testing.T, f *family) {
			f.first = logOf(t, 301, func(n int64) []byte {
				if n < 300 {
					return f.first.entries[n]
				}
				return entry(n)
			}, f.signers[1])
		}, "goes on behind the head"},
		"another history before the change": {func(t *testing.T, f *family) {
			old := f.first
			f.first = logOf(t, 300, func(n int64) []byte {
				if n == 42 {
					return []byte("rewritten")
				}
				return old.entries[n]
			}, f.signers[1])
			f.site["succession"] = []check.Step{old.step(t, origin, 99, 101, f.signers[0]), f.first.step(t, origin, 298, 300, f.signers[1])}
		}, "history was rewritten"},
		"a former log with a file altered": {func(t *testing.T, f *family) {
			f.first.put("tile/0/000", flip(f.first.files["tile/0/000"].Data, 40))
		}, "prove that the log has grown"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFamily(t)
			c.forge(t, f)
			list, err := check.Chain(t.Context(), f.source(t), check.Options{Keys: keys(t, f.vkeys[0])})
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%+v, %v", list, err)
			}
		})
	}
}

// TestChainElsewhere: a log that says nothing of others is checked by itself.
func TestChainElsewhere(t *testing.T) {
	signer, vkey := key(t, origin, 1)
	m := logOf(t, 20, entry, signer)
	for _, raw := range [][]byte{nil, []byte("<html>"), []byte("{}")} {
		list, err := check.Chain(t.Context(), m.with(check.WellKnown, raw), check.Options{Keys: keys(t, vkey)})
		if err != nil || len(list) != 1 || list[0].Size != 20 {
			t.Errorf("%s: %+v, %v", raw, list, err)
		}
	}
	src := broken{check.Dir(m.files), check.WellKnown, errors.New("no answer")}
	if _, err := check.Chain(t.Context(), src, check.Options{Keys: keys(t, vkey)}); err == nil || !bytes.Contains([]byte(err.Error()), []byte("no answer")) {
		t.Error(err)
	}
}
