package insttest

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"azekura/approval"

	"golang.org/x/mod/sumdb/note"
)

// Approver makes an approver's key: what signs, and its public half.
func Approver(t testing.TB, name string) (note.Signer, string) {
	t.Helper()
	file, vkey, err := approval.NewKey(name, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	key, err := approval.OpenKey(file, nil)
	if err != nil {
		t.Fatal(err)
	}
	return key, vkey
}

// Set writes one of azekura.json's settings, past everything that watches over them.
func Set(t testing.TB, dir, name string, value any) {
	t.Helper()
	path := filepath.Join(dir, "azekura.json")
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var all map[string]any
	if err := json.Unmarshal(raw, &all); err != nil {
		t.Fatal(err)
	}
	all[name] = value
	if raw, err = json.Marshal(all); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, raw, 0o600); err != nil {
		t.Fatal(err)
	}
}
