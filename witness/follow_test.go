package witness_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"azekura/auditlog/check"
	"azekura/witness"

	"golang.org/x/mod/sumdb/tlog"
)

// names adds an entry that names who goes on, and proves it under the head with
// the one entry more that follows it.
func (h *history) names(t *testing.T, next, vkey string) check.Step {
	t.Helper()
	line := fmt.Sprintf(`{"action":"system","purpose":"successor","detail":{"key":%q,"next":%q,"next_key":%q}}`, h.vkey, next, vkey)
	more, err := tlog.StoredHashes(h.size, []byte(line), h)
	ok(t, err)
	h.hashes, h.size = append(h.hashes, more...), h.size+1
	at := h.size - 1
	h.grow(t, 1, "why")
	path, err := tlog.ProveRecord(h.size, at, h)
	ok(t, err)
	return check.Step{Line: line, Proof: string(check.Proof{Index: at, Path: path, Checkpoint: h.note(t, h.size)}.Format())}
}

// follower is a witness of a log that cosigned its first ten entries.
type follower struct {
	dir string
	w   *witness.Witness
	log *history
}

func newFollower(t *testing.T, origin string, alone bool) *follower {
	t.Helper()
	f := &follower{dir: filepath.Join(t.TempDir(), "w"), log: newHistory(t, origin).grow(t, 10, "e")}
	ok(t, witness.Create(f.dir, "witness.example/w", false))
	_, err := witness.AddLog(f.dir, witness.LogSettings{Origin: origin, Keys: []string{f.log.vkey}, Mirror: true, Alone: alone})
	ok(t, err)
	f.w, err = witness.Open(f.dir)
	ok(t, err)
	t.Cleanup(func() { ok(t, f.w.Close()) })
	ok(t, f.cosign(t, f.log, 0, 10))
	return f
}

// cosign asks for a head that grew from another.
func (f *follower) cosign(t *testing.T, h *history, old, size int64) error {
	t.Helper()
	r, err := witness.ParseRequest(witness.Request{Old: old, Proof: h.proof(t, old, size), Note: h.note(t, size)}.Format())
	ok(t, err)
	_, err = f.w.Cosign(r)
	return err
}

// TestFollowKey: the log names its next key, and the old one is retired.
func TestFollowKey(t *testing.T) {
	const origin = "log.example/a"
	f := newFollower(t, origin, false)
	next := newHistory(t, origin)
	step := f.log.names(t, origin, next.vkey)
	until := f.log.size
	var conflict witness.Conflict
	if _, err := f.w.Follow(witness.LogName(origin), step); !errors.As(err, &conflict) || conflict.Size != 10 {
		t.Error("it follows a head that it didn't cosign:", err)
	}
	ok(t, f.cosign(t, f.log, 10, until))
	s, err := f.w.Follow(witness.LogName(origin), step)
	ok(t, err)
	if len(s.Keys) != 1 || s.Keys[0] != next.vkey || !s.Mirror || len(s.Retired) != 1 {
		t.Errorf("%+v", s)
	}
	old := f.log.fork()
	grown := f.log.fork()
	grown.key = next.key
	ok(t, f.cosign(t, grown.grow(t, 5, "n"), until, until+5))
	// Who stole the old key can go no further, and is told of the fork; a folder that
	// was put back learns what came after it.
	if err := f.cosign(t, old.grow(t, 9, "thief's"), until+5, until+9); !errors.Is(err, witness.ErrFork) {
		t.Error("a key that handed on signed more:", err)
	}
	if err := f.cosign(t, f.log, 10, until); !errors.As(err, &conflict) || conflict.Size != until+5 {
		t.Error(err)
	}
}

// TestFollowLog: a log ends and names the one after it, which starts from nothing.
func TestFollowLog(t *testing.T) {
	const origin = "log.example/a"
	f := newFollower(t, origin, false)
	next := newHistory(t, origin+"/2").grow(t, 3, "x")
	if err := f.cosign(t, next, 0, 3); !errors.Is(err, witness.ErrUnknownLog) {
		t.Fatal(err)
	}
	step := f.log.names(t, next.origin, next.vkey)
	ok(t, f.cosign(t, f.log, 10, f.log.size))
	body, err := json.Marshal(step)
	ok(t, err)
	server := httptest.NewServer(f.w.Handler(func(err error) { t.Error(err) }))
	t.Cleanup(server.Close)
	for range 2 { // twice is once
		answer, err := http.Post(server.URL+"/logs/"+witness.LogName(origin)+"/successor", "application/json", bytes.NewReader(body))
		ok(t, err)
		answer.Body.Close()
		if answer.StatusCode != http.StatusOK {
			t.Fatal(answer.Status)
		}
	}
	ok(t, f.cosign(t, next, 0, 3))
	heads, err := witness.Heads(f.dir)
	ok(t, err)
	if len(heads) != 2 {
		t.Errorf("%+v", heads)
	}
}

// TestFollowForged: it follows nothing but the word of a log's trusted key, in the
// history that it cosigned, and for the log's own name.
func TestFollowForged(t *testing.T) {
	const origin = "log.example/a"
	for name, forge := range map[string]func(t *testing.T, f *follower) check.Step{
		"another history under the same key": func(t *testing.T, f *follower) check.Step {
			fork := f.log.fork()
			f.log.grow(t, 2, "honest")
			ok(t, f.cosign(t, f.log, 10, 12))
			return fork.names(t, origin, newHistory(t, origin).vkey)
		},
		"another key": func(t *testing.T, f *follower) check.Step {
			thief := f.log.fork()
			thief.key = newHistory(t, origin).key
			step := thief.names(t, origin, newHistory(t, origin).vkey)
			f.log.names(t, origin, newHistory(t, origin).vkey)
			ok(t, f.cosign(t, f.log, 10, 12))
			return step
		},
		"the name of another's log": func(t *testing.T, f *follower) check.Step {
			step := f.log.names(t, "log.example/b", newHistory(t, "log.example/b").vkey)
			ok(t, f.cosign(t, f.log, 10, 12))
			return step
		},
		"a name that is taken": func(t *testing.T, f *follower) check.Step {
			_, err := witness.AddLog(f.dir, witness.LogSettings{Origin: origin + "/2", Keys: []string{newHistory(t, origin+"/2").vkey}})
			ok(t, err)
			step := f.log.names(t, origin+"/2", newHistory(t, origin+"/2").vkey)
			ok(t, f.cosign(t, f.log, 10, 12))
			return step
		},
		"a line altered": func(t *testing.T, f *follower) check.Step {
			step := f.log.names(t, origin, newHistory(t, origin).vkey)
			ok(t, f.cosign(t, f.log, 10, 12))
			step.Line = strings.ReplaceAll(step.Line, "successor", "Successor")
			return step
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFollower(t, origin, false)
			if s, err := f.w.Follow(witness.LogName(origin), forge(t, f)); err == nil {
				t.Errorf("followed: %+v", s)
			}
		})
	}
}

// TestFollowAlone: who adds a log alone follows by hand, from the log's own file.
func TestFollowAlone(t *testing.T) {
	const origin = "log.example/a"
	f := newFollower(t, origin, true)
	next := newHistory(t, origin)
	step := f.log.names(t, origin, next.vkey)
	file, err := json.Marshal(map[string]any{"succession": []check.Step{step}})
	ok(t, err)
	if list, err := witness.FollowFile(f.dir, file); err == nil {
		t.Errorf("followed a head that it didn't cosign: %+v", list)
	}
	ok(t, f.cosign(t, f.log, 10, 12))
	if _, err := f.w.Follow(witness.LogName(origin), step); !errors.Is(err, witness.ErrAlone) {
		t.Error(err)
	}
	list, err := witness.FollowFile(f.dir, file)
	if err != nil || len(list) != 1 || list[0].Keys[0] != next.vkey {
		t.Errorf("%+v, %v", list, err)
	}
	if list, err := witness.FollowFile(f.dir, file); err != nil || len(list) > 1 {
		t.Errorf("a second time: %+v, %v", list, err)
	}
	grown := f.log.fork()
	grown.key = next.key
	ok(t, f.cosign(t, grown.grow(t, 1, "n"), 12, 13)) // the running witness sees it
	if _, err := witness.FollowFile(f.dir, []byte("{}")); err == nil || errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
}
