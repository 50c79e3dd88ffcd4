package endtoend

import (
	"regexp"
	"testing"

	"azekura/internal/insttest"

	"golang.org/x/mod/sumdb/note"
)

var participantID = regexp.MustCompile(`[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}`)

// approvers makes two approvers' keys, and their public halves.
func approvers(t *testing.T) (keys []note.Signer, public []string) {
	t.Helper()
	for _, name := range []string{"hanako", "jiro"} {
		key, vkey := insttest.Approver(t, name)
		keys, public = append(keys, key), append(public, vkey)
	}
	return keys, public
}
