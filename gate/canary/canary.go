// Package canary makes canaries, and knows them: people whom no honest work
// touches, so that whoever opens one is looking through the register.
//
// A canary is told by its id alone, to whom holds the gate's digest key: the last
// 62 bits of its UUIDv7 are a keyed mark of the first 64, which are a time and a
// counter like anybody's. To everyone else they are as random as the bits of a
// real participant's id, of which one in 2^62 would be taken for a canary. So
// there is no list that could be stolen, lost, edited or left out of a backup, and
// the digest key isn't changed when data and index keys are.
//
// A canary is planted by an import among its rows, so that it has its neighbours'
// job, chunk, times, sizes and tokens (register.ImportOptions.Density).
//
// Whoever has the keys tells canaries apart: that is the gate's host. Whoever reads
// the log sees which canaries were touched, and who was opened in honest work is none.
package canary

import (
	"azekura/keyring"

	"github.com/google/uuid"
)

// Marks tells canaries from other participants.
type Marks struct{ ring *keyring.Ring }

// New makes it of the gate's keys.
func New(ring *keyring.Ring) Marks { return Marks{ring} }

// Of turns a new participant's id into a canary's of the same moment.
func (m Marks) Of(id uuid.UUID) uuid.UUID {
	mark := m.ring.MAC("canary", id[:8])
	copy(id[8:], mark[:8])
	id[8] = id[8]&0x3f | 0x80 // RFC 9562 4.1: the variant
	return id
}

// Is tells whether an id is a canary's.
func (m Marks) Is(id uuid.UUID) bool { return id != uuid.UUID{} && m.Of(id) == id }
