package insttest

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"azekura/internal/installation"
	"azekura/population"
	"azekura/register"
)

// People are a seed's first n made-up people.
func People(seed uint64, n int) []population.Person {
	g := population.New(seed)
	list := make([]population.Person, n)
	for i := range list {
		g.Next(&list[i])
		list[i].Former = slices.Clone(list[i].Former)
	}
	return list
}

// CSV is those people as a file.
func CSV(t testing.TB, seed uint64, n int64) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := population.WriteCSV(context.Background(), &b, seed, n, nil); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// NDJSON is those people as a file that has former names and addresses too.
func NDJSON(t testing.TB, seed uint64, n int64) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := population.WriteNDJSON(context.Background(), &b, seed, n, nil); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// File puts content into a file.
func File(t testing.TB, content []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "people")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TryImport imports a file from where it stands, without the job engine.
func TryImport(ctx context.Context, i *installation.Installation, path string, o register.ImportOptions) (register.Import, error) {
	file, size, err := register.OpenFile(path)
	if err != nil {
		return register.Import{}, err
	}
	defer file.Close()
	at, err := i.Register.FileImport(ctx, file, size)
	if err != nil {
		return at, err
	}
	return i.Register.Run(ctx, at, file, o)
}

// Import imports content, which must be readable as a file.
func Import(t testing.TB, i *installation.Installation, content []byte) register.Import {
	t.Helper()
	at, err := TryImport(t.Context(), i, File(t, content), register.ImportOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return at
}

// Texts are a person's data, those that are long enough to be told from chance.
func Texts(p *population.Person) []string {
	list := []string{p.Ref, p.Number, p.Name, p.Kana, p.Romaji, p.Birth, p.Address, p.Phone, p.Email, p.AccountNumber, p.AccountHolder}
	for _, f := range p.Former {
		list = append(list, f.Name, f.Kana, f.Romaji, f.Address)
	}
	return slices.DeleteFunc(list, func(s string) bool { return len(s) < 6 })
}

// drawn are the ids of requests: among tens of thousands one holds somebody's
// seven digits by chance.
var drawn = regexp.MustCompile(`\b[0-9a-f]{16}\b`)

// Withheld fails the test if a text (an error, a line of a log) holds any
// person's data.
func Withheld(t testing.TB, text string, people []population.Person) {
	t.Helper()
	text = drawn.ReplaceAllString(text, "-")
	for n := range people {
		for _, secret := range Texts(&people[n]) {
			if strings.Contains(text, secret) {
				t.Errorf("a text tells data of person %d: %d bytes of it", n, len(secret))
				return
			}
		}
	}
}
