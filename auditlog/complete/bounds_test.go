package complete

import (
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"testing"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// TestHugeCounts: a number of entries that no log, day or set has is refused,
// whoever signed it. Without the bound the checker wouldn't come to an end.
func TestHugeCounts(t *testing.T) {
	var subject [16]byte
	for _, huge := range []int64{maxSize + 1, 1 << 62, 1<<63 - 1} {
		text := fmt.Sprintf(`{"index":0,"set":{"count":%d,"root":%q}}`, huge, base64.StdEncoding.EncodeToString(make([]byte, 32)))
		r := Result{Subject: Subject{Kind: Participant}, To: 1, subjectKey: append([]byte{1}, subject[:]...), lastIndex: -1, setsReached: true,
			head: tree{size: 1, root: tlog.RecordHash([]byte(text))}}
		if err := r.set(&Set{Event: Event{Line: text}, Member: make([]byte, 24)}, nil); err == nil {
			t.Errorf("a set of %d", huge)
		}
		if _, err := (&Place{Token: make([]byte, len(Token{})), First: 1, Last: 1}).in(&Daily{Count: huge}); err == nil {
			t.Errorf("a day's list of %d", huge)
		}
		text = fmt.Sprintf(`{"index":2,"action":"system","purpose":"daily","detail":{"to":1,"count":%d,"salt":%q}}`, huge, base64.StdEncoding.EncodeToString(subject[:]))
		path := []tlog.Hash{{}, {}}
		r.head = tree{size: 3, root: tlog.NodeHash(tlog.Hash{}, tlog.RecordHash([]byte(text)))}
		if err := r.nextDay(&Day{Event: Event{Index: 2, Line: text, Path: path[:1]}}); err == nil {
			t.Errorf("a daily root over %d", huge)
		}

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
}
