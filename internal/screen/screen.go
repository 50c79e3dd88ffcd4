// Package screen lays text out for people: numbers that can be read, columns that
// stay straight with Japanese in them.
//
// It promises widths as a terminal shows them in a monospaced font; it knows
// nothing of what it lays out.
package screen

import (
	"strconv"

	"golang.org/x/text/width"
)

// Cells is a text's width on a terminal, where Japanese characters take two.
func Cells(text string) (n int) {
	for _, r := range text {
		switch width.LookupRune(r).Kind() {
		case width.EastAsianWide, width.EastAsianFullwidth:
			n += 2
		default:
			n++
		}
	}
	return n
}

// Grouped writes a number, zero or more, with a comma every three digits.
func Grouped(n int64) string {
	text := strconv.FormatInt(n, 10)
	for at := len(text) - 3; at > 0; at -= 3 {
		text = text[:at] + "," + text[at:]
	}
	return text
}
