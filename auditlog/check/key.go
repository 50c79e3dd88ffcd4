package check

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// Keys are whom a reader trusts. They are note.Verifiers, so that a key of a
// kind that this package doesn't know can be had from elsewhere.
type Keys struct {
	Log       []note.Verifier // the log's own; one of them must have signed
	Witnesses []note.Verifier
	Need      int // how many of the witnesses must have cosigned, each name counted once
}

// The kinds of keys by the number that C2SP signed-note gives them.
const (
	kindEd25519     = 1
	kindCosignature = 4 // Ed25519 over a checkpoint with a time (C2SP tlog-cosignature)
)

// ErrKeyKind means that a key is of a kind that this package doesn't know.
var ErrKeyKind = errors.New("a public key of a kind other than Ed25519")

var errKey = errors.New("a public key is a vkey (C2SP signed-note), written name+hash+key")

// ParseKey reads a log's vkey.
func ParseKey(vkey string) (note.Verifier, error) {
	name, kind, key, err := splitKey(vkey)
	switch {
	case err != nil:
		return nil, err
	case kind == kindEd25519:
		return note.NewVerifier(vkey)
	case kind == kindCosignature && len(key) == ed25519.PublicKeySize:
		return cosigner{name, key}, nil
	}
	return nil, ErrKeyKind
}

// ParseWitnessKey reads a witness's vkey. Witnesses sign cosignatures, so a
// plain Ed25519 key stands for the cosigner that uses it.
func ParseWitnessKey(vkey string) (note.Verifier, error) {
	name, kind, key, err := splitKey(vkey)
	if err == nil && kind == kindEd25519 && len(key) == ed25519.PublicKeySize {
		return cosigner{name, key}, nil
	}
	return ParseKey(vkey)
}

func splitKey(vkey string) (name string, kind byte, key []byte, err error) {
	name, rest, _ := strings.Cut(vkey, "+")
	hash, text, _ := strings.Cut(rest, "+")
	raw, err := decode(text)
	if err != nil || name == "" || len(raw) < 2 || strings.ContainsAny(name, " \t\n") {
		return "", 0, nil, errKey
	}
	if hash != fmt.Sprintf("%08x", keyID(name, raw)) {
		return "", 0, nil, errors.New("a public key's hash isn't that of its name and key; it was copied wrong or altered")
	}
	return name, raw[0], raw[1:], nil
}

// keyID names a key, as signed-note recommends.
func keyID(name string, key []byte) uint32 {
	sum := sha256.Sum256(append([]byte(name+"\n"), key...))
	return binary.BigEndian.Uint32(sum[:])
}

// decode reads base64 in its one spelling. The library alone takes line ends and
// stray bits.
func decode(text string) ([]byte, error) {
	raw, err := base64.StdEncoding.DecodeString(text)
	if err == nil && base64.StdEncoding.EncodeToString(raw) != text {
		err = errors.New("not the canonical base64")
	}
	return raw, err
}

// cosigner verifies Ed25519 cosignatures (C2SP tlog-cosignature).
type cosigner struct {
	name string
	key  ed25519.PublicKey
}

func (c cosigner) Name() string    { return c.name }
func (c cosigner) KeyHash() uint32 { return keyID(c.name, append([]byte{kindCosignature}, c.key...)) }

func (c cosigner) Verify(text, signature []byte) bool {
	if len(signature) != 8+ed25519.SignatureSize {
		return false
	}
	at := binary.BigEndian.Uint64(signature)
	return at>>63 == 0 && ed25519.Verify(c.key, fmt.Appendf(nil, "cosignature/v1\ntime %d\n%s", at, text), signature[8:])
}

// Head is what a checkpoint says.
type Head struct {
	Origin    string    `json:"origin"`
	Size      int64     `json:"size"`
	Root      tlog.Hash `json:"-"`
	Witnesses []string  `json:"witnesses,omitempty"` // names of those who cosigned
}

// maxCheckpoint holds a checkpoint with 16 cosignatures of the largest kind.
const maxCheckpoint = 128 << 10

// Open checks a checkpoint's signatures (C2SP tlog-checkpoint): one by the log,
// whose key must be named as the checkpoint's origin is, and as many witnesses'
// as Need says. Signatures by others don't count and don't harm.
func (k Keys) Open(checkpoint []byte) (Head, error) {
	if len(checkpoint) > maxCheckpoint {
		return Head{}, errors.New("the checkpoint is too long")
	}
	known := append(append([]note.Verifier(nil), k.Log...), k.Witnesses...)
	n, err := note.Open(checkpoint, note.VerifierList(known...))
	if err != nil {
		return Head{}, fmt.Errorf("the checkpoint isn't signed by a key that was given: %w", err)
	}
	head, err := parseHead(n.Text)
	if err != nil {
		return Head{}, err
	}
	var logs int
	for _, s := range n.Sigs { // which note.Open has verified, each key's once
		for _, v := range k.Log {
			if v.Name() == s.Name && v.KeyHash() == s.Hash && v.Name() == head.Origin {
				logs++
			}
		}
		for _, v := range k.Witnesses {
			if v.Name() == s.Name && v.KeyHash() == s.Hash && !slices.Contains(head.Witnesses, s.Name) {
				head.Witnesses = append(head.Witnesses, s.Name)
			}
		}
	}
	if logs == 0 {
		return Head{}, fmt.Errorf("the checkpoint of %q isn't signed by that log's key", head.Origin)
	}
	if len(head.Witnesses) < k.Need {
		return Head{}, fmt.Errorf("%d of the witnesses that were given have cosigned the checkpoint, and %d are wanted", len(head.Witnesses), k.Need)
	}
	return head, nil
}

// maxSize bounds a log's size: no log is so large, and x/mod's tlog doesn't come
// to an end for sizes from 2^62 on.
const maxSize = 1 << 56

// parseHead reads a checkpoint's text. Lines behind the third are the log's own
// and say nothing of the tree.
func parseHead(text string) (Head, error) {
	lines := strings.Split(text, "\n")
	if len(lines) < 4 || lines[len(lines)-1] != "" {
		return Head{}, errors.New("the checkpoint has fewer than three lines")
	}
	for _, line := range lines[:len(lines)-1] {
		if line == "" {
			return Head{}, errors.New("the checkpoint has an empty line")
		}
	}
	size, err := parseNumber(lines[1])
	if err != nil || size > maxSize {
		return Head{}, errors.New("the checkpoint's second line isn't a size that a log can have")
	}
	root, err := parseHash(lines[2])
	if err != nil {
		return Head{}, errors.New("the checkpoint's third line isn't a root")
	}
	return Head{Origin: lines[0], Size: size, Root: root}, nil
}

// parseNumber reads a number in its one spelling.
func parseNumber(text string) (int64, error) {
	n, err := strconv.ParseInt(text, 10, 64)
	if err == nil && (n < 0 || strconv.FormatInt(n, 10) != text) {
		err = strconv.ErrSyntax
	}
	return n, err
}

func parseHash(text string) (tlog.Hash, error) {
	raw, err := decode(text)
	if err != nil || len(raw) != tlog.HashSize {
		return tlog.Hash{}, errors.New("not a hash")
	}
	return tlog.Hash(raw), nil
}
