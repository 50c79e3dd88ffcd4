package keyring

import "azekura/keyring/internal/core"

// Note seals a note of a case: bound to the participant, the case and its number.
func (s Sealing) Note(caseNo, no int64, text string) []byte {
	return core.SealNote(s.key, s.id, caseNo, no, s.no, text)
}
