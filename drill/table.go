package drill

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"time"

	"azekura/incident"
	"azekura/internal/screen"
	"azekura/register/field"
)

// Line says in words how far a stage is: what it has counted, and how fast.
func (p Progress) Line(l incident.Language) string {
	form := wordsOf(l).counts[p.Stage]
	if form == "" || p.Count == 0 {
		return ""
	}
	if strings.Count(form, "%s") == 1 {
		return fmt.Sprintf(form, screen.Grouped(p.Count))
	}
	rate := float64(p.Count) / max(p.Took.Seconds(), 0.001)
	return fmt.Sprintf(form, screen.Grouped(p.Count), screen.Grouped(int64(rate)))
}

// WriteTable writes the report for people. kept is the folder in which the drill
// was kept, "" if it wasn't.
func (r *Report) WriteTable(w io.Writer, l incident.Language, kept string) error {
	t := table{words: wordsOf(l), language: l}
	fmt.Fprintf(&t.text, "\n%s\n", r.title(l))
	t.scale(r)
	t.fields(r)
	t.verdict(r)
	t.ofDays(r)
	t.answers(r)
	t.next(r, kept)
	_, err := w.Write(t.text.Bytes())
	return err
}

type table struct {
	words    *words
	language incident.Language
	text     bytes.Buffer
}

// scale puts the drill's figures beside 2015's.
func (t *table) scale(r *Report) {
	w := t.words
	rows := [][3]string{{w.beside, w.here, w.then}, {w.register, screen.Grouped(r.Participants), w.not},
		{w.left, screen.Grouped(r.Stolen.Participants), screen.Grouped(r.Reference.Participants)}}
	for i, name := range []string{w.only, w.andBirth, w.andAddress} {
		c := r.Reference.Combinations[i]
		rows = append(rows, [3]string{name, screen.Grouped(exactly(r.Stolen, c.Fields)), screen.Grouped(c.Cases)})
	}
	t.columns(rows)
	fmt.Fprintln(&t.text, w.cases)
}

// of2015 are the fields that 2015's figures tell apart.
var of2015 = field.SetOf(field.Number, field.Name, field.Birth, field.Address)

// exactly counts people of whom, of 2015's fields, these were told and no others.
func exactly(f incident.Figures, fields []string) (n int64) {
	want, err := field.ParseSet(strings.Join(fields, ","))
	if err != nil {
		return 0
	}
	for _, c := range f.Combinations {
		var has field.Set
		for _, name := range c.Fields {
			if one, ok := pseudoField(name); ok {
				has |= field.SetOf(one)
			}
		}
		if has&of2015 == want {
			n += c.Participants
		}
	}
	return n
}

// fields puts what the attacker wrote beside what Azekura says.
func (t *table) fields(r *Report) {
	w := t.words
	rows := [][3]string{{w.tally, w.thief, w.azekura}, {w.left, screen.Grouped(r.Stolen.Participants), screen.Grouped(r.Exposed.Participants)}}
	for _, f := range append(field.All(), field.Existence, field.Mask) {
		stolen, exposed := r.Stolen.Fields[f.String()], r.Exposed.Fields[f.String()]
		if stolen > 0 || exposed > 0 {
			rows = append(rows, [3]string{"  " + t.language.FieldName(f.String()), screen.Grouped(stolen), screen.Grouped(exposed)})
		}
	}
	t.columns(rows)
	for i := range r.Attempts {
		t.way(&r.Attempts[i])
	}
}

func (t *table) verdict(r *Report) {
	w := t.words
	missed := w.missedNone
	if r.Missed > 0 {
		missed = fmt.Sprintf(w.missedSome, screen.Grouped(r.Missed))
	}
	t.text.WriteByte('\n')
	rows := [][2]string{{w.missed, missed}, {w.over, screen.Grouped(r.Over)}, {w.own, screen.Grouped(r.OwnWork.Participants)}}
	left := 0
	for _, row := range rows {
		left = max(left, screen.Cells(row[0]))
	}
	for _, row := range rows {
		fmt.Fprintf(&t.text, "%s%s  %s\n", row[0], strings.Repeat(" ", left-screen.Cells(row[0])), row[1])
	}
	if r.Over > 0 {
		fmt.Fprintf(&t.text, "  %s\n", w.overWhy)
	}
	if u := r.Unmatched; u != nil {
		fmt.Fprintf(&t.text, w.unmatched+"\n", screen.Grouped(u.Lines), screen.Grouped(u.Malformed), screen.Grouped(u.Unknown), screen.Grouped(u.Different))
	}
	if r.Log.Verified {
		fmt.Fprintf(&t.text, w.verified+"\n", screen.Grouped(r.Log.Events), r.Log.Head)
	} else {
		fmt.Fprintln(&t.text, w.unverified)
	}
}

// answers says how long "who was affected?" took.
func (t *table) answers(r *Report) {
	w := t.words
	note := w.note
	if r.Days != nil {
		note = w.noteDays
	}
	fmt.Fprintf(&t.text, "\n"+w.answer+"\n%s\n%s\n", seconds(r.answer.Seconds()), w.answerThen, note)
}

// next says what to look at.
func (t *table) next(r *Report, kept string) {
	w := t.words
	fmt.Fprintf(&t.text, "\n%s\n", w.next)
	dir := kept
	if r.device == "" {
		r.device = InfectedDevice
	}
	if dir == "" {
		dir = "drill-1"
		t.hint(w.keep, w.rerun)
	} else {
		fmt.Fprintf(&t.text, "  "+w.kept+"\n", kept)
	}
	t.hint(t.words.stages[Asking], "bin/azekura --dir "+dir+" exposure --device "+r.device+" --csv")
	t.hint(w.verify, "bin/azekura --dir "+dir+" log verify")
	t.hint(w.play, "bin/azekura drill june-2015 --attacker ./thief")
	fmt.Fprintf(&t.text, "  %s\n", w.read)
}

func (t *table) hint(what, command string) {
	fmt.Fprintf(&t.text, "  %s\n      %s\n", what, command)
}

// columns writes a paragraph: a heading and two columns of figures, flush right.
func (t *table) columns(rows [][3]string) {
	var wide [3]int
	for _, row := range rows {
		for c, text := range row {
			wide[c] = max(wide[c], screen.Cells(text))
		}
	}
	wide[0] = max(wide[0], 36)
	t.text.WriteByte('\n')
	for _, row := range rows {
		t.text.WriteString(row[0] + strings.Repeat(" ", wide[0]-screen.Cells(row[0])))
		for c := 1; c < 3; c++ {
			t.text.WriteString(strings.Repeat(" ", wide[c]-screen.Cells(row[c])+3) + row[c])
		}
		t.text.WriteByte('\n')
	}
}

func seconds(s float64) string { return strconv.FormatFloat(math.Round(s*10)/10, 'f', 1, 64) }

// Round is a stage's time as it is shown.
func (p Progress) Round() string { return p.Took.Round(100 * time.Millisecond).String() }
