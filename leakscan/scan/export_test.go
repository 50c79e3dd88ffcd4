package scan

import (
	"errors"
	"io"
)

// XMLTokens writes a document's tokens one after the other; leaves, those of elements
// that leaf takes in one step by that.
func XMLTokens(r io.Reader, leaves bool) (all string, err error) {
	x := newXMLScanner(r)
	var out []byte
	for {
		if tag, text, ok := x.leafIf(leaves); ok {
			out = append(append(out, "<a"...), token{tag: tag}.attr("b")...)
			out = append(appendText(append(out, "<v"...), token{text: text}), "<v<a"...)
			continue
		}
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

func (x *xmlScanner) leafIf(leaves bool) (tag, text []byte, ok bool) {
	if !leaves {
		return nil, nil, false
	}
	return x.leaf("<a ", "<v>", "</v></a>")
}
