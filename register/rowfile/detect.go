package rowfile

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
)

// sample is how much of a file decides on its encoding. A file of ASCII up to
// here and CP932 after it needs the option.
const sample = 4 << 20

var bomUTF8 = []byte("\xEF\xBB\xBF")

// detect sets format and encoding, and returns the length of the byte order mark.
func (r *Reader) detect(o Options) (bom int64, err error) {
	if !slices.Contains([]string{"", Auto, CSV, JSON}, o.Format) {
		return 0, fmt.Errorf("no such format; the formats are %s, %s and %s", Auto, CSV, JSON)
	}
	if !slices.Contains([]string{"", Auto, UTF8, CP932}, o.Encoding) {
		return 0, fmt.Errorf("no such encoding; the encodings are %s, %s and %s", Auto, UTF8, CP932)
	}
	head, err := r.w.ahead()
	if err != nil {
		return 0, err
	}
	if len(head) == 0 {
		return 0, errors.New("the file is empty")
	}
	if bytes.HasPrefix(head, []byte("\xFF\xFE")) || bytes.HasPrefix(head, []byte("\xFE\xFF")) {
		return 0, errors.New("the file is in UTF-16; save it as UTF-8 (in a spreadsheet: CSV UTF-8)")
	}
	marked := bytes.HasPrefix(head, bomUTF8)
	r.format, r.encoding = o.Format, o.Encoding
	if r.format == "" || r.format == Auto {
		r.format = CSV
		if first := bytes.TrimLeft(bytes.TrimPrefix(head, bomUTF8), " \t\r\n"); len(first) > 0 && first[0] == '{' {
			r.format = JSON
		}
	}
	if marked && r.encoding != CP932 {
		r.encoding = UTF8
		return int64(len(bomUTF8)), nil
	}
	if marked {
		return 0, errors.New("the file begins with UTF-8's mark; leave --encoding out")
	}
	if r.encoding == "" || r.encoding == Auto {
		r.encoding, err = r.guess()
	}
	return 0, err
}

// guess is UTF-8 if the sample is nothing else, CP932 if the sample is that.
func (r *Reader) guess() (string, error) {
	for _, e := range []struct {
		name   string
		prefix func([]byte, bool) (int, bool)
	}{{UTF8, utf8Prefix}, {CP932, cp932Prefix}} {
		ok, err := r.all(e.prefix)
		if ok || err != nil {
			return e.name, err
		}
	}
	return "", errors.New("the file is neither UTF-8 nor CP932 throughout; pass --encoding to say which it is, and the rows that aren't will be reported")
}

// all says whether the whole sample satisfies prefix.
func (r *Reader) all(prefix func([]byte, bool) (int, bool)) (bool, error) {
	end := min(r.w.size, sample)
	for r.w.seek(0); r.w.offset() < end; {
		b, err := r.w.ahead()
		if err != nil {
			return false, err
		}
		whole := r.w.offset()+int64(len(b)) >= end && end == r.w.size
		b = b[:min(int64(len(b)), end-r.w.offset())]
		n, ok := prefix(b, whole)
		if !ok {
			return false, nil
		}
		if n < len(b) && r.w.offset()+int64(len(b)) == end {
			return true, nil // the sample's end cuts a character
		}
		r.w.pos += n
	}
	return true, nil
}
