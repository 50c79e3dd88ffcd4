package opening

import (
	"azekura/auditlog"
	"azekura/keyring"
	"azekura/keyring/internal/core"
)

// Note opens a note of a case, against the receipt of an event about the
// participant under whose key it lies.
func (o Opener) Note(receipt auditlog.Receipt, k keyring.DataKey, caseNo, no int64, sealed []byte) (string, error) {
	if err := receipt.Of(k.ID); err != nil {
		return "", err
	}
	if k.Wrapped == nil {
		return "", keyring.ErrShredded
	}
	key, err := o.core.DataKey(k.ID, k.No, k.Epoch, k.Wrapped)
	if err != nil {
		return "", err
	}
	text, err := core.OpenNote(key, k.ID, caseNo, no, k.No, sealed)
	return string(text), err
}
