package core

import (
	"crypto/cipher"
	"encoding/binary"
)

func notePlace(id [16]byte, caseNo, no, keyNo int64) []byte {
	place := append(make([]byte, 0, 64), "azekura note 1\x00"...)
	place = append(place, id[:]...)
	for _, n := range []int64{caseNo, no, keyNo} {
		place = binary.BigEndian.AppendUint64(place, uint64(n))
	}
	return place
}

// SealNote seals a case's note under the data key of the participant.
func SealNote(key cipher.AEAD, id [16]byte, caseNo, no, keyNo int64, text string) []byte {
	return seal(key, nil, []byte(text), notePlace(id, caseNo, no, keyNo))
}

// OpenNote opens one.
func OpenNote(key cipher.AEAD, id [16]byte, caseNo, no, keyNo int64, sealed []byte) ([]byte, error) {
	return open(key, nil, sealed, notePlace(id, caseNo, no, keyNo))
}
