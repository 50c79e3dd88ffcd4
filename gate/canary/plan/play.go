package plan

import (
	"math/rand/v2"
	"slices"
)

// order gives a reader's next record, without end: whoever has read all begins again,
// which nobody does before a touch where there is a canary at all.
type order func() int32

// play lets readers read until each has touched a canary, run after run.
func (r *register) play(o Options, rng *rand.Rand, begin func(*rand.Rand) order) Quantiles {
	if !slices.ContainsFunc(r.list, func(x record) bool { return x.bird }) {
		return Quantiles{int64(len(r.list)), int64(len(r.list))}
	}
	runs := make([]int64, o.Runs)
	for n := range runs {
		for range o.Readers {
			next := begin(rng)
			for range r.list {
				if r.list[next()].bird {
					break
				}
				runs[n]++
			}
		}
	}
	slices.Sort(runs)
	return Quantiles{runs[len(runs)/2], runs[min(len(runs)-1, len(runs)*999/1000)]}
}

// shuffled gives a list's records in random order, then whatever more gives.
func shuffled(rng *rand.Rand, list []int32, more func() []int32) order {
	list = slices.Clone(list)
	at := 0
	return func() int32 {
		for at == len(list) {
			list, at = slices.Clone(more()), 0
		}
		other := at + rng.IntN(len(list)-at)
		list[at], list[other] = list[other], list[at]
		at++
		return list[at-1]
	}
}

// random draws with replacement: a reader gets so far at most that it makes no
// difference in a register of any size, and none to the worse.
func (r *register) random(rng *rand.Rand) order {
	return func() int32 { return int32(rng.IntN(len(r.list))) }
}

// sequential goes from a ref on, and from the last on to the first.
func (r *register) sequential(rng *rand.Rand) order {
	at := rng.IntN(len(r.list))
	return func() int32 {
		at = (at + 1) % len(r.list)
		return int32(at)
	}
}

// byPlace reads all of a prefecture and year of birth, and then of another.
func (r *register) byPlace(rng *rand.Rand) order { return r.byStratum(rng, r.places) }

func (r *register) byName(rng *rand.Rand) order { return r.byStratum(rng, r.names) }

func (r *register) byStratum(rng *rand.Rand, list []stratum) order {
	next := func() []int32 { return list[rng.IntN(len(list))] }
	return shuffled(rng, next(), next)
}
