package leakscan

import (
	"crypto/sha256"
	"encoding/binary"
)

// Reseal gives an altered file the head's sums that the key's holder could make.
func Reseal(file []byte, keys *Keys) {
	if len(file) < headSize {
		return
	}
	sum := sha256.Sum256(file[headSize:])
	copy(file[sumAt:], sum[:])
	binary.LittleEndian.PutUint64(file[64:], uint64(len(file)))
	copy(file[macAt:], headMAC(keys, file[:headSize]))
}

// Contains asks a shard's filter by xorfilter's own code.
func (x *Index) Contains(kind Kind, token uint64) bool {
	f := &x.shards[kind][shardOf(token, x.head.bits[kind])].filter
	return len(f.Fingerprints) != 0 && f.Contains(token)
}
