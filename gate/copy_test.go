package gate_test

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"azekura/gate"
	"azekura/internal/insttest"
	"azekura/internal/pgtest"
	"azekura/keyring"
	"azekura/population"
	"azekura/register/field"
	"azekura/register/normal"
	"azekura/register/value"
)

// TestCopyWithoutKeys takes everything that a thief of the database or a backup
// gets, and looks in it for everything that a known register holds.
func TestCopyWithoutKeys(t *testing.T) {
	for _, engine := range []string{"sqlite", "postgresql"} {
		t.Run(engine, func(t *testing.T) {
			url := ""
			if engine == "postgresql" {
				url = pgtest.New(t, pgtest.Options{}).URL("postgres")
			}
			dir := insttest.NewAt(t, url)
			r := furnish(t, insttest.Open(t, dir), 300)
			plain := append(texts(r.people), r.use(t)...)
			h := newHaystack(plain)
			t.Logf("looking for %d forms of %d texts", len(h.seen), len(plain))
			r.lookThrough(t, h, dir)
			if err := r.Close(); err != nil {
				t.Fatal(err)
			}
			for path, content := range files(t, dir) {
				if form, at := h.find(content); form != "" {
					t.Errorf("closed: %s holds plaintext at byte %d, as %s", filepath.Base(path), at, form)
				}
			}
		})
	}
}

// texts are the people's data as a thief would look for it: as it is, and in
// the forms that indexes and files use.
func texts(people []population.Person) []string {
	all := map[string]bool{}
	for n := range people {
		p := &people[n]
		for _, s := range insttest.Texts(p) {
			for _, form := range []string{s, normal.Name(s), normal.Kana(s), normal.Email(s), normal.Phone(s), normal.Address(s)} {
				all[form] = true
			}
		}
		all[strings.ReplaceAll(p.Birth, "-", "")] = true
		all[p.Number[:4]+"-"+p.Number[4:]] = true
	}
	return slices.DeleteFunc(slices.Collect(maps.Keys(all)), func(s string) bool { return len(s) < shortest })
}

// use works with the register as staff do, and returns the texts that this
// brought.
func (r *room) use(t *testing.T) []string {
	t.Helper()
	all := field.SetOf(field.All()...)
	for n := range 20 {
		p := &r.people[n]
		if _, err := r.Gate.Read(background, r.s, gate.ReadRequest{Who: r.who(n), Why: why, Fields: all}); err != nil {
			t.Fatal(err)
		}
		if _, err := r.Gate.Search(background, r.s, gate.SearchRequest{Why: why, By: value.KindNameBirth, First: p.Name, Second: p.Birth}); err != nil {
			t.Fatal(err)
		}
		if _, err := r.Gate.Check(background, r.s, gate.CheckRequest{Who: r.who(n), Why: why, Field: field.Number, Claim: p.Number}); err != nil {
			t.Fatal(err)
		}
		if _, err := r.Gate.Read(background, r.s, gate.ReadRequest{Who: gate.Who{Ref: p.Ref + "x"}, Why: why, Fields: all}); err == nil {
			t.Fatal("a ref that nobody has was found")
		}
	}
	values := map[field.Field]string{field.Name: "鬼怒川　権左衛門", field.Phone: "03-9999-1234", field.Address: "100-0005 東京都千代田区丸の内九丁目9番"}
	if _, err := r.Gate.Change(background, r.s, gate.ChangeRequest{Who: r.who(3), Why: why, Values: values}); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Gate.Shred(background, r.s, r.who(4), why); err != nil {
		t.Fatal(err)
	}
	return []string{"鬼怒川　権左衛門", "鬼怒川権左衛門", "0399991234", "03-9999-1234", "東京都千代田区丸の内九丁目9番"}
}

// lookThrough looks through an installation at work: its folder, and on
// PostgreSQL the server's files (tables, write-ahead log, messages) and every
// row as a dump shows it.
func (r *room) lookThrough(t *testing.T, h *haystack, dir string) {
	t.Helper()
	all := files(t, dir)
	if r.Config.Database != "" {
		if _, err := r.DB.Exec(background, "CHECKPOINT"); err != nil {
			t.Fatal(err)
		}
		var data string
		if err := r.DB.QueryRow(background, "SELECT current_setting('data_directory')", nil, &data); err != nil {
			t.Fatal(err)
		}
		maps.Copy(all, files(t, filepath.Dir(data)))
		maps.Copy(all, r.rows(t))
	}
	var size int
	for path, content := range all {
		size += len(content)
		if form, at := h.find(content); form != "" {
			t.Errorf("%s holds plaintext at byte %d, as %s", filepath.Base(path), at, form)
		}
	}
	t.Logf("looked through %d files and columns, %d KiB", len(all), size>>10)
	if size < 256<<10 {
		t.Error("that is too little to be all")
	}
}

// rows are all columns of all tables on PostgreSQL, by table and column.
func (r *room) rows(t *testing.T) map[string][]byte {
	t.Helper()
	found := map[string][]byte{}
	for _, column := range r.list(t, `SELECT format('%I.%I', table_name, column_name) || ' ' || data_type FROM information_schema.columns
		WHERE table_schema = 'public' ORDER BY 1`) {
		name, kind, _ := strings.Cut(column, " ")
		table, _, _ := strings.Cut(name, ".")
		cast := "convert_to(" + name + "::text, 'UTF8')"
		if kind == "bytea" {
			cast = name
		}
		found[name] = []byte(strings.Join(r.list(t, "SELECT coalesce("+cast+", '') FROM "+table), "\n"))
	}
	return found
}

func (r *room) list(t *testing.T, sql string) (list []string) {
	t.Helper()
	rows, err := r.DB.Query(background, sql)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var one []byte
		if err := rows.Scan(&one); err != nil {
			t.Fatal(err)
		}
		list = append(list, string(one))
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return list
}

// TestNumbersAgainstIndex tries the register's numbers against its index as one
// does who lacks the key. All ten-digit numbers could be tried; those that are
// there are the ones that would hit.
func TestNumbersAgainstIndex(t *testing.T) {
	withPeople(t, 300, func(t *testing.T, r *room) {
		index := map[string]bool{}
		for _, token := range r.list(t, "SELECT token FROM register_index_1") {
			index[token] = true
		}
		for name, guess := range guesses(r.Ring) {
			hits := 0
			for n := range r.people {
				if index[string(guess([]byte(r.people[n].Number))[:keyring.TokenSize])] {
					hits++
				}
			}
			want := 0
			if name == "the right key" {
				want = len(r.people)
			}
			if hits != want {
				t.Errorf("%s: %d of %d numbers are found in the index, not %d", name, hits, len(r.people), want)
			}
		}
	})
}

// guesses are ways to make a token; only the first has the key.
func guesses(ring *keyring.Ring) map[string]func([]byte) []byte {
	keyed := func(key []byte) func([]byte) []byte {
		return func(b []byte) []byte {
			h := hmac.New(sha256.New, key)
			h.Write(b)
			return h.Sum(nil)
		}
	}
	list := map[string]func([]byte) []byte{
		"the right key":       func(b []byte) []byte { token := ring.Token(value.KindNumber.String(), string(b)); return token[:] },
		"another index's key": func(b []byte) []byte { token := ring.Token(value.KindRef.String(), string(b)); return token[:] },
		"no key":              func(b []byte) []byte { sum := sha256.Sum256(b); return sum[:] },
		"an empty key":        keyed(nil),
		"another key":         keyed([]byte("0123456789abcdef0123456789abcdef")),
	}
	for _, secret := range [][]byte{{}, make([]byte, 32)} {
		key, err := hkdf.Key(sha256.New, secret, nil, "azekura index 1 number", 32)
		if err != nil {
			panic(err)
		}
		list[fmt.Sprintf("the index's key of a master key of %d zeros", len(secret))] = keyed(key)
	}
	return list
}
