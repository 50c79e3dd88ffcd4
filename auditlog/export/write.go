package export

import (
	"bufio"
	"encoding/csv"
	"encoding/json"
	"io"
	"strconv"
	"strings"
	"time"

	"azekura/auditlog"
)

// lines writes a JSON object a line.
type lines struct {
	to   *bufio.Writer
	out  *json.Encoder
	form func(row) any
}

func newLines(to io.Writer, form func(row) any) *lines {
	b := bufio.NewWriterSize(to, 1<<16)
	out := json.NewEncoder(b)
	out.SetEscapeHTML(false)
	return &lines{to: b, out: out, form: form}
}

func (l *lines) row(r row) error { return l.out.Encode(l.form(r)) }
func (l *lines) flush() error    { return l.to.Flush() }

// columns are the CSV's.
var columns = []string{"index", "time", "action", "outcome", "purpose", "case", "staff", "role", "device", "session", "session_seq",
	"participant", "participant_seq", "fields", "request", "set", "set_count", "set_job", "set_opens", "set_place", "detail"}

type csvWriter struct {
	out    *csv.Writer
	header bool
}

func newCSV(to io.Writer) *csvWriter {
	return &csvWriter{out: csv.NewWriter(bufio.NewWriterSize(to, 1<<16))}
}

func (c *csvWriter) row(r row) error {
	if err := c.head(); err != nil {
		return err
	}
	cells := []string{number(r.Index), instant(r.Time), r.Action.String(), r.Outcome, r.Purpose, r.Case, r.Staff, r.Role, r.Device,
		"", "", "", "", spell(r), r.Request, "", "", "", "", "", string(r.Detail)}
	if r.Session != 0 {
		cells[9], cells[10] = r.Session.String(), number(r.SessionSeq)
	}
	if id := r.participant(); id != (auditlog.ID{}) {
		cells[11] = id.String()
	}
	if r.Participant != (auditlog.ID{}) { // a set numbers none of its members
		cells[12] = number(r.ParticipantSeq)
	}
	if s := r.Set; s != nil {
		cells[15], cells[16], cells[17], cells[18] = strconv.FormatUint(uint64(s.ID), 16), number(s.Count), s.Job, strconv.FormatBool(s.Opens)
	}
	if r.member != nil {
		cells[19] = number(r.place)
	}
	for i := range cells {
		cells[i] = harmless(cells[i])
	}
	return c.out.Write(cells)
}

func (c *csvWriter) head() error {
	if c.header {
		return nil
	}
	c.header = true
	return c.out.Write(columns)
}

func (c *csvWriter) flush() error {
	if err := c.head(); err != nil {
		return err
	}
	c.out.Flush()
	return c.out.Error()
}

// harmless keeps a spreadsheet from taking a cell for a formula (OWASP, CSV
// Injection): an apostrophe goes before it. Codes that staff write can't begin
// so, but a table of theirs may be opened by someone who can't know that.
func harmless(cell string) string {
	if cell != "" && strings.ContainsRune("=+-@\t\r\n＝＋－＠", []rune(cell)[0]) {
		return "'" + cell
	}
	return cell
}

// spell writes fields as name:version.
func spell(r row) string {
	var b strings.Builder
	for _, fv := range r.fields() {
		if b.Len() > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(fv.Field.String() + ":" + number(fv.Version))
	}
	return b.String()
}

func number(n int64) string { return strconv.FormatInt(n, 10) }

func instant(us int64) string {
	return time.UnixMicro(us).UTC().Format("2006-01-02T15:04:05.000000Z")
}
