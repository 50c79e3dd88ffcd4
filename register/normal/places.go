package normal

import (
	"strings"
	"unicode/utf8"
	"unsafe"
)

// Places reads addresses as PlaceOf does, and remembers what it made of what
// stands before the first number: files name the same towns over and over. The
// zero value is ready; it is for one goroutine.
type Places struct {
	heads map[string]head
}

// mostHeads bounds what is remembered: Japan has some 117,000 towns, a file seldom
// more than some thousand.
const mostHeads = 1 << 16

// head is what PlaceOf's loop has come to at the end of an address's head.
type head struct {
	whole string // canonical
	hash  uint64
	steps int  // of the loop
	town  int  // bytes of whole that are the longest town so far
	bare  bool // nothing but marks stands between the town and the number
	slow  bool // what follows could change what the head means
}

// AppendForm appends PlaceOf(s).Form().
func (p *Places) AppendForm(dst []byte, s string) []byte {
	at := headEnds(s)
	if at == 0 || len(s) > 4*maxAddressText {
		return append(dst, PlaceOf(s).Form()...)
	}
	h, ok := p.heads[s[:at]]
	if !ok {
		h = headOf(s[:at])
		if p.heads == nil || len(p.heads) >= mostHeads {
			p.heads = make(map[string]head, 1024)
		}
		p.heads[strings.Clone(s[:at])] = h
	}
	if !h.slow {
		var stack [64]byte
		if numbers, plain := plainNumbers(stack[:0], s[at:]); plain {
			return h.appendForm(dst, str(numbers))
		}
	}
	return append(dst, PlaceOf(s).Form()...)
}

// str is b as a string that lives as long as b isn't changed.
func str(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// digitAt is the digit at i of s, in ASCII or full width, and its length; 0 if there
// is none.
func digitAt(s string, i int) (digit byte, n int) {
	if c := s[i]; c >= '0' && c <= '9' {
		return c, 1
	}
	if s[i] == 0xEF && i+2 < len(s) && s[i+1] == 0xBC && s[i+2] >= 0x90 && s[i+2] <= 0x99 { // U+FF10 to U+FF19
		return s[i+2] - 0x90 + '0', 3
	}
	return 0, 0
}

// headEnds is where the address's first digit stands; 0 if there is none, or if the
// character before it may have to do with it (a unit, a joint, a numeral).
func headEnds(s string) int {
	for at := 0; at < len(s); at++ {
		if c := s[at]; c > '9' && c != 0xEF || c < '0' {
			continue
		}
		if _, n := digitAt(s, at); n == 0 {
			continue
		}
		last, _ := utf8.DecodeLastRuneInString(s[:at])
		switch {
		case last >= 0x4E00 && last <= 0x9FFF:
			if numeral(last) < 0 && !strings.ContainsRune("目地番号室", last) {
				return at
			}
		case last >= 0x3041 && last <= 0x30FA:
			if last != 'の' && last != 'ノ' {
				return at
			}
		}
		return 0
	}
	return 0
}

// plainNumbers appends what Address makes of an address's numbers where they are of
// a usual form: 2-21-9, 二 aside also 2丁目21番9号, 2021番地の3, in any width, up to
// the text's end or a space.
func plainNumbers(dst []byte, s string) (numbers []byte, plain bool) {
	for i := 0; ; {
		digits := 0
		for i < len(s) {
			digit, n := digitAt(s, i)
			if n == 0 {
				break
			}
			dst = append(dst, digit)
			i += n
			digits++
		}
		if digits == 0 || len(dst) > 40 {
			return nil, false
		}
		if i == len(s) || blankAt(s, i) {
			return dst, true
		}
		for _, j := range &joints {
			if strings.HasPrefix(s[i:], j.text) {
				i += len(j.text)
				if j.ends && (i == len(s) || j.barred && blankAt(s, i)) {
					return dst, true
				}
				digits = -1
				break
			}
		}
		if digits > 0 || i == len(s) {
			return nil, false
		}
		dst = append(dst, '-')
	}
}

func blankAt(s string, i int) bool { return s[i] == ' ' || strings.HasPrefix(s[i:], "\u3000") }

// joints stand between two numbers. Some may also stand at the end; after some of
// those a blank parts what follows from the number (endsNumber).
var joints = [...]struct {
	text         string
	ends, barred bool
}{
	{"-", false, false}, {"－", false, false}, {"−", false, false}, {"‐", false, false}, {"ー", false, false}, {"の", false, false}, {"ノ", false, false},
	{"番地の", false, false}, {"番地", true, true}, {"番の", false, false}, {"番", true, false}, {"号", true, true}, {"丁目", true, false},
}

// headOf runs PlaceOf on an address that is cut at its first number.
func headOf(s string) head {
	if strings.HasPrefix(s, "〒") {
		return head{slow: true}
	}
	s = withoutPrefecture(Address(separated(s)))
	if strings.ContainsAny(s, "0123456789|") {
		return head{slow: true}
	}
	var stack [4 * longestTown]byte
	c := canonical{text: stack[:0]}
	h := head{}
	table, rest := towns(), 0
	for i := 0; i < len(s) && h.steps < longestTown; h.steps++ {
		if i = c.next(s, i); table.has(c.hash) {
			rest, h.town, h.steps = i, len(c.text), max(h.steps, longestTown-pastTown)
		}
	}
	h.whole, h.hash = string(c.text), c.hash
	h.bare = h.town > 0 && strings.TrimPrefix(strings.TrimLeft(s[rest:], "-"), "字") == ""
	// An unknown town is all of the head, however long; and one that the loop left
	// half read isn't worth a case of its own.
	if h.town == 0 && h.steps >= longestTown || h.hash == 0 {
		h.slow = true
	}
	return h
}

// appendForm goes on from the head with its numbers: a town may go on beyond
// them, and the block is what is left of them.
func (h *head) appendForm(dst []byte, numbers string) []byte {
	from := len(dst)
	dst = append(dst, h.whole...)
	c := canonical{text: dst[from:], hash: h.hash}
	table, town, rest := towns(), h.town, -1
	for i, n := 0, h.steps; i < len(numbers) && n < longestTown; n++ {
		if i = c.next(numbers, i); table.has(c.hash) {
			town, rest, n = len(c.text), i, max(n, longestTown-pastTown)
		}
	}
	dst = append(dst[:from], c.text...) // in place, unless it had to grow
	switch {
	case rest >= 0:
		dst, numbers = dst[:from+town], strings.TrimLeft(numbers[rest:], "-")
	case town == 0:
		dst = dst[:from+len(h.whole)]
	case h.bare:
		dst = dst[:from+town]
	default:
		return dst[:from]
	}
	if numbers = block(numbers); numbers == "" {
		return dst[:from]
	}
	return append(append(dst, '\x1f'), numbers...)
}
