package population

import "math/bits"

// golden is SplitMix64's increment (Steele, Lea, Flood 2014). The generator is
// written out here, rather than taken from a library, because the same seed
// must give the same bytes in every later release.
const golden = 0x9E3779B97F4A7C15

func mix(z uint64) uint64 {
	z = (z ^ z>>30) * 0xBF58476D1CE4E5B9
	z = (z ^ z>>27) * 0x94D049BB133111EB
	return z ^ z>>31
}

// rng is a stream of draws. Each part of each person has a stream of its own,
// found from the seed and the person's index, so that a person depends on no
// one drawn before and a change to one part leaves the others as they were.
type rng uint64

type stream uint64

const (
	streamWho stream = iota + 1
	streamWriting
	streamHome
	streamContact
	streamAccount
	streamAward
	streamPast
	streamNumber
	streamGap
)

func newRNG(seed, index uint64, s stream) rng {
	return rng(mix(mix(seed^uint64(s)*0xD1342543DE82EF95) + index*golden))
}

func (r *rng) next() uint64 {
	*r += golden
	return mix(uint64(*r))
}

// below draws from 0 to n-1.
func (r *rng) below(n int) int {
	hi, _ := bits.Mul64(r.next(), uint64(n))
	return int(hi)
}

// chance is true in rate of 100,000 draws.
func (r *rng) chance(rate int) bool { return r.below(100_000) < rate }

func pick[T any](r *rng, list []T) T { return list[r.below(len(list))] }

// alias draws an index by weight in constant time (Walker 1977, Vose 1991). It
// is built in integers, because floating point may round differently on
// another processor.
type alias struct{ cut, other []uint32 }

func newAlias(weights []uint64) alias {
	n := len(weights)
	a := alias{make([]uint32, n), make([]uint32, n)}
	var total uint64
	for _, w := range weights {
		total += w
	}
	scaled := make([]uint64, n)
	var small, large []int
	for i, w := range weights {
		scaled[i] = w * uint64(n)
		a.cut[i], a.other[i] = ^uint32(0), uint32(i)
		if scaled[i] < total {
			small = append(small, i)
		} else {
			large = append(large, i)
		}
	}
	for len(small) > 0 && len(large) > 0 {
		s, l := small[len(small)-1], large[len(large)-1]
		small = small[:len(small)-1]
		quotient, _ := bits.Div64(scaled[s]>>32, scaled[s]<<32, total)
		a.cut[s], a.other[s] = uint32(quotient), uint32(l)
		scaled[l] -= total - scaled[s]
		if scaled[l] < total {
			large = large[:len(large)-1]
			small = append(small, l)
		}
	}
	return a
}

func (a *alias) draw(r *rng) int {
	x := r.next()
	i := int((x >> 32) * uint64(len(a.cut)) >> 32)
	if uint32(x) < a.cut[i] {
		return i
	}
	return int(a.other[i])
}

// numbering is a permutation of the ten-digit numbers: a Feistel network of
// six rounds over two halves of five digits. It spreads the numbers and keeps
// them unique without remembering any; it isn't meant to keep a secret.
type numbering [6]uint64

const half = 100_000

func newNumbering(seed uint64) numbering {
	var n numbering
	for i := range n {
		r := newRNG(seed, uint64(i), streamNumber)
		n[i] = r.next()
	}
	return n
}

func (n *numbering) of(index uint64) uint64 {
	l, r := index/half, index%half
	for _, key := range n {
		l, r = r, (l+mix(key^r)%half)%half
	}
	return l*half + r
}
