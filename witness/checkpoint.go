package witness

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"unicode/utf8"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// MaxRequest bounds an add-checkpoint request, in bytes: 63 hashes and a note.
const MaxRequest = 32 << 10

// maxProof is how many hashes a consistency proof may have (C2SP tlog-witness).
const maxProof = 63

// ErrMalformed refuses what isn't written as the specifications have it.
var ErrMalformed = errors.New("malformed")

func malformed(what string) error { return fmt.Errorf("%w: %s", ErrMalformed, what) }

// Request is the body of an add-checkpoint request.
type Request struct {
	Old        int64
	Proof      tlog.TreeProof
	Checkpoint Checkpoint
	Note       []byte // the checkpoint with its signatures
}

// Checkpoint is what a log's head says (C2SP tlog-checkpoint). Nobody has looked
// at its signatures yet.
type Checkpoint struct {
	Origin string
	Size   int64
	Root   tlog.Hash
	Text   string // the note's text, extension lines included
}

// ParseRequest reads an add-checkpoint request and takes no spelling but the
// specification's.
func ParseRequest(body []byte) (Request, error) {
	var r Request
	head, signed, ok := bytes.Cut(body, []byte("\n\n"))
	if !ok {
		return r, malformed("no empty line before the checkpoint")
	}
	lines := bytes.Split(head, []byte("\n"))
	old, ok := bytes.CutPrefix(lines[0], []byte("old "))
	if !ok {
		return r, malformed("the first line isn't the old size")
	}
	var err error
	if r.Old, err = parseSize(old); err != nil {
		return r, err
	}
	if len(lines)-1 > maxProof {
		return r, malformed("more than 63 lines of proof")
	}
	for _, line := range lines[1:] {
		hash, err := parseHash(line)
		if err != nil {
			return r, err
		}
		r.Proof = append(r.Proof, hash)
	}
	r.Note = signed
	r.Checkpoint, err = ParseCheckpoint(signed)
	return r, err
}

// ParseCheckpoint reads a signed checkpoint's text, whoever signed it.
func ParseCheckpoint(signed []byte) (Checkpoint, error) {
	var c Checkpoint
	text, signatures, ok := bytes.Cut(signed, []byte("\n\n"))
	// Extension lines aren't empty, so the first empty line ends the text; were
	// there another, note.Open would see a longer one.
	if !ok || !bytes.HasSuffix(signatures, []byte("\n")) || bytes.Contains(signatures, []byte("\n\n")) || !utf8.Valid(signed) {
		return c, malformed("the checkpoint is no signed note")
	}
	c.Text = string(text) + "\n"
	for _, b := range signed {
		if b < 0x20 && b != '\n' {
			return c, malformed("the checkpoint has control characters")
		}
	}
	lines := bytes.Split(text, []byte("\n"))
	if len(lines) < 3 || len(lines[0]) == 0 {
		return c, malformed("a checkpoint has three lines or more, the origin first")
	}
	c.Origin = string(lines[0])
	var err error
	if c.Size, err = parseSize(lines[1]); err != nil {
		return c, err
	}
	c.Root, err = parseHash(lines[2])
	return c, err
}

// parseSize reads a decimal without leading zeros.
func parseSize(text []byte) (int64, error) {
	// 56 bits: no log is larger, and for a size from 2^62 on x/mod's tlog never
	// comes to an end, so a log's key could hang us.
	n, err := strconv.ParseUint(string(text), 10, 56)
	if err != nil || len(text) > 1 && text[0] == '0' {
		return 0, malformed("a size is a decimal without leading zeros")
	}
	return int64(n), nil
}

// parseHash reads 32 bytes in base64. The decoder alone would pass over carriage
// returns.
func parseHash(text []byte) (h tlog.Hash, err error) {
	var raw [34]byte
	if len(text) != 44 {
		return h, malformed("a hash is 32 bytes in base64")
	}
	n, err := base64.StdEncoding.Strict().Decode(raw[:], text)
	if err != nil || n != len(h) {
		return h, malformed("a hash is 32 bytes in base64")
	}
	return tlog.Hash(raw[:n]), nil
}

// Format writes a request's body.
func (r Request) Format() []byte {
	b := fmt.Appendf(nil, "old %d\n", r.Old)
	for _, hash := range r.Proof {
		b = append(base64.StdEncoding.AppendEncode(b, hash[:]), '\n')
	}
	return append(append(b, '\n'), r.Note...)
}

// ErrSignature means that no key that is trusted for the log signed this.
var ErrSignature = errors.New("no key that is trusted for this log signed the checkpoint")

// Verified returns the note with the signatures by the given keys and no others,
// or ErrSignature if there are none. A bad signature beside a good one of
// another key doesn't hurt.
func (c Checkpoint) Verified(signed []byte, keys []note.Verifier) ([]byte, error) {
	out, found := []byte(c.Text+"\n"), false
	for _, key := range keys {
		n, err := note.Open(signed, note.VerifierList(key))
		if err != nil || n.Text != c.Text {
			continue
		}
		out, found = fmt.Appendf(out, "— %s %s\n", n.Sigs[0].Name, n.Sigs[0].Base64), true
	}
	if !found {
		return nil, ErrSignature
	}
	return out, nil
}

// emptyRoot is the root of a log without entries (RFC 6962 2.1).
var emptyRoot = func() tlog.Hash {
	root, err := tlog.TreeHash(0, nil)
	if err != nil {
		panic(err)
	}
	return root
}()

// Extends checks the proof that a head extends an older one.
func Extends(proof tlog.TreeProof, newer Checkpoint, oldSize int64, oldRoot tlog.Hash) error {
	switch {
	case oldSize == newer.Size && (len(proof) > 0 || oldRoot != newer.Root), oldSize == 0 && len(proof) > 0:
		return ErrProof
	case oldSize == newer.Size, oldSize == 0:
		return nil
	}
	if err := tlog.CheckTree(proof, newer.Size, newer.Root, oldSize, oldRoot); err != nil {
		return ErrProof
	}
	return nil
}

// ErrProof means that a consistency proof doesn't lead from one head to the other.
var ErrProof = errors.New("the proof doesn't show that the new head extends the old one")
