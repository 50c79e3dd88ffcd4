package leakscan

import "math/bits"

// Batch is how many tokens are best looked up at once: their loads run beside
// each other.
const Batch = 512

// Filter appends to hits the positions of the tokens that the filter lets
// through: all that are in the index, and one in 256 of the others.
//
// It asks as xorfilter's Contains does, in two steps: where to look for a group of
// tokens, which is arithmetic alone, and then the loads, none of which waits for
// another or for a guess at a branch.
func (x *Index) Filter(kind Kind, tokens []uint64, hits []int32) []int32 {
	const group = 32
	shards, shardBits := x.shards[kind], x.head.bits[kind]
	var at [group][3]uint32
	var in [group][]uint8
	var left [group]uint8
	for from := 0; from < len(tokens); from += group {
		some := tokens[from:min(from+group, len(tokens))]
		for i, token := range some {
			f := &shards[shardOf(token, shardBits)].filter
			hash := murmur64(token + f.Seed)
			hi, _ := bits.Mul64(hash, uint64(f.SegmentCountLength))
			h0 := uint32(hi)
			h1 := h0 + f.SegmentLength
			h2 := h1 + f.SegmentLength
			at[i] = [3]uint32{h0, h1 ^ uint32(hash>>18)&f.SegmentLengthMask, h2 ^ uint32(hash)&f.SegmentLengthMask}
			in[i], left[i] = f.Fingerprints, uint8(hash^hash>>32)
		}
		for i := range some {
			prints, a := in[i], &at[i]
			if len(prints) == 0 {
				left[i] = 1 // an empty shard has nobody
				continue
			}
			left[i] ^= prints[a[0]] ^ prints[a[1]] ^ prints[a[2]]
		}
		for i := range some {
			if left[i] == 0 {
				hits = append(hits, int32(from+i))
			}
		}
	}
	return hits
}

// murmur64 is xorfilter's mix of a key.
func murmur64(h uint64) uint64 {
	h ^= h >> 33
	h *= 0xff51afd7ed558ccd
	h ^= h >> 33
	h *= 0xc4ceb9fe1a85ec53
	return h ^ h>>33
}
