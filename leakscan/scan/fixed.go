package scan

import (
	"bytes"
	"slices"
	"unicode/utf8"

	"azekura/register/normal"
)

// Columns are those of a text whose lines are cut at fixed widths, perhaps without a
// blank between: what host computers write.
type Columns struct {
	Unit  uint8      `json:"unit"`
	Width int32      `json:"width"` // of a line
	Stops []int32    `json:"stops"` // where a cell begins or ends, in order
	Cells [][2]int32 `json:"cells"` // which stops; cells may overlap
}

// units are how wide a kana of half width is, and any other character beyond ASCII: on
// the screen and in CP932, in characters, in UTF-8, in EUC-JP.
var units = [...][2]int32{{1, 2}, {1, 1}, {3, 3}, {2, 2}}

// valid says whether columns that somebody hands in are such.
func (c *Columns) valid() bool {
	if int(c.Unit) >= len(units) || !slices.IsSorted(c.Stops) {
		return false
	}
	return !slices.ContainsFunc(c.Cells, func(cell [2]int32) bool {
		return cell[0] < 0 || cell[1] < cell[0] || int(cell[1]) >= len(c.Stops)
	})
}

func (c *Columns) width(r rune) int32 {
	switch {
	case r < utf8.RuneSelf:
		return 1
	case r >= 0xFF61 && r <= 0xFF9F:
		return units[c.Unit][0]
	}
	return units[c.Unit][1]
}

// mark is a character of a sample's line.
type mark struct {
	kind byte
	char byte // of ASCII, and 0
	r    rune
}

// What stands at a place of a line.
const (
	blankAt  = ' '
	digitAt  = 'd'
	wideAt   = 'w'
	halfAt   = 'h' // kana of half width
	wordAt   = 'l' // Latin letters side by side
	eraAt    = 'n' // may end an era's name: the digits after it are its own
	dateAt   = 'm' // 年 of 25年, and 月 after it: the digits before and after it are its own
	dayAt    = 'e' // 日 after that, which ends a date
	otherAt  = 'a'
	goesOnAt = 0x80 // a character's second half, and so on
)

// kindAt says what a character is, by what stands around it: 昭和25年4月12日 is one
// date, but 和, 月 and 日 begin names too.
func kindAt(r rune, before []mark, after rune) byte {
	last := func(kind byte, places int) bool {
		return slices.ContainsFunc(before[max(0, len(before)-places):], func(p mark) bool { return p.kind == kind })
	}
	switch {
	case r == ' ' || r == '\t':
		return blankAt
	case r < utf8.RuneSelf:
		switch {
		case r >= '0' && r <= '9':
			return digitAt
		case letter(r) && (letter(after) || last(wordAt, 1)):
			return wordAt
		}
		return otherAt
	case r >= 0xFF61 && r <= 0xFF9F:
		return halfAt
	}
	switch r {
	case '\u3000':
		return blankAt
	case '０', '１', '２', '３', '４', '５', '６', '７', '８', '９':
		return digitAt
	case '年':
		if last(digitAt, 1) {
			return dateAt
		}
	case '月':
		if last(digitAt, 1) && last(dateAt, 3) {
			return dateAt
		}
	case '日':
		if last(digitAt, 1) && last(dateAt, 3) {
			return dayAt
		}
	case '和', '成', '正', '治':
		return eraAt
	}
	return wideAt
}

func letter(r rune) bool { return r|0x20 >= 'a' && r|0x20 <= 'z' }

// belong says whether what stands at a place and at the next is of one column: all but
// blanks, digits beside texts, kana of half width beside others, and what follows a
// date.
func belong(a, b byte) bool {
	if b&goesOnAt != 0 {
		return true
	}
	text := func(k byte) bool { return k == wideAt || k == halfAt || k == eraAt || k == wordAt }
	switch a &^= goesOnAt; {
	case a == blankAt || b == blankAt, a == dayAt, a == digitAt && text(b):
		return false
	case b == digitAt && (a == wideAt || a == halfAt), text(a) && text(b) && (a == halfAt) != (b == halfAt):
		return false
	}
	return true
}

// Bounds of what is taken for columns.
const (
	fixedLines = 100 // of the sample are looked at
	firstLines = 16  // tell most of what isn't columns
	fewLines   = 5
	mostWidth  = 4096
	mostStops  = 512
	exceptions = 30 // one line in so many isn't as the others, and one in eight of few
)

// grid is a sample's lines by place.
type grid struct {
	kinds [][]byte
	texts [][]byte // what is ASCII of them, and 0
}

// columnsOf finds a sample's columns; nil if it has none that hold for all its lines but
// for one in exceptions.
func columnsOf(sample []byte) (best *Columns) {
	var lines [][]mark
	beyond := [2]bool{} // ASCII: kana of half width, others
	for line := range bytes.Lines(sample) {
		if line = bytes.TrimRight(line, "\r\n"); len(line) == 0 || len(line) > mostWidth {
			continue
		}
		marks := make([]mark, 0, len(line))
		for len(line) > 0 {
			r, n := utf8.DecodeRune(line)
			after, _ := utf8.DecodeRune(line[n:])
			p := mark{kindAt(r, marks, after), 0, r}
			switch {
			case r < utf8.RuneSelf:
				p.char = byte(r)
			case p.kind == halfAt:
				beyond[0] = true
			default:
				beyond[1] = true
			}
			marks = append(marks, p)
			line = line[n:]
		}
		lines = append(lines, marks)
		if len(lines) == firstLines && !mayBeColumns(lines) {
			return nil
		}
		if len(lines) == fixedLines {
			break
		}
	}
	// Few lines that are as wide as each other only by chance, or not at all, show nothing.
	if len(lines) < fewLines || len(lines) < firstLines && !mayBeEqual(lines) {
		return nil
	}
	mostEqual := 0
	for unit := range units {
		if unit > 0 && !beyond[0] && !beyond[1] || unit == len(units)-1 && !beyond[0] {
			break // the same as one before
		}
		c := &Columns{Unit: uint8(unit)}
		g, equal := c.grid(lines)
		starts := g.starts(int(c.Width))
		if len(starts) == 0 || len(starts) < 2 && equal*20 < len(lines)*19 {
			continue
		}
		if best != nil && equal <= mostEqual {
			continue
		}
		mostEqual = equal
		c.cells(g, append(append([]edge{{}}, starts...), edge{at: c.Width}))
		if best = c; len(c.Stops) > mostStops {
			return nil
		}
	}
	return best
}

// mayBeEqual says whether all lines are of one width, by some unit.
func mayBeEqual(lines [][]mark) bool {
	for unit := range units {
		c, first, equal := Columns{Unit: uint8(unit)}, int32(0), true
		for i, line := range lines {
			width := int32(0)
			for _, p := range line {
				width += c.width(p.r)
			}
			if i == 0 {
				first = width
			}
			equal = equal && width == first
		}
		if equal {
			return true
		}
	}
	return false
}

// mayBeColumns is for a text's first lines, so that most texts aren't looked at further.
func mayBeColumns(lines [][]mark) bool {
	for unit := range units {
		c := &Columns{Unit: uint8(unit)}
		if g, _ := c.grid(lines); len(g.starts(int(c.Width))) > 0 {
			return true
		}
	}
	return false
}

// grid lays lines out, and says how many have the same width as most.
func (c *Columns) grid(lines [][]mark) (g grid, equal int) {
	widths := map[int]int{}
	for _, line := range lines {
		kinds, text := make([]byte, 0, 2*len(line)), make([]byte, 0, 2*len(line))
		for _, p := range line {
			kind := p.kind
			for range c.width(p.r) {
				kinds, text = append(kinds, kind), append(text, p.char)
				kind |= goesOnAt
			}
		}
		widths[len(kinds)]++
		equal = max(equal, widths[len(kinds)])
		c.Width = max(c.Width, int32(len(kinds)))
		g.kinds, g.texts = append(g.kinds, kinds), append(g.texts, text)
	}
	for i := range g.kinds { // blanks at a line's end may have been cut off
		missing := int(c.Width) - len(g.kinds[i])
		g.kinds[i] = append(g.kinds[i], bytes.Repeat([]byte{blankAt}, missing)...)
		g.texts[i] = append(g.texts[i], bytes.Repeat([]byte{' '}, missing)...)
	}
	return g, equal
}

// others is how many lines needn't be as the rest.
func (g *grid) others() int { return max(len(g.kinds)/exceptions, min(len(g.kinds)/8, 2)) }

// edge is where a column begins.
type edge struct {
	at int32
	// loose is set where it is blanks that part the columns, and some line has none, or
	// a blank after it too: it may be the one within most people's names.
	loose bool
}

// starts are the places at which columns begin, but for the first.
func (g *grid) starts(width int) (list []edge) {
	for p := 1; p < width; p++ {
		within, begins, blanks := 0, 0, 0
		for _, k := range g.kinds {
			if belong(k[p-1], k[p]) {
				if within++; within > g.others() {
					break
				}
			} else if k[p] != blankAt {
				begins++
				if k[p-1]&^goesOnAt == blankAt {
					blanks++
				}
			}
		}
		if within <= g.others() && begins*20 >= len(g.kinds) {
			list = append(list, edge{int32(p), begins < len(g.kinds) && 2*blanks > begins})
		}
	}
	return list
}

// all says whether test holds for all lines but those.
func (g *grid) all(test func(text []byte) bool) bool {
	not := 0
	for _, text := range g.texts {
		if !test(text) {
			if not++; not > g.others() {
				return false
			}
		}
	}
	return true
}

// cells makes a cell of what lies between two edges, of a run of digits those that it
// may be made of, and of what a loose edge parts also the whole.
func (c *Columns) cells(g grid, edges []edge) {
	var list [][2]int32
	for i := range edges[1:] {
		list = g.column(list, edges[i].at, edges[i+1].at)
	}
	for i, e := range edges {
		if e.loose {
			list = append(list, [2]int32{edges[i-1].at, edges[i+1].at})
		}
	}
	for _, cell := range list {
		c.Stops = append(c.Stops, cell[0], cell[1])
	}
	list = compact(list)
	slices.Sort(c.Stops)
	c.Stops = slices.Compact(c.Stops)
	at := map[int32]int32{}
	for i, stop := range c.Stops {
		at[stop] = int32(i)
	}
	for _, cell := range list {
		c.Cells = append(c.Cells, [2]int32{at[cell[0]], at[cell[1]]})
	}
}

// compact leaves each cell out that was there before.
func compact(list [][2]int32) (once [][2]int32) {
	for _, cell := range list {
		if !slices.Contains(once, cell) {
			once = append(once, cell)
		}
	}
	return once
}

// column makes cells of what lies between two bounds: of a run of digits those that it
// may be made of, and beside them what it stands in.
func (g *grid) column(list [][2]int32, from, to int32) [][2]int32 {
	const run = 8 // a shorter one is part of what it stands in
	list = append(list, [2]int32{from, to})
	last := from
	for at := from; at < to; {
		end := at
		for end < to && g.all(func(text []byte) bool { return text[end]-'0' <= 9 }) {
			end++
		}
		if end-at >= run {
			if last < at {
				list = append(list, [2]int32{last, at})
			}
			list = g.digits(list, at, end)
			last = end
		}
		at = end + 1
	}
	if last > from && last < to {
		list = append(list, [2]int32{last, to})
	}
	return list
}

// digits cuts a run of digits that several columns may share: a day of eight digits
// shows by its months and days in all lines; a number of ten digits shows by nothing,
// so all places where one may stand are cells. What those of the others find by chance
// the column's rate of hits tells apart.
func (g *grid) digits(list [][2]int32, from, to int32) [][2]int32 {
	const day, number = 8, 10
	for at := from; at+day <= to; at++ {
		if g.all(func(text []byte) bool { return isDay(text[at : at+day]) }) {
			list = g.digits(list, from, at)
			list = append(list, [2]int32{at, at + day})
			return g.digits(list, at+day, to)
		}
	}
	if to == from {
		return list
	}
	list = append(list, [2]int32{from, to})
	for at := from; at+number <= to && to-from > number; at++ {
		list = append(list, [2]int32{at, at + number})
		if at+number < to && g.all(func(text []byte) bool { return text[at] == '0' && text[at+1] != '0' }) {
			list = append(list, [2]int32{at, at + number + 1}) // a mobile telephone's
		}
	}
	return list
}

// isDay is for eight digits.
func isDay(b []byte) bool {
	n := 0
	for _, c := range b {
		if c-'0' > 9 {
			return false
		}
		n = n*10 + int(c-'0')
	}
	return normal.DayOf(n/10000, n/100%100, n%100) != 0
}

// rows cuts lines into m. A line that is wider than they are, or in which a character
// stands across an edge, is also cut as any text is.
func (c *Columns) rows(m *matcher, b []byte, row int64) (n int64) {
	if cap(m.stops) < len(c.Stops) {
		m.stops = make([]int32, len(c.Stops))
	}
	at := m.stops[:len(c.Stops)]
	for len(b) > 0 {
		line, rest, _ := bytes.Cut(b, []byte{'\n'})
		b = rest
		line = bytes.TrimRight(line, "\r")
		m.begin(row+n, true)
		n++
		fits := c.place(line, at)
		for i, cell := range c.Cells {
			text := line[at[cell[0]]:at[cell[1]]]
			m.cell(text, int32(i)+1)
			if fits && broken(text) {
				linePieces(m, text)
			}
		}
		if !fits {
			linePieces(m, line)
		}
		if len(m.cells) >= cellsAtOnce {
			m.run()
		}
	}
	return n
}

// place says where the columns' stops are in a line, and whether all are at ends of
// characters and it is no wider.
func (c *Columns) place(line []byte, at []int32) (fits bool) {
	width, k := int32(0), 0
	fits = true
	for i := 0; i < len(line) && k < len(at); {
		r, n := rune(line[i]), 1
		if r >= utf8.RuneSelf {
			r, n = utf8.DecodeRune(line[i:])
		}
		next := width + c.width(r)
		for ; k < len(at) && c.Stops[k] < next; k++ {
			at[k] = int32(i)
			fits = fits && c.Stops[k] == width
		}
		width = next
		i += n
		if k == len(at)-1 && c.Stops[k] == width {
			at[k] = int32(i)
			return fits && i == len(line)
		}
	}
	for ; k < len(at); k++ {
		at[k] = int32(len(line))
	}
	return fits
}

// broken says whether a cell holds marks that part values: tel:0312345678.
func broken(text []byte) bool {
	for _, c := range text {
		if c < utf8.RuneSelf && c != ' ' && breaks[c] {
			return true
		}
	}
	return false
}
