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
	// Of the head that walk was at: its text, and what was passed on the way.
	text   [8 * longestTown]byte
	steps  [longestTown]step
	hashes [pastTown]uint64
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
	// goesOn says that some town is the head and then a number: 北1条西.
	goesOn bool
}

// AppendForm appends PlaceOf(s).Form().
func (p *Places) AppendForm(dst []byte, s string) []byte {
	h, at, ok := p.stride(s)
	if !ok {
		h, at, ok = p.walk(s)
	}
	if !ok {
		if at = headEnds(s); at == 0 || len(s) > 4*maxAddressText {
			return append(dst, PlaceOf(s).Form()...)
		}
		h = p.remembered(s[:at])
	}
	if !h.slow {
		if n := asciiNumbers(s[at:]); n > 0 {
			return h.appendForm(dst, s[at:at+n])
		}
		var stack [64]byte
		if numbers, end := plainNumbers(stack[:0], s[at:]); end == atEnd || end == atName && !h.goesOn {
			return h.appendForm(dst, str(numbers))
		}
	}
	return append(dst, PlaceOf(s).Form()...)
}

// remembered is headOf, from memory if it can be.
func (p *Places) remembered(s string) head {
	h, ok := p.heads[s]
	if !ok {
		h = headOf(s)
		if p.heads == nil || len(p.heads) >= mostHeads {
			p.heads = make(map[string]head, 1024)
		}
		p.heads[strings.Clone(s)] = h
	}
	return h
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

// ending is what ends an address's numbers.
type ending uint8

const (
	elsewhere ending = iota // only PlaceOf knows
	atEnd                   // the text's end, or a blank that parts what follows
	atName                  // a building's name
)

// asciiNumbers is the length of numbers like 2-21-9 at the head of s that Address
// leaves as they are, up to its end or to a blank; 0 where plainNumbers has to look.
func asciiNumbers(s string) int {
	i := 0
	for i < len(s) && (isDigit(s[i]) || s[i] == '-' && i > 0 && s[i-1] != '-') {
		i++
	}
	if i > 40 || i == 0 || s[i-1] == '-' || endAt(s, i, true) != atEnd {
		return 0
	}
	return i
}

// plainNumbers appends what Address makes of an address's numbers where they are of
// a usual form: 2-21-9, 2丁目21番9号, 2021番地の3, in any width.
func plainNumbers(dst []byte, s string) (numbers []byte, end ending) {
	for i := 0; ; {
		from := i
		for i < len(s) {
			digit, n := digitAt(s, i)
			if n == 0 {
				break
			}
			dst = append(dst, digit)
			i += n
		}
		if i == from || len(dst) > 40 {
			return nil, elsewhere
		}
		size, ends, barred := jointAt(s[i:])
		if i += size; size == 0 || ends {
			if end = endAt(s, i, size == 0 || barred); end != elsewhere {
				return dst, end
			}
		}
		if size == 0 || i == len(s) {
			return nil, elsewhere
		}
		dst = append(dst, '-')
	}
}

// jointAt is the length of what stands between two numbers, at the head of s; 0 if
// none does. Some may also stand at the end; after some of those a blank parts what
// follows from the number (endsNumber).
func jointAt(s string) (size int, ends, barred bool) {
	if len(s) < 3 {
		if strings.HasPrefix(s, "-") {
			return 1, false, false
		}
		return 0, false, false
	}
	switch s[0] {
	case '-':
		return 1, false, false
	case 0xEF, 0xE2, 0xE3:
		switch s[:3] {
		case "－", "−", "‐", "ー", "の", "ノ":
			return 3, false, false
		}
	case 0xE4:
		if strings.HasPrefix(s, "丁目") {
			return 6, true, false
		}
	case 0xE5:
		if s[:3] == "号" {
			return 3, true, true
		}
	case 0xE7:
		if s[:3] != "番" {
			break
		}
		switch rest := s[3:]; {
		case strings.HasPrefix(rest, "地の"):
			return 9, false, false
		case strings.HasPrefix(rest, "地"):
			return 6, true, true
		case strings.HasPrefix(rest, "の"):
			return 6, false, false
		}
		return 3, true, false
	}
	return 0, false, false
}

// endAt says whether numbers end at i; barred, whether a blank there parts them from
// what follows (endsNumber).
func endAt(s string, i int, barred bool) ending {
	if i == len(s) || barred && (s[i] == ' ' || strings.HasPrefix(s[i:], "\u3000")) {
		return atEnd
	}
	if c := s[i]; c-'0' <= 9 || c == '-' || c == 0xEF { // another number, a joint, a full-width letter
		return elsewhere
	}
	switch r, _ := utf8.DecodeRuneInString(s[i:]); {
	case r >= 0x30A1 && r <= 0x30F6 && r != 'ノ', r >= 0x3041 && r <= 0x3096 && r != 'の', r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z':
		return atName
	case r >= 0x4E00 && r <= 0x9FFF && foldRune(r, 0) == r && numeral(r) < 0 && !strings.ContainsRune("丁番号室字町街館組目台通外場棟線車機地口店", r):
		return atName
	}
	return elsewhere
}

// headOf runs PlaceOf on an address that is cut at its first number.
func headOf(s string) head {
	if strings.HasPrefix(s, "〒") {
		return head{slow: true}
	}
	table := towns()
	s = table.withoutCounty(withoutPrefecture(Address(separated(s))))
	if strings.ContainsAny(s, "0123456789|") || withoutStreets(s) != s {
		return head{slow: true}
	}
	var stack [4 * longestTown]byte
	c := canonical{text: stack[:0]}
	h := head{}
	rest := 0
	for i := 0; i < len(s) && h.steps < longestTown; h.steps++ {
		if i = c.next(s, i); table.may(c.hash) && table.has(c.hash) {
			rest, h.town, h.steps = i, len(c.text), max(h.steps, longestTown-pastTown)
		}
	}
	h.whole, h.hash, h.goesOn = string(c.text), c.hash, table.goesOn(c.hash)
	h.bare = h.town > 0 && strings.TrimLeft(s[rest:], "-") == ""
	// An unknown town is all of the head, however long; and one that the loop left
	// half read isn't worth a case of its own.
	if h.town == 0 && h.steps >= longestTown || h.whole == "" {
		h.slow = true
	}
	return h
}

// appendForm goes on from the head with its numbers: a town may go on beyond
// them, and the block is what is left of them.
func (h *head) appendForm(dst []byte, numbers string) []byte {
	if !h.goesOn {
		return h.appendPlain(dst, numbers)
	}
	from := len(dst)
	dst = append(dst, h.whole...)
	c := canonical{text: dst[from:], hash: h.hash}
	table, town, rest := towns(), h.town, -1
	for i, n := 0, h.steps; h.goesOn && i < len(numbers) && n < longestTown; n++ {
		if i = c.next(numbers, i); table.may(c.hash) && table.has(c.hash) {
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

// appendPlain is appendForm where no town goes on beyond the head.
func (h *head) appendPlain(dst []byte, numbers string) []byte {
	town := h.whole
	if h.town > 0 {
		if town = town[:h.town]; !h.bare {
			return dst
		}
	}
	if numbers = block(numbers); numbers == "" {
		return dst
	}
	dst = append(dst, town...)
	return append(append(dst, '\x1f'), numbers...)
}
