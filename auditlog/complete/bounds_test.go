package complete

import (
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// soon fails where a checker doesn't come to an end with a number that it should
// have refused, rather than hang with it.
func soon(t *testing.T, what string, check func() error) error {
	t.Helper()
	done := make(chan error, 1)
	go func() { done <- check() }()
	select {
	case err := <-done:
		return err
	case <-time.After(time.Minute):
		t.Fatalf("%s: the checker doesn't come to an end", what)
		return nil
	}
}

// last is a leaf's proof in a list of 2^k+1: its sibling is all the others.
func last(leaf tlog.Hash) (path []tlog.Hash, root tlog.Hash) {
	return []tlog.Hash{{}}, tlog.NodeHash(tlog.Hash{}, leaf)
}

// TestHugeCounts: a number of entries that no log, day or set has is refused,
// whoever signed it and though its proof be right: that of maxSize+1 is, so that
// nothing but the bound refuses it. With larger ones the checker wouldn't come to
// an end.
func TestHugeCounts(t *testing.T) {
	for _, huge := range []int64{maxSize + 1, 1<<62 + 1, 1<<63 - 1} {
		hugeSet(t, huge)
		hugeDay(t, huge)
		hugeHead(t, huge)
	}
}

func hugeSet(t *testing.T, huge int64) {
	member := make([]byte, 24)
	path, root := last(tlog.RecordHash(member))
	text := fmt.Sprintf(`{"index":0,"set":{"count":%d,"root":%q}}`, huge, base64.StdEncoding.EncodeToString(root[:]))
	r := Result{Subject: Subject{Kind: Participant}, To: 1, subjectKey: make([]byte, 17), lastIndex: -1, setsReached: true,
		head: tree{size: 1, root: tlog.RecordHash([]byte(text))}}
	set := &Set{Event: Event{Line: text}, Member: member, Place: huge - 1, MemberPath: path}
	if err := soon(t, "a set", func() error { return r.set(set, nil) }); err == nil {
		t.Errorf("a set of %d", huge)
	}
}

// hugeDay asks each layer by itself: the entry's, and before it the day's, which
// must refuse by its own words.
func hugeDay(t *testing.T, huge int64) {
	place := &Place{Token: make([]byte, len(Token{})), First: 1, Last: 1, Place: huge - 1}
	path, root := last(tlog.RecordHash((Leaf{First: 1, Last: 1}).Append(nil)))
	place.Path = path
	if err := soon(t, "a day's list", func() error { _, err := place.in(&Daily{Count: huge, Root: root}); return err }); err == nil {
		t.Errorf("a day's list of %d", huge)
	}
	text := fmt.Sprintf(`{"index":2,"action":"system","purpose":"daily","detail":{"to":1,"count":%d,"salt":%q}}`, huge, base64.StdEncoding.EncodeToString(make([]byte, 16)))
	r := Result{Subject: Subject{Kind: Participant}, subjectKey: make([]byte, 17), lastIndex: -1,
		head: tree{size: 3, root: tlog.NodeHash(tlog.Hash{}, tlog.RecordHash([]byte(text)))}}
	day := &Day{Event: Event{Index: 2, Line: text, Path: []tlog.Hash{{}}}, Left: place}
	if err := soon(t, "a day", func() error { return r.nextDay(day) }); err == nil || !strings.Contains(err.Error(), "one that no log writes") {
		t.Errorf("a daily root over %d: %v", huge, err)
	}
}

func hugeHead(t *testing.T, huge int64) {
	skey, vkey, err := note.GenerateKey(rand.Reader, "log.invalid/1")
	if err != nil {
		t.Fatal(err)
	}
	signer, err := note.NewSigner(skey)
	if err != nil {
		t.Fatal(err)
	}
	key, err := note.NewVerifier(vkey)
	if err != nil {
		t.Fatal(err)
	}
	head, err := note.Sign(&note.Note{Text: fmt.Sprintf("log.invalid/1\n%d\n%s\n", huge, base64.StdEncoding.EncodeToString(make([]byte, 32)))}, signer)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := openHead(string(head), []note.Verifier{key}); err == nil {
		t.Errorf("a head over %d", huge)
	}
}
