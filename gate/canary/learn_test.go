package canary_test

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"
)

// sample is what is seen of one participant, and whether it is a canary.
type sample struct {
	x    []float64
	bird bool
}

// learned is what a classifier that was trained on half of the samples makes of the
// other half: the area under its curve (0.5 is chance), and the standard error that
// chance has there.
type learned struct{ logistic, stumps, se float64 }

// bound is how far above chance is still chance: four standard errors, which one in
// thirty thousand tests passes.
func (l learned) bound() float64 { return 0.5 + 4*l.se }

func learn(list []sample, r *rand.Rand) learned {
	list = slices.Clone(list)
	r.Shuffle(len(list), func(a, b int) { list[a], list[b] = list[b], list[a] })
	standardize(list)
	train, test := list[:len(list)/2], list[len(list)/2:]
	birds := 0.0
	for _, s := range test {
		birds += weight(s.bird)
	}
	others := float64(len(test)) - birds
	return learned{area(test, logistic(train)), area(test, boosted(train)), math.Sqrt((birds + others + 1) / (12 * birds * others))}
}

func weight(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}

// standardize moves each feature to mean 0 and deviation 1.
func standardize(list []sample) {
	for f := range list[0].x {
		var sum, squares float64
		for _, s := range list {
			sum += s.x[f]
			squares += s.x[f] * s.x[f]
		}
		n := float64(len(list))
		mean := sum / n
		deviation := math.Sqrt(max(squares/n-mean*mean, 1e-12))
		for _, s := range list {
			s.x[f] = (s.x[f] - mean) / deviation
		}
	}
}

// area is the chance that a canary scores above another: Mann and Whitney's.
func area(list []sample, score func([]float64) float64) float64 {
	type scored struct {
		at   float64
		bird bool
	}
	all := make([]scored, len(list))
	for i, s := range list {
		all[i] = scored{score(s.x), s.bird}
	}
	slices.SortFunc(all, func(a, b scored) int { return cmp.Compare(a.at, b.at) })
	var ranks, birds float64
	for i := 0; i < len(all); {
		end := i
		for end < len(all) && all[end].at == all[i].at {
			end++
		}
		for _, s := range all[i:end] {
			if s.bird {
				ranks += float64(i+end+1) / 2
				birds++
			}
		}
		i = end
	}
	return (ranks - birds*(birds+1)/2) / (birds * (float64(len(all)) - birds))
}

// logistic is a regression, the two classes weighed alike, by gradient descent.
func logistic(list []sample) func([]float64) float64 {
	w := make([]float64, len(list[0].x)+1)
	score := func(x []float64) float64 {
		sum := w[len(x)]
		for f, v := range x {
			sum += w[f] * v
		}
		return sum
	}
	up := upweight(list)
	for range 150 {
		g := make([]float64, len(w))
		for _, s := range list {
			miss := weight(s.bird) - 1/(1+math.Exp(-score(s.x)))
			if s.bird {
				miss *= up
			}
			for f, v := range s.x {
				g[f] += miss * v
			}
			g[len(s.x)] += miss
		}
		for f := range w {
			w[f] += 0.5*g[f]/float64(2*len(list)) - 0.001*w[f]
		}
	}
	return score
}

func upweight(list []sample) float64 {
	birds := 0.0
	for _, s := range list {
		birds += weight(s.bird)
	}
	return (float64(len(list)) - birds) / max(birds, 1)
}

// stump is one question about one feature.
type stump struct {
	f        int
	at, vote float64
}

const cuts = 15

// boosted is AdaBoost over stumps: it sees what isn't a line.
func boosted(list []sample) func([]float64) float64 {
	edges := edgesOf(list)
	bins := binned(list, edges)
	weights := make([]float64, len(list))
	up := upweight(list)
	for i, s := range list {
		weights[i] = 1
		if s.bird {
			weights[i] = up
		}
	}
	var stumps []stump
	for range 60 {
		s := bestStump(list, weights, edges, bins)
		stumps = append(stumps, s)
		for i, x := range list {
			if (x.x[s.f] > s.at) == x.bird {
				weights[i] *= math.Exp(-s.vote)
			} else {
				weights[i] *= math.Exp(s.vote)
			}
		}
	}
	return func(x []float64) (sum float64) {
		for _, s := range stumps {
			if x[s.f] > s.at {
				sum += s.vote
			} else {
				sum -= s.vote
			}
		}
		return sum
	}
}

// edgesOf are each feature's quantiles.
func edgesOf(list []sample) [][]float64 {
	edges := make([][]float64, len(list[0].x))
	for f := range edges {
		values := make([]float64, len(list))
		for i, s := range list {
			values[i] = s.x[f]
		}
		slices.Sort(values)
		for q := range cuts {
			edges[f] = append(edges[f], values[(q+1)*(len(values)-1)/(cuts+1)])
		}
		edges[f] = slices.Compact(append([]float64{values[0]}, edges[f]...))
	}
	return edges
}

// binned says between which edges each sample's features lie.
func binned(list []sample, edges [][]float64) [][]uint8 {
	bins := make([][]uint8, len(edges))
	for f, of := range edges {
		bins[f] = make([]uint8, len(list))
		for i, s := range list {
			at, _ := slices.BinarySearch(of, s.x[f])
			bins[f][i] = uint8(at)
		}
	}
	return bins
}

// bestStump splits the weights best; its vote is AdaBoost's.
func bestStump(list []sample, weights []float64, edges [][]float64, bins [][]uint8) (best stump) {
	var total float64
	for _, w := range weights {
		total += w
	}
	for f, of := range edges {
		sums := make([]float64, len(of)+1) // of canaries less others, by bin
		all := 0.0
		for i, s := range list {
			w := weights[i]
			if !s.bird {
				w = -w
			}
			sums[bins[f][i]] += w
			all += w
		}
		above := all
		for b, edge := range of {
			above -= sums[b]
			// Right: canaries above and others below.
			edgeOf := max(-0.999, min(0.999, (2*above-all)/total))
			if vote := math.Log((1+edgeOf)/(1-edgeOf)) / 2; math.Abs(vote) > math.Abs(best.vote) {
				best = stump{f, edge, vote}
			}
		}
	}
	return best
}
