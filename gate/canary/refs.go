package canary

import (
	"math/rand/v2"
	"strconv"
	"strings"
)

// MaxDensity bounds how many canaries there are for each person: more would cost space
// and hide nothing better.
const MaxDensity = 0.2

// RefTries bounds the drawing of a ref, of which most are somebody's.
const RefTries = 2048

// Refs are those of a file by what they begin with and how many digits they
// end with: the lowest and the highest number of each.
type Refs map[serial]*[2]int64

type serial struct {
	prefix string
	width  int
}

func cutSerial(ref string) (serial, int64) {
	at := len(ref)
	for at > 0 && len(ref)-at < 18 && ref[at-1] >= '0' && ref[at-1] <= '9' {
		at--
	}
	n, err := strconv.ParseInt(ref[at:], 10, 64)
	if err != nil {
		return serial{prefix: ref}, 0
	}
	return serial{ref[:at], len(ref) - at}, n
}

// maxSerials bounds what a file whose refs aren't counted makes of this.
const maxSerials = 10_000

// Add takes a ref in.
func (r Refs) Add(ref string) {
	of, n := cutSerial(ref)
	if at := r[of]; at != nil {
		at[0], at[1] = min(at[0], n), max(at[1], n)
	} else if of.width > 0 && len(r) < maxSerials {
		r[of] = &[2]int64{n, n}
	}
}

// Near draws refs close to one: in the gaps of the file's, further off from try to
// try, and where there is no gap among those that come next. Refs that aren't
// counted are drawn anew in their second half.
func (r Refs) Near(rng *rand.Rand, ref string, beyond int64) func(try int) string {
	of, n := cutSerial(ref)
	ends := r[of]
	if ends == nil {
		return func(int) string { return Redraw(rng, ref, len(ref)/2) }
	}
	return func(try int) string {
		at := ends[1] + 1 + rng.Int64N(beyond+16)
		if try < RefTries*3/4 {
			reach := int64(8) << (try / 64)
			low, high := max(ends[0], n-reach), min(ends[1], n+reach)
			at = low + rng.Int64N(high-low+1)
		}
		digits := strconv.FormatInt(at, 10)
		if len(digits) > of.width {
			return ""
		}
		return of.prefix + strings.Repeat("0", of.width-len(digits)) + digits
	}
}

// Redraw draws a text's letters and digits anew from a place on, each of its kind.
func Redraw(rng *rand.Rand, text string, from int) string {
	b := []byte(text)
	for i := max(from, 0); i < len(b); i++ {
		switch c := b[i]; {
		case c >= '0' && c <= '9':
			b[i] = '0' + byte(rng.IntN(10))
		case c >= 'a' && c <= 'z':
			b[i] = 'a' + byte(rng.IntN(26))
		case c >= 'A' && c <= 'Z':
			b[i] = 'A' + byte(rng.IntN(26))
		}
	}
	return string(b)
}
