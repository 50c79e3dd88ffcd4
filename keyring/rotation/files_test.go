package rotation_test

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"azekura/internal/insttest"
	"azekura/internal/pgtest"
	"azekura/keyring/rotation"
	"azekura/register/value"
)

// TestOldKeysLeaveTheFiles looks for the wrapped old keys, and for tokens of the
// old index key, in the database's own files: SQLite's with its write-ahead log,
// PostgreSQL's tables and indexes.
func TestOldKeysLeaveTheFiles(t *testing.T) {
	insttest.Each(t, func(t *testing.T, engine string) {
		url := ""
		if engine == "postgresql" {
			url = pgtest.New(t, pgtest.Options{}).URL("postgres")
		}
		r := furnish(t, insttest.Open(t, insttest.NewAt(t, url)))
		needles := map[string][]byte{}
		for _, kind := range []string{rotation.Data, rotation.Index} {
			var wrapped []byte
			if err := r.DB.QueryRow(t.Context(), "SELECT wrapped FROM keyring_key WHERE domain = $1", []any{kind}, &wrapped); err != nil {
				t.Fatal(err)
			}
			needles["the wrapped "+kind+" key"] = bytes.Clone(wrapped)
		}
		for n, p := range insttest.People(seed, first-1) {
			token := r.old.Token(value.KindNumber.String(), p.Number)
			if n%100 == 0 {
				needles["a token of number "+p.Ref] = token[:]
			}
		}
		content := r.files(t)
		for name, needle := range needles {
			if !bytes.Contains(content, needle) {
				t.Fatalf("the search doesn't find %s while it is there", name)
			}
		}
		for _, kind := range []string{rotation.Data, rotation.Index} {
			at, err := r.Rotator.Start(t.Context(), kind)
			if err == nil {
				err = r.Rotator.Run(t.Context(), at.ID)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		content = r.files(t)
		for name, needle := range needles {
			if bytes.Contains(content, needle) {
				t.Errorf("%s is still in the files", name)
			}
		}
	})
}

// files is all that the database's files hold, but for PostgreSQL's write-ahead
// log, which keeps rows until it is recycled (doc/threats.md).
func (r *room) files(t *testing.T) []byte {
	t.Helper()
	dir := r.Dir
	if r.Config.Database != "" {
		if _, err := r.DB.Exec(t.Context(), "CHECKPOINT"); err != nil {
			t.Fatal(err)
		}
		if err := r.DB.QueryRow(t.Context(), "SELECT current_setting('data_directory')", nil, &dir); err != nil {
			t.Fatal(err)
		}
		dir = filepath.Join(dir, "base")
	}
	var all []byte
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		content, err := os.ReadFile(path)
		all = append(all, content...)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}
