package insttest

import (
	"testing"

	"azekura/access/policy"
	"azekura/internal/installation"
)

// Permissive is a real text that permits whatever the role and the case let be.
const Permissive = `@id("all")
@en("Whatever the case permits is permitted.")
@ja("案件が認めるものはすべて認めます。")
permit (principal is Staff, action, resource);
//! allow all: kind=none time=03:00
`

// SetPolicy puts a text in force, as two people's approval would.
func SetPolicy(t testing.TB, i *installation.Installation, text string) *policy.Text {
	t.Helper()
	event, err := policy.Event([]byte(text), "")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := i.Log.RecordOne(t.Context(), event); err != nil {
		t.Fatal(err)
	}
	return i.Policies.Now()
}
