package scan

import (
	"azekura/leakscan"
	"azekura/register/normal"
)

// record is one row, tuple, object or line: nothing is ever decided across two.
type record struct {
	row        int64 // counted from 1 in its table or text
	from, to   int32 // its cells
	first      int32 // of its hits, -1 if none
	structured bool  // its cells stand in columns
	done       bool  // judged
}

// matcher looks one block's records up. It belongs to one goroutine; its buffers
// are kept from block to block, so that a row costs no allocation.
type matcher struct {
	index   *leakscan.Index
	keys    *leakscan.Keys
	records []record
	cells   []cell
	scratch []byte
	text    []byte // of the block, decoded
	form    []byte
	places  normal.Places
	place   []byte
	tokens  [leakscan.Kinds][]uint64
	owners  [leakscan.Kinds][]owner
	through []int32
	ends    []int32
	stops   []int32 // of the line that Columns cut
	people  []uint32
	perches []uint64 // of people
	names   []byte   // of cells, under tier 2
	hits    []hit
	judge   judge
	found   []Finding
	shown   func(r *record, person uint32) // hears of findings where a text is to be shown
	// alone counts a column's ten-digit cells, and those that are somebody's.
	alone    map[int32]*columnCount
	lastCol  int32        // whose count was asked for last
	lastOnly *columnCount // that count
}

// owner is where a token came from.
type owner struct{ record, cell, other int32 }

// hit is a token that is in the index.
type hit struct {
	next   int32 // of the same record, -1 for the last
	kind   leakscan.Kind
	cell   int32
	other  int32
	from   int32 // in people
	to     int32
	beyond bool // more than mostShared people share it
}

// columnCount is what says whether a column of ten-digit numbers is one of
// pension numbers.
type columnCount struct{ Numbers, Hits int64 }

func newMatcher(index *leakscan.Index) *matcher {
	m := &matcher{index: index, keys: index.Keys(), alone: map[int32]*columnCount{}}
	m.judge.m = m
	return m
}

// begin starts a record; cells follow.
func (m *matcher) begin(row int64, structured bool) {
	m.records = append(m.records, record{row: row, from: int32(len(m.cells)), to: int32(len(m.cells)), first: -1, structured: structured})
}

// cell adds one to the record that was begun. The bytes must stay until run.
func (m *matcher) cell(text []byte, col int32) {
	if text = trim(text); len(text) < 2 {
		return
	}
	m.cells = append(m.cells, cell{text: text, col: col})
	m.records[len(m.records)-1].to++
}

// run looks up what was added since the last run and appends the findings.
func (m *matcher) run() {
	m.classify()
	m.numbers()
	m.lookUp()
	for i := range m.records {
		r := &m.records[i]
		if r.first >= 0 {
			r.done = m.judge.confirmed(r)
		}
		if !r.done && r.to-r.from >= 2 {
			m.named(int32(i), r)
		}
	}
	m.lookUp()
	for i := range m.records {
		if r := &m.records[i]; r.first < 0 && r.to-r.from >= 2 {
			m.addressed(int32(i), r)
		}
	}
	m.lookUp()
	for i := range m.records {
		if r := &m.records[i]; r.first >= 0 && !r.done {
			m.judge.record(r)
		}
	}
	m.records, m.cells, m.scratch = m.records[:0], m.cells[:0], m.scratch[:0]
	m.hits, m.people, m.perches, m.names = m.hits[:0], m.people[:0], m.perches[:0], m.names[:0]
}

func (m *matcher) classify() {
	for i := range m.cells {
		m.cells[i].classify(&m.scratch)
	}
}

func (m *matcher) token(kind leakscan.Kind, form []byte, o owner) {
	m.tokens[kind] = append(m.tokens[kind], m.keys.Token(kind, form))
	m.owners[kind] = append(m.owners[kind], o)
}

// numbers makes the tokens that stand alone: numbers, telephones, e-mail
// addresses, accounts.
func (m *matcher) numbers() {
	for i := range m.records {
		r := &m.records[i]
		for n := r.from; n < r.to; n++ {
			c := &m.cells[n]
			if c.class&(isNumber|isPhone|isEmail|isCode) == 0 {
				continue
			}
			o := owner{int32(i), n, -1}
			if c.class&isNumber != 0 {
				m.token(leakscan.Number, c.digits, o)
				if r.structured {
					m.column(c.col).Numbers++
				} else {
					m.column(noColumn).Numbers++
				}
			}
			if c.class&isPhone != 0 {
				m.token(leakscan.Phone, c.digits, o)
			}
			if c.class&isEmail != 0 {
				m.form = normal.AppendName(m.form[:0], str(c.text))
				m.token(leakscan.Email, m.form, o)
			}
			if c.class&isCode != 0 {
				if m.form = m.account(r, n); len(m.form) > 0 {
					m.token(leakscan.Account, m.form, o)
				}
			}
		}
	}
}

// noColumn counts the numbers of texts, which stand in no column.
const noColumn = -1

func (m *matcher) column(col int32) *columnCount {
	if m.lastOnly != nil && m.lastCol == col {
		return m.lastOnly
	}
	c := m.alone[col]
	if c == nil {
		c = &columnCount{}
		m.alone[col] = c
	}
	m.lastCol, m.lastOnly = col, c
	return c
}

// forgetColumns begins their counts anew.
func (m *matcher) forgetColumns() {
	clear(m.alone)
	m.lastOnly = nil
}

// account puts bank, branch and number together, in one cell or in four digits,
// three and up to seven, with or without the kind between.
func (m *matcher) account(r *record, n int32) []byte {
	form := m.form[:0]
	c := &m.cells[n]
	if len(c.digits) == 14 {
		return append(form, c.digits...)
	}
	if len(c.digits) != 4 || n+2 >= r.to || len(m.cells[n+1].digits) != 3 {
		return form
	}
	for at := n + 2; at < min(n+5, r.to); at++ {
		if d := m.cells[at].digits; len(d) >= 5 && len(d) <= 7 {
			form = append(append(form, c.digits...), m.cells[n+1].digits...)
			form = append(form, "0000000"[len(d):]...)
			return append(form, d...)
		}
	}
	return form
}

// mostNames and mostDays bound the pairs that one record may make.
const (
	mostNames = 6
	mostDays  = 4
)

// named makes the tokens of names and births.
func (m *matcher) named(i int32, r *record) {
	var days [mostDays + 2]normal.Day
	found := days[:0]
	var dayCell int32
	for n := r.from; n < r.to && len(found) < mostDays; n++ {
		if c := &m.cells[n]; c.class&isDate != 0 {
			was := len(found)
			if found = normal.AppendDays(found, str(c.text)); len(found) > was {
				dayCell = n
			}
		}
	}
	if len(found) == 0 {
		return
	}
	made := 0
	for n := r.from; n < r.to && made < mostNames; n++ {
		c := &m.cells[n]
		if c.class&isName == 0 || c.class&isAddress != 0 && len(c.text) > 90 {
			continue
		}
		made++
		m.nameToken(i, n, -1, c, nil, found, dayCell)
		if n+1 < r.to {
			if next := &m.cells[n+1]; joins(c, next) {
				m.nameToken(i, n, n+1, c, next, found, dayCell)
			}
		}
	}
}

// loose is a cell's text as a name under tier 2, folded once.
func (m *matcher) loose(c *cell) []byte {
	if c.looseTo == 0 {
		c.looseFrom = int32(len(m.names))
		m.names = normal.AppendNameLoose(m.names, str(c.text))
		c.looseTo = int32(len(m.names))
	}
	return m.names[c.looseFrom:c.looseTo]
}

// joins says whether two neighbours may be a surname and a given name: both in kana or
// neither, or a given name in hiragana after kanji. A name's reading beside it mostly is
// in katakana.
func joins(a, b *cell) bool {
	return a.class&isName != 0 && b.class&isName != 0 && (a.class&isKana == b.class&isKana || a.class&isKana == 0 && hiragana(b.text)) &&
		len(a.text) <= 24 && len(b.text) <= 24 && a.text[0] >= 0x80
}

// hiragana says whether a text begins with it: U+3041 to U+3096.
func hiragana(b []byte) bool {
	return len(b) > 2 && b[0] == 0xE3 && (b[1] == 0x81 || b[1] == 0x82 && b[2] < 0xA0)
}

func (m *matcher) nameToken(i, n, next int32, c, then *cell, days []normal.Day, dayCell int32) {
	o := owner{i, n, next}
	if c.class&isKana != 0 {
		m.form = normal.AppendKana(m.form[:0], str(c.text))
		if then != nil {
			m.form = normal.AppendKana(m.form, str(then.text))
		}
		if then == nil && c.looseTo == 0 && c.katakana {
			c.looseFrom = int32(len(m.names)) // as a name it is the same
			m.names = append(m.names, m.form...)
			c.looseTo = int32(len(m.names))
		}
		m.dayTokens(leakscan.KanaBirth, len(m.form), days, o)
	}
	m.form = append(m.form[:0], m.loose(c)...)
	if then != nil {
		m.form = append(m.form, m.loose(then)...)
	}
	m.dayTokens(leakscan.NameBirth, len(m.form), days, o)
}

func (m *matcher) dayTokens(kind leakscan.Kind, name int, days []normal.Day, o owner) {
	for _, d := range days {
		m.form = leakscan.AppendNameBirth(m.form[:0], m.form[:name], d)
		m.token(kind, m.form, o)
	}
}

// addressed makes the tokens of names and addresses, where nothing else found
// anybody.
func (m *matcher) addressed(i int32, r *record) {
	var at int32 = -1
	for n := r.from; n < r.to; n++ {
		if c := &m.cells[n]; c.class&isAddress != 0 && len(c.text) >= 9 {
			if m.place = m.places.AppendForm(m.place[:0], str(c.text)); len(m.place) > 0 {
				at = n
				break
			}
		}
	}
	if at < 0 {
		return
	}
	made := 0
	for n := r.from; n < r.to && made < mostNames; n++ {
		c := &m.cells[n]
		if n == at || c.class&isName == 0 || c.class&isKana != 0 {
			continue
		}
		made++
		m.form = append(m.form[:0], m.loose(c)...)
		m.form = leakscan.AppendNameAddress(m.form[:0], m.form[:len(m.form)], m.place)
		m.token(leakscan.NameAddress, m.form, owner{i, n, -1})
		if n+1 < r.to && n+1 != at {
			if next := &m.cells[n+1]; joins(c, next) {
				m.form = append(append(m.form[:0], m.loose(c)...), m.loose(next)...)
				m.form = leakscan.AppendNameAddress(m.form[:0], m.form[:len(m.form)], m.place)
				m.token(leakscan.NameAddress, m.form, owner{i, n, n + 1})
			}
		}
	}
}

// mostShared bounds the people that one anchor lists.
const mostShared = 1000

// lookUp asks the index for all tokens, in batches, and hangs the hits on their
// records.
func (m *matcher) lookUp() {
	for kind := range m.tokens {
		tokens, owners := m.tokens[kind], m.owners[kind]
		for len(tokens) > 0 {
			n := min(len(tokens), leakscan.Batch)
			m.through = m.index.Filter(leakscan.Kind(kind), tokens[:n], m.through[:0])
			m.hit(leakscan.Kind(kind), tokens[:n], owners[:n])
			tokens, owners = tokens[n:], owners[n:]
		}
		m.tokens[kind], m.owners[kind] = m.tokens[kind][:0], m.owners[kind][:0]
	}
	m.perches = m.index.Perches(m.people[len(m.perches):], m.perches)
}

// hit looks up what the filter let through.
func (m *matcher) hit(kind leakscan.Kind, tokens []uint64, owners []owner) {
	from := int32(len(m.people))
	m.people, m.ends = m.index.FindAll(kind, tokens, m.through, mostShared+1, m.people, m.ends[:0])
	for i, to := range m.ends {
		if to == from {
			continue
		}
		o := owners[m.through[i]]
		h := hit{kind: kind, cell: o.cell, other: o.other, from: from, to: min(to, from+mostShared), beyond: to-from > mostShared}
		r := &m.records[o.record]
		h.next = r.first
		r.first = int32(len(m.hits))
		m.hits = append(m.hits, h)
		from = to
	}
}
