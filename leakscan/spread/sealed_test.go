package spread_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"azekura/internal/db"
	"azekura/internal/insttest"
	"azekura/internal/pgtest"
	"azekura/leakscan/leaktest"
	"azekura/leakscan/scan"
	"azekura/leakscan/spread"
)

// TestSealed: the database shows no name of a file and no password; a result that was
// altered there is refused; and what is done with is deleted.
func TestSealed(t *testing.T) {
	key := leaktest.Key()
	x := leaktest.Open(t, leaktest.Build(t, seed, 50, key, 1), key)
	for _, engine := range []string{"sqlite", "postgresql"} {
		t.Run(engine, func(t *testing.T) {
			url := filepath.Join(t.TempDir(), "jobs.db")
			if engine == "postgresql" {
				url = pgtest.URL(t)
			}
			d, err := db.Open(t.Context(), url)
			if err != nil {
				t.Fatal(err)
			}
			defer d.Close()
			dir := t.TempDir()
			list := insttest.People(seed, 50)
			if err := os.WriteFile(filepath.Join(dir, "telltale"), []byte(list[0].Number+","+list[0].Name+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			stop := errors.New("stop here")
			people := 0
			scanned := func(end error) error {
				return spread.Run(t.Context(), d, x, scan.Options{Paths: []string{dir}, Passwords: []string{"telltale"}}, spread.Options{Dead: time.Minute}, func(r *scan.Result) error {
					people = r.Summary.People["A"]
					return end
				})
			}
			if err := scanned(stop); !errors.Is(err, stop) || people != 1 {
				t.Fatalf("%d people: %v", people, err)
			}
			for _, query := range []string{"SELECT sealed FROM leak_scan", "SELECT sealed FROM leak_share", "SELECT sealed FROM leak_result"} {
				var sealed []byte
				if err := d.QueryRow(t.Context(), query, nil, &sealed); err != nil || bytes.Contains(sealed, []byte("telltale")) {
					t.Errorf("%s: %v", query, err)
				}
				sealed[len(sealed)/2] ^= 1
				table := query[strings.LastIndex(query, " ")+1:]
				if n, err := d.Exec(t.Context(), "UPDATE "+table+" SET sealed = $1", sealed); err != nil || n != 1 {
					t.Fatal(n, err)
				}
				if err := scanned(nil); table == "leak_result" && (err == nil || !strings.Contains(err.Error(), "wasn't written with this case's key")) {
					t.Errorf("an altered result: %v", err)
				}
				sealed[len(sealed)/2] ^= 1
				if _, err := d.Exec(t.Context(), "UPDATE "+table+" SET sealed = $1", sealed); err != nil {
					t.Fatal(err)
				}
				if table != "leak_result" {
					if err := scanned(stop); !errors.Is(err, stop) { // forgotten, and done anew
						t.Fatal(err)
					}
				}
			}
			if err := scanned(nil); err != nil {
				t.Fatal(err)
			}
			for _, table := range []string{"leak_scan", "leak_share", "leak_result"} {
				var n int64
				if err := d.QueryRow(t.Context(), "SELECT count(*) FROM "+table, nil, &n); err != nil || n != 0 {
					t.Errorf("%s keeps %d rows: %v", table, n, err)
				}
			}
		})
	}
}
