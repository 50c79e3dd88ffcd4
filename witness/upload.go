package witness

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

const (
	// MaxUpload bounds one upload, in bytes.
	MaxUpload = 16 << 20
	// MaxChunk is how many events one chunk may have.
	MaxChunk = 1 << 15
	// MaxParts is how many uploads one chunk may take.
	MaxParts = 1 << 15
	// uploadText begins what the log's key signs of an upload. No log may have
	// it for an origin.
	uploadText = "azekura mirror upload 1"
)

// ErrUpload refuses an upload that isn't what its log signed, or doesn't lead to
// a head that this witness cosigned.
var ErrUpload = errors.New("the upload isn't the next part of the log under a head that was cosigned here")

// Upload is one part of a chunk: a run of events From to To, of which the parts
// before the last carry sealed blocks of sets, and the last the leaf hashes and
// the sealed lines. The mirror keeps an upload's bytes as they came.
type Upload struct {
	Origin   string
	From, To int64
	Part     int // from 0
	Parts    int

	// Of the last part: a request in the form of add-checkpoint, whose old size is
	// To and whose checkpoint is cosigned by the mirror, and the leaf hashes.
	Chain  []byte
	Leaves []tlog.Hash

	Sealed []byte
}

// Last tells whether it ends its chunk.
func (u *Upload) Last() bool { return u.Part == u.Parts-1 }

func (u *Upload) text(sum [sha256.Size]byte) string {
	return fmt.Sprintf("%s\n%s\n%d %d\n%d %d\n%s\n", uploadText, u.Origin, u.From, u.To, u.Part, u.Parts, base64.StdEncoding.EncodeToString(sum[:]))
}

// Encode makes an upload's bytes; sign signs a note's text with the log's key.
func (u *Upload) Encode(sign func(text string) ([]byte, error)) ([]byte, error) {
	body := binary.BigEndian.AppendUint32(make([]byte, 0, len(u.Chain)+len(u.Leaves)*tlog.HashSize+len(u.Sealed)+4), uint32(len(u.Chain)))
	body = append(body, u.Chain...)
	for i := range u.Leaves {
		body = append(body, u.Leaves[i][:]...)
	}
	body = append(body, u.Sealed...)
	signed, err := sign(u.text(sha256.Sum256(body)))
	if err != nil {
		return nil, err
	}
	return append(append(binary.BigEndian.AppendUint32(nil, uint32(len(signed))), signed...), body...), nil
}

// ParseUpload reads an upload's bytes. Its note is returned for Verify; its parts
// are slices of raw.
func ParseUpload(raw []byte) (Upload, []byte, error) {
	var u Upload
	signed, body, ok := counted(raw)
	if !ok || len(signed) > maxNote {
		return u, nil, malformed("an upload begins with a signed note")
	}
	u, err := parseNote(signed)
	if err != nil {
		return u, nil, err
	}
	if text, _, _ := bytes.Cut(signed, []byte("\n\n")); string(text)+"\n" != u.text(sha256.Sum256(body)) {
		return u, nil, malformed("an upload isn't what its note says")
	}
	rest := body
	if u.Chain, rest, ok = counted(body); !ok || len(u.Chain) > MaxRequest || u.Last() != (len(u.Chain) > 0) {
		return u, nil, malformed("an upload's chain")
	}
	if u.Last() {
		n := int(u.To - u.From)
		if len(rest) < n*tlog.HashSize {
			return u, nil, malformed("an upload has fewer hashes than events")
		}
		u.Leaves = make([]tlog.Hash, n)
		for i := range u.Leaves {
			u.Leaves[i] = tlog.Hash(rest[i*tlog.HashSize : (i+1)*tlog.HashSize])
		}
		rest = rest[n*tlog.HashSize:]
	}
	u.Sealed = rest
	return u, signed, nil
}

// parseNote reads an upload's place from the note that it begins with.
func parseNote(signed []byte) (u Upload, err error) {
	text, _, ok := bytes.Cut(signed, []byte("\n\n"))
	lines := strings.Split(string(text), "\n")
	if !ok || len(lines) != 5 || lines[0] != uploadText {
		return u, malformed("an upload begins with a signed note")
	}
	u.Origin = lines[1]
	var part, parts int64
	if !pair(lines[2], &u.From, &u.To) || !pair(lines[3], &part, &parts) || parts < 1 || parts > MaxParts || part >= parts ||
		u.To <= u.From || u.To-u.From > MaxChunk {
		return u, malformed("an upload's place")
	}
	u.Part, u.Parts = int(part), int(parts)
	return u, nil
}

// readNote reads the note that an upload begins with, and no further. It returns
// the bytes as they came, too.
func readNote(in io.Reader) (signed, raw []byte, err error) {
	raw = make([]byte, 4, 4+maxNote)
	if _, err = io.ReadFull(in, raw); err != nil {
		return nil, nil, malformed("the body ends early")
	}
	n := binary.BigEndian.Uint32(raw)
	if n > maxNote {
		return nil, nil, malformed("an upload begins with a signed note")
	}
	raw = raw[:4+n]
	if _, err = io.ReadFull(in, raw[4:]); err != nil {
		return nil, nil, malformed("the body ends early")
	}
	return raw[4:], raw, nil
}

// counted cuts off what begins with its length in four bytes.
func counted(raw []byte) (first, rest []byte, ok bool) {
	if len(raw) < 4 {
		return nil, nil, false
	}
	n := binary.BigEndian.Uint32(raw)
	if uint64(n) > uint64(len(raw)-4) {
		return nil, nil, false
	}
	return raw[4 : 4+n], raw[4+n:], true
}

func pair(text string, a, b *int64) bool {
	x, y, ok := strings.Cut(text, " ")
	n, err := parseSize([]byte(x))
	m, err2 := parseSize([]byte(y))
	*a, *b = n, m
	return ok && err == nil && err2 == nil
}

// VerifyUpload checks that a key of the log's signed an upload's note, as
// ParseUpload returned it.
func VerifyUpload(signed []byte, keys []note.Verifier) error {
	for _, key := range keys {
		if _, err := note.Open(signed, note.VerifierList(key)); err == nil {
			return nil
		}
	}
	return ErrSignature
}

// Led checks that an upload's events lead from the tree before them to a head that
// the log signed. It returns the tree after them, and that head as the note that
// says who cosigned it, which is the caller's to ask.
func (u *Upload) Led(before Tree, keys []note.Verifier) (after Tree, head []byte, err error) {
	r, err := ParseRequest(u.Chain)
	if err != nil {
		return after, nil, err
	}
	c := r.Checkpoint
	if c.Origin != u.Origin || r.Old != u.To || c.Size < u.To || before.Size() != u.From {
		return after, nil, ErrUpload
	}
	if _, err := c.Verified(r.Note, keys); err != nil {
		return after, nil, err
	}
	if after, err = before.Append(u.Leaves); err != nil {
		return after, nil, err
	}
	if err := Extends(r.Proof, c, u.To, after.Root()); err != nil {
		return after, nil, ErrUpload
	}
	return after, r.Note, nil
}

// Place is an upload's file under a mirror's folder. There are at most some
// thousand names in one folder.
func Place(from int64, part int) string {
	return fmt.Sprintf("%09x/%016x.%04x", uint64(from)>>20, uint64(from), part)
}

// UploadPath is where a mirror gives an upload back, under its witness's URL.
func UploadPath(origin string, from int64, part int) string {
	return "logs/" + LogName(origin) + "/mirror/" + strconv.FormatInt(from, 10) + "/" + strconv.Itoa(part)
}
