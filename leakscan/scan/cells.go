package scan

import (
	"bytes"
	"encoding/binary"
	"math/bits"
	"unicode/utf8"
	"unsafe"

	"azekura/register/normal"
)

// class is what a cell may be. A cell can be several things: ten digits that
// begin with 0 are a pension number and a telephone number.
type class uint16

const (
	isNumber  class = 1 << iota // ten digits, together or 4-6
	isPhone                     // 10 or 11 digits from 0, or +81
	isDate                      // worth reading as a date
	isEmail                     // has an @ in the right place
	isName                      // kanji, kana or letters, without digits
	isKana                      // kana alone
	isAddress                   // kanji and digits
	isPostal                    // seven digits
	isCode                      // 3, 4 or 7 digits, or 14: parts of an account
	isRef                       // letters and digits
)

// cell is a piece of a record: its text in UTF-8, trimmed, and what it may be.
type cell struct {
	text   []byte
	digits []byte // what it has of digits, in ASCII, where it is made of them
	class  class
	// katakana is set for full-width katakana and blanks: what AppendKana and
	// AppendNameLoose make the same of.
	katakana bool
	col      int32
	// Where matcher.names has the text as a name, once it was asked for.
	looseFrom, looseTo int32
}

// kinds of bytes, for the one pass over a cell.
const (
	byteOther = iota
	byteDigit
	byteLetter
	byteHyphen
	byteDot // . and /
	byteAt
	byteSpace
	byteHigh
	byteKinds
)

var byteKind = func() (t [256]uint8) {
	for c := range t {
		switch {
		case c >= '0' && c <= '9':
			t[c] = byteDigit
		case c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z':
			t[c] = byteLetter
		case c == '-':
			t[c] = byteHyphen
		case c == '.' || c == '/':
			t[c] = byteDot
		case c == '@':
			t[c] = byteAt
		case c == ' ' || c == '\t':
			t[c] = byteSpace
		case c >= 0x80:
			t[c] = byteHigh
		}
	}
	return t
}()

// longestCell bounds what is looked at as a value; a longer one is text, in which
// pieces are looked for.
const longestCell = 1200

// str is b as a string that lives as long as b isn't changed.
func str(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// classify says what a trimmed cell may be.
func (c *cell) classify(scratch *[]byte) {
	c.class, c.digits, c.katakana = 0, nil, false
	b := c.text
	if len(b) < 2 || len(b) > longestCell {
		return
	}
	if b[0] >= 0xE3 && b[0] <= 0xE9 && c.japanese() {
		return
	}
	if len(b) >= 8 && len(b) <= 16 && notDigits(b)|notDigits(b[len(b)-8:]) == 0 {
		c.digits = b
		c.number(0)
		return
	}
	c.counted(scratch)
}

// notDigits has a bit for each of b's first eight bytes that is no digit, or more.
func notDigits(b []byte) uint64 {
	w := binary.LittleEndian.Uint64(b)
	return ((w + 0x4646464646464646) | (w - 0x3030303030303030)) & 0x8080808080808080
}

// counted is classify for any cell, by the kinds of its bytes.
func (c *cell) counted(scratch *[]byte) {
	b := c.text
	n := countKinds(b)
	if n[byteHigh] > 0 {
		c.wide(scratch)
		return
	}
	digits, length := int(n[byteDigit]), len(b)
	switch {
	case digits == length:
		c.digits = b
		c.number(0)
	case n[byteAt] == 1 && n[byteSpace] == 0 && length > 5:
		c.class = isEmail
	case digits+int(n[byteHyphen]) == length:
		c.joined(scratch, b)
	case digits == 0 && int(n[byteLetter]) >= 2:
		c.class = isName
		if n[byteSpace] == 0 && length <= 32 {
			c.class |= isRef
		}
	case digits >= 4 && length <= 40 && byteKind[b[0]] == byteDigit && n[byteLetter] <= 2:
		c.class = isDate // 1950/4/12 0:00
		if n[byteDot] == 0 {
			c.phone(scratch, b)
		}
	case digits >= 4 && length <= 12 && eraLetter(b[0]):
		c.class = isDate | isRef
	case digits >= 9 && (b[0] == '+' || b[0] == '('):
		c.phone(scratch, b)
	case length <= 32 && n[byteSpace] == 0:
		c.class = isRef
	}
}

// countKinds counts the kinds of bytes: eight counts in one number while they fit,
// so that a byte is one addition.
func countKinds(b []byte) (n [byteKinds]uint16) {
	if len(b) > 255 {
		for _, x := range b {
			n[byteKind[x]]++
		}
		return n
	}
	sum := uint64(0)
	for _, x := range b {
		sum += byteWeight[x]
	}
	for i := range n {
		n[i] = uint16(sum >> (8 * i) & 255)
	}
	return n
}

// byteWeight is 1 in the byte of its kind's count.
var byteWeight = func() (t [256]uint64) {
	for c := range t {
		t[c] = 1 << (8 * byteKind[c])
	}
	return t
}()

// japanese classifies what most cells beyond ASCII are, as wide does: what begins
// with a kanji, of which only the digits count then, and kana alone. Not ok means
// that only wide knows.
func (c *cell) japanese() (ok bool) {
	b := c.text
	if b[0] == 0xE3 {
		return c.kana()
	}
	if len(b) < 3 {
		return false
	}
	switch digits := countDigits(b); {
	case digits > 0:
		c.class = isAddress
		if digits <= 8 && len(b) <= 48 {
			c.class |= isDate
		}
	case len(b) > 20 && len(b) <= 24:
		return false // it hangs on the number of kanji
	default:
		c.class = isName
		if dateKanji(b) {
			c.class |= isDate
		}
		if len(b) > 24 {
			c.class |= isAddress // blocks in numerals of kanji
		}
	}
	return true
}

// kana is japanese for a cell that begins with kana.
func (c *cell) kana() bool {
	b, n, katakana := c.text, 0, true
	for i := 0; i < len(b); {
		switch {
		case b[i] == ' ':
			i++
		case b[i] != 0xE3 || i+2 >= len(b):
			return false
		case b[i+1] == 0x82 || b[i+1] == 0x83 || b[i+1] == 0x81 && b[i+2] > 0x80:
			katakana = katakana && (b[i+1] == 0x83 || b[i+1] == 0x82 && b[i+2] >= 0xA0)
			n++
			i += 3
		case b[i+1] == 0x80 && b[i+2] == 0x80:
			i += 3
		default:
			return false
		}
	}
	c.class, c.katakana = isName|isKana, katakana
	return n > 0
}

// countDigits counts digits, in ASCII and full width (EF BC 90 to 99), eight bytes at
// a time: by the highest bit of each, and without a branch that has to be guessed but
// for full width.
func countDigits(b []byte) (n int) {
	const ones, high = 0x0101010101010101, 0x8080808080808080
	for ; len(b) >= 10; b = b[8:] {
		w := binary.LittleEndian.Uint64(b)
		low := w &^ high
		n += bits.OnesCount64((low + 0x50*ones) &^ (low + 0x46*ones) &^ w & high)
		ef := equal(w, 0xEF*ones)
		if ef != 0 {
			bc, third := equal(binary.LittleEndian.Uint64(b[1:]), 0xBC*ones), binary.LittleEndian.Uint64(b[2:])
			low = third &^ high
			n += bits.OnesCount64((low + 0x70*ones) &^ (low + 0x66*ones) & third & high & ef & bc)
		}
	}
	for i, x := range b {
		if x-'0' <= 9 || x == 0xEF && i+2 < len(b) && b[i+1] == 0xBC && b[i+2]-0x90 <= 9 {
			n++
		}
	}
	return n
}

// equal has the highest bit of each byte in which w and to are the same.
func equal(w, to uint64) uint64 {
	const high = 0x8080808080808080
	w ^= to
	return ^(w&^high + (^uint64(0) &^ high) | w) & high
}

func eraLetter(b byte) bool {
	switch b | 0x20 {
	case 'm', 't', 's', 'h', 'r':
		return true
	}
	return false
}

// number classifies digits; hyphen is where the first hyphen stood, 0 if none.
func (c *cell) number(hyphen int) {
	d := c.digits
	switch len(d) {
	case 3, 4:
		c.class = isCode
	case 5, 6:
		c.class = isDate | isCode
	case 7:
		c.class = isDate | isPostal | isCode
	case 8:
		c.class = isDate
	case 10:
		if hyphen == 0 || hyphen == 4 {
			c.class = isNumber
		}
		if d[0] == '0' && d[1] != '0' {
			c.class |= isPhone
		}
	case 11:
		if d[0] == '0' && d[1] != '0' {
			c.class = isPhone
		}
	case 14:
		c.class = isCode
	}
	if len(d) <= 16 {
		c.class |= isRef
	}
}

// joined classifies digits with hyphens between.
func (c *cell) joined(scratch *[]byte, b []byte) {
	from := len(*scratch)
	*scratch = append(*scratch, b...)
	digits := (*scratch)[from:]
	n := 0
	for _, x := range b { // hyphens are written over: no branch that has to be guessed
		digits[n] = x
		n += int(x >> 4 & 1)
	}
	*scratch = (*scratch)[:from+n]
	c.digits = digits[:n:n]
	hyphen, hyphens := bytes.IndexByte(b, '-'), len(b)-n
	if hyphen == 0 {
		hyphen = bytes.IndexByte(b[1:], '-') + 1
	}
	c.number(hyphen)
	if hyphens > 1 {
		c.class &^= isNumber | isPostal | isCode
	}
	if len(b) <= 10 {
		c.class |= isDate
	}
	if hyphen != 3 {
		c.class &^= isPostal
	}
	c.class &^= isCode
}

// phone takes digits out of a number with other marks, if normal.Phone knows it.
func (c *cell) phone(scratch *[]byte, b []byte) {
	p := normal.Phone(str(b))
	if p == "" {
		return
	}
	from := len(*scratch)
	*scratch = append(*scratch, p...)
	c.digits = (*scratch)[from:len(*scratch):len(*scratch)]
	c.class |= isPhone
}

// wide classifies a cell with more than ASCII in it, by the blocks of its
// characters.
func (c *cell) wide(scratch *[]byte) {
	var kanji, kana, digits, letters, hyphens, others, at int
	b := c.text
	for i := 0; i < len(b); {
		x := b[i]
		if x < utf8.RuneSelf {
			switch byteKind[x] {
			case byteDigit:
				digits++
			case byteLetter:
				letters++
			case byteHyphen:
				hyphens++
			case byteAt:
				at++
			case byteSpace:
			default:
				others++
			}
			i++
			continue
		}
		if x < 0xE0 {
			if x >= 0xC3 && x <= 0xC9 {
				letters++
			} else {
				others++
			}
			i += 2
			continue
		}
		if x >= 0xF0 {
			kanji++
			i += 4
			continue
		}
		if i+2 >= len(b) {
			break
		}
		if x >= 0xE4 && x <= 0xE9 { // U+4000 to U+9FFF
			kanji++
			i += 3
			continue
		}
		if x == 0xE3 && b[i+1] >= 0x82 && b[i+1] <= 0x83 { // U+3080 to U+30FF
			kana++
			i += 3
			continue
		}
		r := rune(x&0x0F)<<12 | rune(b[i+1]&0x3F)<<6 | rune(b[i+2]&0x3F)
		i += 3
		switch {
		case r >= 0x3400 && r <= 0x9FFF || r >= 0xF900 && r <= 0xFAFF || r >= 0xE000 && r <= 0xF8FF || r == '々':
			kanji++
		case r >= 0x3041 && r <= 0x30FF || r >= 0xFF66 && r <= 0xFF9F:
			kana++
		case r == '\u3000':
		case r >= '０' && r <= '９':
			digits++
		case r >= 'Ａ' && r <= 'ｚ':
			letters++
		case r >= 0x2010 && r <= 0x2015 || r == 0x2212 || r == 0xFF0D:
			hyphens++
		case r == '＠':
			at++
		default:
			others++
		}
	}
	switch {
	case kanji == 0 && kana <= 1 && letters <= 1 && at == 0 && digits >= 5:
		c.fold(scratch)
	case at == 1 && kanji == 0:
		c.class = isEmail
	case digits == 0 && kanji > 0:
		c.class = isName
		if dateKanji(b) {
			c.class |= isDate
		}
		if kanji > 6 || len(b) > 24 {
			c.class |= isAddress // blocks in numerals of kanji
		}
	case kanji > 0:
		c.class = isAddress
		if digits <= 8 && len(b) <= 48 {
			c.class |= isDate
		}
	case kana > 0 && digits == 0:
		c.class = isName | isKana
	case letters > 1 && digits == 0:
		c.class = isName
	}
	_, _ = hyphens, others
}

// dateKanji says whether a text without digits may be a date: 昭和二十五年四月十二日.
func dateKanji(b []byte) bool {
	for i := 0; i+2 < len(b); i++ {
		if b[i] == 0xE5 && b[i+1] == 0xB9 && b[i+2] == 0xB4 { // 年
			return true
		}
	}
	return false
}

// fold writes full-width digits and their like in ASCII and looks again.
func (c *cell) fold(scratch *[]byte) {
	from := len(*scratch)
	*scratch = normal.AppendName(*scratch, str(c.text))
	folded := (*scratch)[from:len(*scratch):len(*scratch)]
	high := false
	for _, x := range folded {
		high = high || x >= utf8.RuneSelf
	}
	if high {
		c.class = isDate
		return
	}
	was := c.text
	c.text = folded
	c.classify(scratch)
	if c.class&isDate != 0 || len(was) < len(folded) {
		c.class |= isDate
	}
}

// trim takes blanks off both ends, the full-width one too.
func trim(b []byte) []byte {
	for len(b) > 0 {
		switch {
		case b[0] <= ' ':
			b = b[1:]
		case len(b) >= 3 && b[0] == 0xE3 && b[1] == 0x80 && b[2] == 0x80:
			b = b[3:]
		default:
			goto right
		}
	}
right:
	for len(b) > 0 {
		n := len(b)
		switch {
		case b[n-1] <= ' ':
			b = b[:n-1]
		case n >= 3 && b[n-3] == 0xE3 && b[n-2] == 0x80 && b[n-1] == 0x80:
			b = b[:n-3]
		default:
			return b
		}
	}
	return b
}
