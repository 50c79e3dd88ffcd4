package client

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"azekura/auditlog"
	"azekura/witness"

	"filippo.io/age"
	"golang.org/x/mod/sumdb/tlog"
)

// setLine is the line of a set event with so many members.
func setLine(t *testing.T, members int64) []byte {
	t.Helper()
	golden, err := os.ReadFile("../../auditlog/testdata/lines.golden")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.SplitSeq(string(golden), "\n") {
		if at := strings.Index(line, "{"); at >= 0 && strings.Contains(line, `"set":{`) {
			return []byte(regexp.MustCompile(`"count":\d+`).ReplaceAllString(line[at:], fmt.Sprint(`"count":`, members)))
		}
	}
	t.Fatal("no set event is in the golden lines")
	return nil
}

// TestLargeSet: a set of many blocks goes up in parts, each small, and comes back
// whole and in order.
func TestLargeSet(t *testing.T) {
	const blocks = 2*partBlocks + 7
	line := setLine(t, blocks*auditlog.BlockMembers-3)
	e, err := auditlog.ParseLine(line)
	if err != nil {
		t.Fatal(err)
	}
	pair, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	missing := int64(-1)
	m := &Feed{Origin: "log.invalid/test", To: pair.Recipient(), Sign: func(text string) ([]byte, error) { return []byte(text + "\n— x y\n"), nil },
		Lines: func(_ context.Context, from, to int64, f func(int64, []byte) error) error {
			for n := from; n < to; n++ {
				if err := f(n, line); err != nil {
					return err
				}
			}
			return nil
		},
		Blocks: func(_ context.Context, set, from, to int64, f func(int64, []byte) error) error {
			if set != e.Set.ID || to-from > partBlocks {
				return errors.New("this isn't the set, or too much of it")
			}
			for n := from; n < to; n++ {
				if n == missing {
					return errors.New("a block is missing")
				}
				if err := f(n, bytes.Repeat([]byte{byte(n)}, 24<<10)); err != nil {
					return err
				}
			}
			return nil
		}}
	c, err := m.gather(t.Context(), 5, 6)
	if err != nil {
		t.Fatal(err)
	}
	var next int64
	var parts int
	send := func(raw []byte) error {
		u, _, err := witness.ParseUpload(raw)
		if err != nil || u.Part != parts || u.Parts != 4 || len(raw) > witness.MaxUpload || u.From != 5 || u.To != 6 {
			t.Fatalf("%v: part %d of %d, %d bytes", err, u.Part, u.Parts, len(raw))
		}
		parts++
		return EachRecord(u.Sealed, []age.Identity{pair}, func(r Record) error {
			switch {
			case u.Last() && bytes.Equal(r.Line, line) && u.Leaves[0] == tlog.RecordHash(line):
			case !u.Last() && r.Set == e.Set.ID && r.Block == next && len(r.Sealed) == 24<<10 && r.Sealed[0] == byte(next):
				next++
			default:
				t.Fatalf("part %d holds something else: block %d after %d", u.Part, r.Block, next)
			}
			return nil
		})
	}
	if err := c.each(t.Context(), m, []byte("chain"), send); err != nil {
		t.Fatal(err)
	}
	if parts != 4 || next != blocks {
		t.Errorf("%d parts with %d blocks of %d", parts, next, blocks)
	}
	missing = blocks - 1
	parts, next = 0, 0
	if err := c.each(t.Context(), m, []byte("chain"), send); err == nil || parts > 3 {
		t.Errorf("a set that lacks a block went up: %v", err)
	}
	// Several such sets are several chunks.
	if c, err = m.gather(t.Context(), 0, 100); err != nil || c.blocks > chunkBlocks || c.to != chunkBlocks/blocks {
		t.Errorf("%v: %d events with %d blocks in one chunk", err, c.to, c.blocks)
	}
}

// TestSealedRecords: who has another key reads nothing, and an altered byte is
// noticed.
func TestSealedRecords(t *testing.T) {
	pair, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	other, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	secret := []byte("a line that nobody at the mirror reads")
	sealed, err := seal(pair.Recipient(), []Record{{Line: secret}, {Set: 7, Block: 8, Sealed: []byte("block")}})
	if err != nil || bytes.Contains(sealed, secret) {
		t.Fatal(err, "the line is in the clear")
	}
	n := 0
	if err := EachRecord(sealed, []age.Identity{pair}, func(Record) error { n++; return nil }); err != nil || n != 2 {
		t.Errorf("%d records, %v", n, err)
	}
	if err := EachRecord(sealed, []age.Identity{other}, func(Record) error { return nil }); err == nil {
		t.Error("another key opens it")
	}
	for _, at := range []int{len(sealed) / 2, len(sealed) - 1} {
		bad := bytes.Clone(sealed)
		bad[at] ^= 1
		if err := EachRecord(bad, []age.Identity{pair}, func(Record) error { return nil }); err == nil {
			t.Errorf("altered at %d: read", at)
		}
	}
}

func FuzzReadRecord(f *testing.F) {
	f.Add(Record{Line: []byte("line")}.append(nil))
	f.Add(Record{Set: 7, Block: 8, Sealed: []byte("block")}.append(Record{Line: []byte{}}.append(nil)))
	f.Fuzz(func(t *testing.T, raw []byte) {
		in := bufio.NewReader(bytes.NewReader(raw))
		var again []byte
		for {
			r, err := readRecord(in)
			if errors.Is(err, io.EOF) {
				if !bytes.Equal(again, raw) {
					t.Fatalf("read %q, written %q", raw, again)
				}
				return
			}
			if err != nil {
				return
			}
			again = r.append(again)
		}
	})
}

// TestUploadsUnderAQuorum: a mirror is fed under a head that a quorum cosigned while
// there is one, and under its own witness's alone when the others have kept it waiting.
func TestUploadsUnderAQuorum(t *testing.T) {
	settings := Settings{Witnesses: make([]Witness, 3), MirrorAfter: Duration(time.Hour)} // two of three
	f := newFeeder(&Client{o: Options{Settings: settings}}, &asked{}, nil)
	f.held.Store(0)
	round := func(size int64, who ...string) {
		h := head{note: []byte("head\n")}
		h.Size = size
		f.asking(h)
		for _, name := range who {
			f.cosigned(h, []byte(name+"\n"), name == "own")
		}
	}
	due := func(size int64, note string) {
		t.Helper()
		if h, wait := f.due(); wait > 0 || h.Size != size || string(h.note) != note {
			t.Errorf("due is %d under %q, or in %s; not %d under %q", h.Size, h.note, wait, size, note)
		}
	}
	f.all = true
	round(9, "second", "third")
	if _, wait := f.due(); wait == 0 {
		t.Error("uploads under a head that its own witness hasn't cosigned")
	}
	round(10, "second", "own")
	round(20, "own")
	due(10, "head\nsecond\nown\n")
	f.at(10)
	due(20, "head\nown\n")
	f.cosigned(head{Checkpoint: witness.Checkpoint{Size: 10}}, []byte("third\n"), false) // too late for its round
	f.cosigned(f.round, []byte("third\n"), false)
	due(20, "head\nown\nthird\n")
	f.all = false
	if _, wait := f.due(); wait < time.Minute {
		t.Errorf("ten events wait for others for %s", wait)
	}
}
