package scan

import (
	"errors"
	"io"
)

// XMLTokens writes a document's tokens one after the other.
func XMLTokens(r io.Reader) (all string, err error) {
	x := newXMLScanner(r)
	var out []byte
	for {
		t, err := x.next()
		if errors.Is(err, io.EOF) {
			return string(out), nil
		}
		if err != nil {
			return string(out), err
		}
		if t.tag != nil {
			name, _, _ := t.named()
			out = append(append(append(out, '<'), name...), t.attr("b")...)
			continue
		}
		out = appendText(out, t)
	}
}
