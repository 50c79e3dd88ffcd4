package budget

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"math/bits"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"azekura/auditlog"
)

// saved is the first four bytes of what Save writes; a change of the format or of
// the weights changes it, and the log is counted again.
const saved = "azb3"

type savedRules struct {
	Max     []Limit           `json:"max"`
	Offices map[string]string `json:"offices"`
	Extras  []Extra           `json:"extras"`
}

// Save writes the book: the rules, the numbers of the participants, and each
// line's touches, from which Load makes the rest. A touch takes some six bytes.
func (b *Book) Save(w io.Writer) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := bufio.NewWriterSize(w, 1<<16) // it keeps the error
	number := func(n int) { _, _ = out.Write(binary.LittleEndian.AppendUint32(out.AvailableBuffer(), uint32(n))) }
	text := func(t []byte) { number(len(t)); _, _ = out.Write(t) }
	_, _ = out.WriteString(saved)
	number(int(b.clock))
	r := savedRules{Offices: b.rules.offices}
	for k, max := range b.rules.max {
		r.Max = append(r.Max, Limit{k.kind, k.id, k.role, max})
	}
	for _, list := range b.rules.extras {
		r.Extras = append(r.Extras, list...)
	}
	raw, err := json.Marshal(r)
	if err != nil {
		return err
	}
	text(raw)
	number(len(b.people.list))
	for _, id := range b.people.list {
		_, _ = out.Write(id[:])
	}
	for _, at := range b.people.last {
		number(int(at))
	}
	number(len(b.lines))
	var rows []byte
	for _, s := range slices.SortedFunc(maps.Keys(b.lines), func(a, b Subject) int { return strings.Compare(a.String(), b.String()) }) {
		l := b.lines[s]
		l.advance(b.clock)
		text([]byte(s.Kind))
		text([]byte(s.ID))
		touches := l.touches[l.from[len(Windows)-1]:]
		number(len(touches))
		if rows = appendTouches(rows[:0], touches); len(rows) > math.MaxUint32 {
			return errors.New("a budget counts too much to be saved")
		}
		text(rows)
	}
	return out.Flush()
}

// appendTouches writes each touch as three numbers: seconds since the one before,
// whom or how many with what marks it, and points.
func appendTouches(rows []byte, touches []touch) []byte {
	var before uint32
	for _, t := range touches {
		rows = binary.AppendUvarint(rows, uint64(t.at-before))
		rows = binary.AppendUvarint(rows, uint64(bits.RotateLeft32(t.who, 2))) // the marks go low
		rows = binary.AppendUvarint(rows, uint64(t.points))
		before = t.at
	}
	return rows
}

var errSaved = errors.New("that isn't a book of budgets that this program saved")

// reader takes apart what Save wrote, of which so much is left.
type reader struct {
	from *bufio.Reader
	left uint64
	bad  bool
}

// take reads so many bytes, if there are as many.
func (r *reader) take(n uint64) []byte {
	if n > r.left || r.bad {
		r.bad = true
		return nil
	}
	r.left -= n
	taken := make([]byte, n)
	_, err := io.ReadFull(r.from, taken)
	r.bad = err != nil
	return taken
}

func (r *reader) number() uint32 {
	var four [4]byte
	if r.left < 4 || r.bad {
		r.bad = true
		return 0
	}
	r.left -= 4
	_, err := io.ReadFull(r.from, four[:])
	r.bad = err != nil
	return binary.LittleEndian.Uint32(four[:])
}

func (r *reader) text() []byte { return r.take(uint64(r.number())) }

// Load takes up what Save wrote. It reads as it decodes where from says how long it is,
// as a bytes.Reader does.
func (b *Book) Load(from io.Reader) error {
	if _, ok := from.(interface{ Len() int }); !ok {
		raw, err := io.ReadAll(from)
		if err != nil {
			return err
		}
		from = bytes.NewReader(raw)
	}
	r := reader{from: bufio.NewReaderSize(from, 1<<16), left: uint64(from.(interface{ Len() int }).Len())}
	if string(r.take(4)) != saved {
		return errSaved
	}
	n := New()
	n.clock = r.number()
	var rules savedRules
	if err := json.Unmarshal(r.text(), &rules); err != nil {
		return fmt.Errorf("%w: %w", errSaved, err)
	}
	for _, l := range rules.Max {
		n.rules.max[key{l.Kind, l.ID, l.Role}] = l.Max
	}
	if rules.Offices != nil {
		n.rules.offices = rules.Offices
	}
	for _, x := range rules.Extras {
		n.rules.extras[x.Subject] = append(n.rules.extras[x.Subject], x)
	}
	if !n.people.take(&r) || !n.takeLines(&r) {
		return errSaved
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.clock, b.people, b.lines, b.rules, b.swept = n.clock, n.people, n.lines, n.rules, n.clock
	return nil
}

// take reads the participants and when each was touched; their table is made beside
// the lines.
func (p *people) take(r *reader) bool {
	count := uint64(r.number())
	if count == 0 || count > again || 20*count > r.left {
		return false
	}
	p.list, p.last = make([]auditlog.ID, count), make([]uint32, count)
	const block = 4096
	for at := range (count + block - 1) / block {
		ids := p.list[at*block : min((at+1)*block, count)]
		raw := r.take(16 * uint64(len(ids)))
		for i := range ids {
			if r.bad {
				return false
			}
			ids[i] = auditlog.ID(raw[16*i:])
		}
	}
	last := r.take(4 * count)
	if r.bad {
		return false
	}
	for i := range p.last {
		p.last[i] = binary.LittleEndian.Uint32(last[4*i:])
		if p.list[i] != (auditlog.ID{}) {
			p.held++
		} else if i > 0 {
			p.free = append(p.free, uint32(i))
		}
	}
	return p.list[0] == auditlog.ID{}
}

// takeLines makes the lines from their touches, each by itself.
func (b *Book) takeLines(r *reader) bool {
	var wg sync.WaitGroup
	var wrong atomic.Bool
	wg.Go(b.people.makeSlots)
	busy := make(chan struct{}, runtime.GOMAXPROCS(0)) // so that no more rows wait than are decoded
	for count := r.number(); count > 0 && !r.bad; count-- {
		s := Subject{Kind(r.text()), string(r.text())}
		touches, rows := uint64(r.number()), r.text()
		if r.bad || 3*touches > uint64(len(rows)) {
			r.bad = true
			break
		}
		l := &line{touches: make([]touch, touches)}
		b.lines[s] = l
		busy <- struct{}{}
		wg.Go(func() {
			if !l.take(rows, b.clock, uint32(len(b.people.list))) {
				wrong.Store(true)
			}
			<-busy
		})
	}
	wg.Wait()
	return !wrong.Load() && !r.bad && r.left == 0
}

// eager is from how many touches on a line's index is made at the start, and not by
// whoever is first counted on it.
const eager = 1 << 16

// take sets a line to saved touches, all of which are inside the longest window.
func (l *line) take(rows []byte, now, people uint32) bool {
	l.clock = now
	var at uint64
	for i := range l.touches {
		var n [3]uint64
		for k := range n {
			size := 0
			if n[k], size = binary.Uvarint(rows); size <= 0 || n[k] > math.MaxUint32 {
				return false
			}
			rows = rows[size:]
		}
		at += n[0]
		t := touch{uint32(at), bits.RotateLeft32(uint32(n[1]), -2), uint32(n[2])}
		if at > uint64(now) || t.who&bulk == 0 && t.who&^again >= people {
			return false
		}
		l.touches[i] = t
	}
	if len(rows) > 0 {
		return false
	}
	for w := range l.from {
		l.from[w], _ = slices.BinarySearchFunc(l.touches, w, func(t touch, w int) int {
			if past(t.at, w, now) {
				return -1
			}
			return 1
		})
		for _, t := range l.touches[l.from[w]:] {
			l.used[w].add(t, 1)
		}
	}
	if len(l.touches) >= eager {
		l.makeIndex()
	}
	return true
}
