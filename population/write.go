package population

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"
)

// MaxPeople is how many people a seed has: as many as there are numbers.
const MaxPeople = half * half

const (
	bufferSize    = 1 << 18
	progressEvery = 1 << 13 // people between two looks at the context
)

// WriteCSV streams a seed's first n people to w as UTF-8 CSV (RFC 4180, LF,
// quoted only where needed), with a header and the import's columns; former
// names and addresses are left out. It calls progress, if there is one, now and
// then and at the end, and stops when ctx does.
func WriteCSV(ctx context.Context, w io.Writer, seed uint64, n int64, progress func(done int64)) error {
	header := []byte(strings.Join(columnNames[:], ",") + "\n")
	return writeAll(ctx, w, seed, n, progress, header, (*draft).appendCSV, 0)
}

// WriteCSVWithGaps is WriteCSV without those whose refs are gaps.
func WriteCSVWithGaps(ctx context.Context, w io.Writer, seed uint64, n int64, share float64, progress func(done int64)) error {
	header := []byte(strings.Join(columnNames[:], ",") + "\n")
	return writeAll(ctx, w, seed, n, progress, header, (*draft).appendCSV, share)
}

// Gap tells whether the ref of a seed's person i, counted from 0, is left out of a
// file with gaps: an agency's refs have them, where somebody was entered twice or in
// error. share of them are, drawn by the seed.
func Gap(seed uint64, i int64, share float64) bool {
	r := newRNG(seed, uint64(i), streamGap)
	return r.chance(int(share * 100_000))
}

// WriteNDJSON streams a seed's first n people to w, one JSON object a line with
// the import's columns as keys. Missing values are left out; "former" lists
// former names and addresses, oldest first. Otherwise it is like WriteCSV.
func WriteNDJSON(ctx context.Context, w io.Writer, seed uint64, n int64, progress func(done int64)) error {
	return writeAll(ctx, w, seed, n, progress, nil, (*draft).appendJSON, 0)
}

func writeAll(ctx context.Context, w io.Writer, seed uint64, n int64, progress func(int64), header []byte, row func(*draft, []byte) []byte, gaps float64) error {
	if n < 0 || n > MaxPeople {
		return fmt.Errorf("can't make up %d people: ask for 0 to %d", n, int64(MaxPeople))
	}
	g := New(seed)
	out := bufio.NewWriterSize(w, bufferSize)
	if _, err := out.Write(header); err != nil {
		return fmt.Errorf("write the header: %w", err)
	}
	var line []byte
	for i := int64(0); i < n; i++ {
		if i%progressEvery == 0 {
			if err := ctx.Err(); err != nil {
				return fmt.Errorf("stopped after %d of %d people: %w", i, n, err)
			}
			report(progress, i)
		}
		if gaps > 0 && Gap(seed, i, gaps) {
			continue
		}
		g.write(&g.draft, uint64(i))
		line = row(&g.draft, line[:0])
		if _, err := out.Write(line); err != nil {
			return fmt.Errorf("write person %d of %d: %w", i+1, n, err)
		}
	}
	if err := out.Flush(); err != nil {
		return fmt.Errorf("write the last of %d people: %w", n, err)
	}
	report(progress, n)
	return nil
}

func report(progress func(int64), done int64) {
	if progress != nil {
		progress(done)
	}
}

func (d *draft) appendCSV(line []byte) []byte {
	for c, at := range d.at {
		if c > 0 {
			line = append(line, ',')
		}
		value := d.bytes(at)
		if !needsQuotes(value) {
			line = append(line, value...)
			continue
		}
		line = append(line, '"')
		line = append(line, bytes.ReplaceAll(value, []byte(`"`), []byte(`""`))...)
		line = append(line, '"')
	}
	return append(line, '\n')
}

// needsQuotes is RFC 4180's rule, byte by byte, since almost no value does.
func needsQuotes(value []byte) bool {
	for _, c := range value {
		if c == ',' || c == '"' || c == '\n' || c == '\r' {
			return true
		}
	}
	return false
}

func (d *draft) appendJSON(line []byte) []byte {
	line = append(line, '{')
	for c, at := range d.at {
		if at.from == at.to {
			continue
		}
		line = appendKey(line, columnNames[c])
		if column(c) == colAwardAnnualYen {
			line = append(line, d.bytes(at)...)
		} else {
			line = appendJSONString(line, d.bytes(at))
		}
	}
	if len(d.former) > 0 {
		line = appendKey(line, "former")
		line = append(line, '[')
		for i, p := range d.former {
			if i > 0 {
				line = append(line, ',')
			}
			line = d.appendFormer(line, &p)
		}
		line = append(line, ']')
	}
	return append(line, '}', '\n')
}

func (d *draft) appendFormer(line []byte, p *past) []byte {
	line = append(line, '{')
	for i, at := range p {
		if at.from < at.to {
			line = appendKey(line, columnNames[formerColumns[i]])
			line = appendJSONString(line, d.bytes(at))
		}
	}
	return append(line, '}')
}

func appendKey(line []byte, key string) []byte {
	if line[len(line)-1] != '{' {
		line = append(line, ',')
	}
	line = append(line, '"')
	line = append(line, key...)
	return append(line, '"', ':')
}

// appendJSONString escapes what RFC 8259 section 7 requires of our text, which
// is valid UTF-8 without control characters.
func appendJSONString(line, value []byte) []byte {
	line = append(line, '"')
	for _, c := range value {
		if c == '"' || c == '\\' {
			line = append(line, '\\')
		}
		line = append(line, c)
	}
	return append(line, '"')
}
