// Package leakscan says whose data is in a heap of files: it makes the index of
// keyed hashes that a scan looks things up in, and reads it. leakscan/scan reads
// the files.
//
// The index holds no text. An anchor (a number, an account, a name with a birth
// or an address, a telephone number, an e-mail address) is SipHash-2-4 under a
// key for its kind, and each person's fields, past ones too, are two-byte tags
// under a key for the field, salted with the person, so that equal values of two
// people don't show. All keys come from one that is made for the case and
// destroyed with it: what is left then can't be tried against numbers or names.
//
// It promises that an index is the same bytes for the same people in the same
// order under the same key; that how many people share an anchor was counted when
// it was built; that its size stays under 100 bytes a person of the usual kind and
// the memory to build it doesn't grow with the register; and that a file which was
// altered, cut or made under another key is refused when it is opened.
//
// It doesn't promise that a hit is a person: a tag has 16 bits and a number ten
// digits, and what chance does with them is leakscan/scan's to weigh. Who holds
// index and key can try guesses, as a scan does; the pseudonyms in it name nobody
// without the gate.
package leakscan

import (
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/binary"
	"fmt"

	"azekura/register/normal"

	"github.com/dchest/siphash"
)

// Kind is what an anchor is made of. The numbers are part of the format.
type Kind uint8

// The kinds of anchors.
const (
	Number      Kind = iota // pension number, current or past
	Account                 // bank, branch and number
	NameBirth               // name (tier 2 of its variants) and birth
	KanaBirth               // kana and birth
	NameAddress             // name (tier 2) and town with block
	Phone
	Email

	Kinds int = iota
)

var kindNames = [...]string{"number", "account", "name_birth", "kana_birth", "name_address", "phone", "email"}

// String is the kind's name in evidence.
func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return fmt.Sprintf("kind(%d)", uint8(k))
}

// Tag is a field as the vector of a person has it. The numbers are part of the
// format.
type Tag uint8

// The tags.
const (
	TagNumber  Tag = iota
	TagName        // tier 1 of its variants
	TagLoose       // tier 2
	TagKana        //
	TagRomaji      //
	TagBirth       //
	TagAddress     // town with block
	TagPostal      //
	TagPhone       //
	TagEmail       //
	TagAccount     //
	TagRef         //

	tags int = iota
)

// KeySize is the size of a case's key, in bytes.
const KeySize = 32

// Keys are the keys that a case's key gives: one for each kind of token.
type Keys struct {
	kind [Kinds][2]uint64
	tag  [tags][2]uint64
	seal []byte // of the file's head
}

// NewKeys derives them.
func NewKeys(caseKey []byte) (*Keys, error) {
	if len(caseKey) != KeySize {
		return nil, fmt.Errorf("a case's key has %d bytes, not %d", len(caseKey), KeySize)
	}
	k := &Keys{}
	for i := range k.kind {
		k.kind[i] = sipKey(derive(caseKey, "anchor "+Kind(i).String(), 16))
	}
	for i := range k.tag {
		k.tag[i] = sipKey(derive(caseKey, fmt.Sprintf("tag %d", i), 16))
	}
	k.seal = derive(caseKey, "seal", 32)
	return k, nil
}

func derive(key []byte, label string, size int) []byte {
	out, err := hkdf.Key(sha256.New, key, nil, "azekura leak index 1 "+label, size)
	if err != nil { // only for a length that HKDF can't give
		panic(err)
	}
	return out
}

func sipKey(b []byte) [2]uint64 {
	return [2]uint64{binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint64(b[8:])}
}

// Token is the anchor of a form.
func (k *Keys) Token(kind Kind, form []byte) uint64 {
	return siphash.Hash(k.kind[kind][0], k.kind[kind][1], form)
}

// tagOf is a person's tag of a form. The person is part of the key's second half,
// which SipHash mixes as it mixes a key: a random one, differing by a counter.
func (k *Keys) tagOf(person uint32, tag Tag, form []byte) uint16 {
	return uint16(siphash.Hash(k.tag[tag][0], k.tag[tag][1]^uint64(person), form))
}

// separator stands between the parts of a form; no normalised text holds it.
const separator = 0x1f

// AppendNameBirth appends the form of a name, or kana, with a birth.
func AppendNameBirth(dst, name []byte, birth normal.Day) []byte {
	dst = append(append(dst, name...), separator)
	return binary.LittleEndian.AppendUint32(dst, uint32(birth))
}

// AppendNameAddress appends the form of a name with a place.
func AppendNameAddress(dst, name, place []byte) []byte {
	dst = append(append(dst, name...), separator)
	return append(dst, place...)
}

// AppendBirth appends the form of a birth, as its tag has it.
func AppendBirth(dst []byte, birth normal.Day) []byte {
	return binary.LittleEndian.AppendUint32(dst, uint32(birth))
}
