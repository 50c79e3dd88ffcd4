package gate_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"azekura/internal/insttest"
	"azekura/internal/pgtest"
	"azekura/register/value"
)

// TestShreddedKeyLeavesTheFiles looks for the wrapped data keys of shredded people
// in PostgreSQL's own files. They must be in no table's; the write-ahead log has
// them until it is recycled, as doc/threats.md says.
func TestShreddedKeyLeavesTheFiles(t *testing.T) {
	const n = 300
	r := furnish(t, insttest.Open(t, insttest.NewAt(t, pgtest.New(t, pgtest.Options{}).URL("postgres"))), n)
	// The first of a page, those amid others, and the last that was written, in
	// whose place nothing comes by itself.
	shredded := []int{0, 1, 150, n - 1}
	keys := make([][]byte, len(shredded))
	for i, who := range shredded {
		keys[i] = r.wrappedKey(t, who)
		if places := r.tablesWith(t, keys[i]); len(places) == 0 {
			t.Fatalf("the search doesn't find the wrapped key of person %d while it is there", who)
		}
	}
	for _, who := range shredded {
		if _, err := r.Gate.Shred(background, r.s, r.who(who), why); err != nil {
			t.Fatal(err)
		}
	}
	for i, key := range keys {
		if places := r.tablesWith(t, key); len(places) > 0 {
			t.Errorf("the wrapped key of person %d, who was shredded, is still in %v", shredded[i], places)
		}
	}
	// Those who were not shredded are where they were.
	if places := r.tablesWith(t, r.wrappedKey(t, 2)); len(places) == 0 {
		t.Error("a key that nobody shredded is gone")
	}
}

// wrappedKey is a person's wrapped data key.
func (r *room) wrappedKey(t *testing.T, n int) (key []byte) {
	t.Helper()
	form, err := value.QueryForm(value.KindRef, r.people[n].Ref, "", r.Log.Now())
	if err != nil {
		t.Fatal(err)
	}
	id, err := r.Register.Find(background, form, 1)
	if err != nil || len(id) != 1 {
		t.Fatalf("find person %d: %v", n, err)
	}
	if err := r.DB.QueryRow(background, "SELECT wrapped FROM keyring_participant WHERE participant_id = $1", []any{id[0][:]}, &key); err != nil {
		t.Fatal(err)
	}
	return bytes.Clone(key)
}

// tablesWith are the files of tables and indexes that hold some bytes once all
// that is in memory has been written out.
func (r *room) tablesWith(t *testing.T, what []byte) (places []string) {
	t.Helper()
	var data string
	if _, err := r.DB.Exec(background, "CHECKPOINT"); err != nil {
		t.Fatal(err)
	}
	if err := r.DB.QueryRow(background, "SELECT current_setting('data_directory')", nil, &data); err != nil {
		t.Fatal(err)
	}
	for _, pattern := range []string{"base/*/*", "global/*", "pg_xact/*", "pg_stat/*"} {
		found, err := filepath.Glob(filepath.Join(data, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range found {
			content, err := os.ReadFile(path)
			if err != nil && !os.IsNotExist(err) {
				t.Fatal(err)
			}
			if bytes.Contains(content, what) {
				places = append(places, strings.TrimPrefix(path, data))
			}
		}
	}
	return places
}
