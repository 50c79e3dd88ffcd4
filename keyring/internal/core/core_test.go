package core

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"testing"

	"azekura/register/field"

	"pgregory.net/rapid"
)

func key(b byte) []byte { return bytes.Repeat([]byte{b}, KeySize) }

func newCore(t testing.TB) *Core {
	t.Helper()
	c, err := New(map[int64][]byte{1: key(1), 2: key(2)}, key(3), key(4), map[int64][]byte{1: key(5)})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestFormat opens and recomputes what is stored by hand, so that a change to
// a stored format can't pass unseen.
func TestFormat(t *testing.T) {
	c := newCore(t)
	id := [16]byte{0xaa, 15: 0xbb}
	const ids = "aa0000000000000000000000000000bb"
	gcm := func(key []byte) cipher.AEAD {
		block, err := aes.NewCipher(key)
		if err != nil {
			t.Fatal(err)
		}
		aead, err := cipher.NewGCM(block)
		if err != nil {
			t.Fatal(err)
		}
		return aead
	}
	place := func(label, digits string) []byte {
		raw, err := hex.DecodeString(digits)
		if err != nil {
			t.Fatal(err)
		}
		return append([]byte(label+"\x00"), raw...)
	}
	open := func(aead cipher.AEAD, sealed, place []byte) []byte {
		t.Helper()
		plain, err := aead.Open(nil, sealed[:12], sealed[12:], place)
		if err != nil {
			t.Fatal(err)
		}
		return plain
	}

	aead, _, wrapped, err := c.NewDataKey(id, 7)
	if err != nil {
		t.Fatal(err)
	}
	raw := open(gcm(key(2)), wrapped, place("azekura data key 1", ids+"0000000000000007"+"0000000000000002"))
	sealed := SealField(aead, nil, id, field.Kana, 0x0102, 7, "コウロ")
	if got := open(gcm(raw), sealed, place("azekura field 1", ids+"02"+"0000000000000102"+"0000000000000007")); string(got) != "コウロ" {
		t.Errorf("field: %q", got)
	}
	block := c.SealMembers(0x0a, 0x0b, []byte("members"))
	if got := open(gcm(key(3)), block, place("azekura set members 1", "000000000000000a000000000000000b")); string(got) != "members" {
		t.Errorf("members: %q", got)
	}

	mac := func(secret []byte, label, text string) (token [TokenSize]byte) {
		derived, err := hkdf.Key(sha256.New, secret, nil, label, 32)
		if err != nil {
			t.Fatal(err)
		}
		h := hmac.New(sha256.New, derived)
		h.Write([]byte(text))
		copy(token[:], h.Sum(nil))
		return token
	}
	if got, want := c.Token("number", "1234567890"), mac(key(5), "azekura index 1 number", "1234567890"); got != want {
		t.Errorf("token: %x, want %x", got, want)
	}
	if got, want := c.Digest(id, []byte("record")), mac(key(4), "azekura digest 1", string(id[:])+"record"); got != want {
		t.Errorf("digest: %x, want %x", got, want)
	}
}

// spot is all that additional data binds a value to.
type spot struct {
	id         [16]byte
	f          field.Field
	version    int64
	no, epoch  int64
	set, block int64
}

func spots() *rapid.Generator[spot] {
	small := rapid.Int64Range(1, 3) // small, so that two draws agree in part
	return rapid.Custom(func(t *rapid.T) spot {
		return spot{id: [16]byte{rapid.Byte().Draw(t, "id") % 3}, f: field.Field(rapid.IntRange(0, 10).Draw(t, "field")), version: small.Draw(t, "version"),
			no: small.Draw(t, "no"), epoch: small.Draw(t, "epoch") % 3, set: small.Draw(t, "set"), block: small.Draw(t, "block")}
	})
}

// TestOnlyItsPlaceOpens: a ciphertext opens where it was sealed and nowhere
// else, whatever part of the place differs.
func TestOnlyItsPlaceOpens(t *testing.T) {
	c := newCore(t)
	rapid.Check(t, func(t *rapid.T) {
		at, to := spots().Draw(t, "sealed at"), spots().Draw(t, "opened at")
		text := rapid.String().Draw(t, "text")
		must := func(what string, same bool, err error) {
			if (err == nil) != same || (err != nil && !errors.Is(err, ErrOpen)) {
				t.Fatalf("%s: %v", what, err)
			}
		}

		aead, _, wrapped, err := c.NewDataKey(at.id, at.no)
		if err != nil {
			t.Fatal(err)
		}
		if to.epoch == 0 {
			if _, err := c.DataKey(at.id, at.no, 9, wrapped); err == nil {
				t.Fatal("a destroyed epoch opened")
			}
		} else {
			_, err = c.DataKey(to.id, to.no, to.epoch, wrapped)
			must("data key", at.id == to.id && at.no == to.no && to.epoch == c.Epoch(), err)
		}

		sealed := SealField(aead, nil, at.id, at.f, at.version, at.no, text)
		got, err := OpenField(aead, to.id, to.f, to.version, to.no, sealed)
		must("field", at.id == to.id && at.f == to.f && at.version == to.version && at.no == to.no, err)
		if err == nil && string(got) != text {
			t.Fatalf("sealed %q, opened %q", text, got)
		}

		block := c.SealMembers(at.set, at.block, []byte(text))
		_, err = c.OpenMembers(to.set, to.block, block)
		must("members", at.set == to.set && at.block == to.block, err)
	})
}

// TestKeysAreNotSharedBetweenUses: a value of one use doesn't open as another's,
// even where a caller confuses them.
func TestKeysAreNotSharedBetweenUses(t *testing.T) {
	c := newCore(t)
	id := [16]byte{1}
	_, _, wrapped, err := c.NewDataKey(id, 1)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.OpenMembers(1, 1, wrapped); !errors.Is(err, ErrOpen) {
		t.Errorf("a data key opened as members: %v", err)
	}
	if _, err := c.DataKey(id, 1, 2, c.SealMembers(1, 1, key(9))); !errors.Is(err, ErrOpen) {
		t.Errorf("members opened as a data key: %v", err)
	}
	if c.Token("a", "text") == c.Digest([16]byte{}, []byte("text")) {
		t.Error("a token is a digest")
	}
}

func TestNoncesDiffer(t *testing.T) {
	aead, _, _, err := newCore(t).NewDataKey([16]byte{1}, 1)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for range 1000 {
		sealed := SealField(aead, nil, [16]byte{1}, field.Name, 1, 1, "same")
		if seen[string(sealed[:nonceSize])] {
			t.Fatal("a nonce came twice")
		}
		seen[string(sealed[:nonceSize])] = true
	}
}

// TestSealAppends: sealing adds to what is there, and Overhead says how much.
func TestSealAppends(t *testing.T) {
	aead, _, _, err := newCore(t).NewDataKey([16]byte{1}, 1)
	if err != nil {
		t.Fatal(err)
	}
	before := append(make([]byte, 0, 256), "before"...)
	after := SealField(aead, before, [16]byte{1}, field.Name, 1, 1, "value")
	if len(after) != len(before)+len("value")+Overhead || !bytes.HasPrefix(after, before) {
		t.Fatalf("%d bytes became %d", len(before), len(after))
	}
	if got, err := OpenField(aead, [16]byte{1}, field.Name, 1, 1, after[len(before):]); err != nil || string(got) != "value" {
		t.Fatalf("%q, %v", got, err)
	}
}

func TestMissingKeysAreRefused(t *testing.T) {
	data, index := map[int64][]byte{1: key(1)}, map[int64][]byte{1: key(5)}
	for name, parts := range map[string][4]any{
		"no data key":        {map[int64][]byte{}, key(3), key(4), index},
		"a short data key":   {map[int64][]byte{1: key(1)[:16]}, key(3), key(4), index},
		"no members key":     {data, []byte(nil), key(4), index},
		"no digest key":      {data, key(3), []byte(nil), index},
		"no index key":       {data, key(3), key(4), map[int64][]byte{}},
		"an empty index key": {data, key(3), key(4), map[int64][]byte{1: nil}},
		"three index keys":   {data, key(3), key(4), map[int64][]byte{1: key(5), 2: key(6), 3: key(7)}},
		"a long index key":   {data, key(3), key(4), map[int64][]byte{1: append(key(5), 0)}},
	} {
		c, err := New(parts[0].(map[int64][]byte), parts[1].([]byte), parts[2].([]byte), parts[3].(map[int64][]byte))
		if err == nil || c != nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// FuzzOpen: no bytes but the sealed ones open, and none panic. The input is
// what to change of them, since each process of the fuzzer has its own keys.
func FuzzOpen(f *testing.F) {
	c := newCore(f)
	aead, _, wrapped, err := c.NewDataKey([16]byte{1}, 1)
	if err != nil {
		f.Fatal(err)
	}
	sealed := SealField(aead, nil, [16]byte{1}, field.Name, 1, 1, "高炉 花子")
	members := c.SealMembers(1, 1, []byte("members"))
	for _, n := range []int{0, 1, nonceSize, Overhead - 1, Overhead, len(sealed), len(wrapped), len(members), 100} {
		f.Add(make([]byte, n))
		f.Add(bytes.Repeat([]byte{1}, n))
	}
	f.Fuzz(func(t *testing.T, change []byte) {
		try := func(what string, whole []byte, open func(raw []byte) error) {
			raw := bytes.Clone(change)
			for i := range min(len(raw), len(whole)) {
				raw[i] ^= whole[i]
			}
			if err := open(raw); (err == nil) != bytes.Equal(raw, whole) {
				t.Errorf("%s: %v", what, err)
			}
		}
		try("field", sealed, func(raw []byte) error {
			_, err := OpenField(aead, [16]byte{1}, field.Name, 1, 1, raw)
			return err
		})
		try("data key", wrapped, func(raw []byte) error {
			_, err := c.DataKey([16]byte{1}, 1, 2, raw)
			return err
		})
		try("members", members, func(raw []byte) error {
			_, err := c.OpenMembers(1, 1, raw)
			return err
		})
	})
}
