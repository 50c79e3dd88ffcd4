package budget

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"runtime"
	"slices"
	"strings"
	"sync"

	"azekura/auditlog"
)

// saved is the first four bytes of what Save writes; a change of the format or of
// the weights changes it, and the log is counted again.
const saved = "azb2"

type savedRules struct {
	Max     []Limit           `json:"max"`
	Offices map[string]string `json:"offices"`
	Extras  []Extra           `json:"extras"`
}

// Save writes the book: the rules, the numbers of the participants, and each
// line's touches, from which Load makes the rest.
func (b *Book) Save(w io.Writer) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := bufio.NewWriterSize(w, 1<<16)
	number := func(n uint32) { _ = binary.Write(out, binary.LittleEndian, n) } // out keeps the error
	text := func(t []byte) { number(uint32(len(t))); _, _ = out.Write(t) }
	_, _ = out.WriteString(saved)
	number(b.clock)
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
	number(uint32(len(b.people.list)))
	for _, id := range b.people.list {
		_, _ = out.Write(id[:])
	}
	number(uint32(len(b.lines)))
	var row [12]byte
	for _, s := range slices.SortedFunc(maps.Keys(b.lines), func(a, b Subject) int { return strings.Compare(a.String(), b.String()) }) {
		l := b.lines[s]
		l.advance(b.clock, &b.people)
		text([]byte(s.Kind))
		text([]byte(s.ID))
		touches := l.touches[l.from[2]:]
		number(uint32(len(touches)))
		for _, t := range touches {
			binary.LittleEndian.PutUint32(row[0:], t.at)
			binary.LittleEndian.PutUint32(row[4:], t.who)
			binary.LittleEndian.PutUint32(row[8:], t.points)
			if _, err := out.Write(row[:]); err != nil {
				return err
			}
		}
	}
	return out.Flush()
}

var errSaved = errors.New("that isn't a book of budgets that this program saved")

// reader takes apart what Save wrote.
type reader struct {
	rest []byte
	bad  bool
}

func (r *reader) take(n int) []byte {
	if r.bad || n < 0 || n > len(r.rest) {
		r.bad = true
		return make([]byte, min(max(n, 0), 16))
	}
	taken := r.rest[:n]
	r.rest = r.rest[n:]
	return taken
}

func (r *reader) number() uint32 { return binary.LittleEndian.Uint32(r.take(4)) }

func (r *reader) text() []byte { return r.take(int(r.number())) }

// Load takes up what Save wrote.
func (b *Book) Load(from io.Reader) error {
	raw, err := io.ReadAll(from)
	if err != nil {
		return err
	}
	n := New()
	r := reader{rest: raw}
	if string(r.take(4)) != saved {
		return errSaved
	}
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
	ids := r.take(16 * int(r.number()))
	if r.bad || len(ids) < 16 {
		return errSaved
	}
	n.people.take(ids)
	if err := n.takeLines(&r); err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.clock, b.people, b.lines, b.rules = n.clock, n.people, n.lines, n.rules
	return nil
}

func (p *people) take(ids []byte) {
	count := len(ids) / 16
	p.ids = make(map[auditlog.ID]uint32, count)
	p.list, p.refs = make([]auditlog.ID, count), make([]uint32, count)
	for i := range p.list {
		p.list[i] = auditlog.ID(ids[16*i:])
		if p.list[i] != (auditlog.ID{}) {
			p.ids[p.list[i]] = uint32(i)
		} else if i > 0 {
			p.free = append(p.free, uint32(i))
		}
	}
}

// takeLines makes the lines from their touches, each by itself.
func (b *Book) takeLines(r *reader) error {
	type job struct {
		l    *line
		rows []byte
	}
	var jobs []job
	for count := r.number(); count > 0 && !r.bad; count-- {
		s := Subject{Kind(r.text()), string(r.text())}
		rows := r.take(12 * int(r.number()))
		l := newLine()
		b.lines[s] = l
		jobs = append(jobs, job{l, rows})
	}
	if r.bad || len(r.rest) > 0 {
		return errSaved
	}
	var wg sync.WaitGroup
	todo := make(chan job)
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for j := range todo {
				j.l.take(j.rows, b.clock)
			}
		})
	}
	for _, j := range jobs {
		todo <- j
	}
	close(todo)
	wg.Wait()
	for _, j := range jobs {
		for who := range j.l.last {
			if int(who) >= len(b.people.refs) {
				return errSaved
			}
			b.people.refs[who]++
		}
	}
	return nil
}

// take sets a line to saved touches, all of which are inside the longest window.
func (l *line) take(rows []byte, now uint32) {
	l.clock = now
	l.touches = make([]touch, len(rows)/12)
	l.last = make(map[uint32]uint32, len(l.touches))
	for i := range l.touches {
		row := rows[12*i:]
		t := touch{binary.LittleEndian.Uint32(row), binary.LittleEndian.Uint32(row[4:]), binary.LittleEndian.Uint32(row[8:])}
		l.touches[i] = t
		if t.who != 0 && t.who&bulk == 0 {
			l.last[t.who] = t.at
		}
	}
	for w := range l.from {
		for l.from[w] < len(l.touches) && past(l.touches[l.from[w]].at, w, now) {
			l.from[w]++
		}
		for _, t := range l.touches[l.from[w]:] {
			l.used[w].Points += int64(t.points)
			switch {
			case t.who&bulk != 0:
				l.used[w].Persons += int64(t.who &^ bulk)
			case t.who != 0 && l.last[t.who] == t.at:
				l.used[w].Persons++
			}
		}
	}
}
