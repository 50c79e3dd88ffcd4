package cli

import (
	"strings"
	"testing"

	"azekura/access"
)

// TestKeysOf: a list says of each key that it can be copied, or by whose word it can't;
// never that it can't.
func TestKeysOf(t *testing.T) {
	for kind, words := range map[string]string{
		access.KindFile: ", in a file, copyable,",
		"":              ", in a file, copyable,",
		access.KindTPM:  ", in a TPM by its agent's word,",
	} {
		said := keysOf([]access.DeviceKey{{Print: strings.Repeat("0", 64), Kind: kind}})
		if !strings.Contains(said, words) || strings.Contains(said, "not copyable") {
			t.Errorf("%q: %s", kind, said)
		}
	}
	if said := keysOf(nil); !strings.Contains(said, "no key") {
		t.Error(said)
	}
}
