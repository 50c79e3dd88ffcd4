package db_test

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"azekura/internal/db"
)

func TestMigrate(t *testing.T) {
	for _, engine := range []db.Engine{db.SQLite, db.PostgreSQL} {
		t.Run(string(engine), func(t *testing.T) {
			d := open(t, databaseURL(t, engine))
			list := []db.Migration{{Name: "test/1-first", SQL: `CREATE TABLE one (
	id BIGINT NOT NULL PRIMARY KEY
)
-- sqlite: WITHOUT ROWID
;
-- a comment; with a semicolon
CREATE INDEX one_id ON one (id);
-- postgresql only
DO $$ BEGIN
	CREATE TABLE only_here (id BIGINT);
	INSERT INTO only_here VALUES (1);
END $$
`}, {Name: "test/2-second", SQL: "CREATE TABLE two (id BIGINT)"}}
			now := time.UnixMicro(1433116800000000)
			ok(t, db.Migrate(t.Context(), d, now, list[:1]))
			ok(t, db.Migrate(t.Context(), d, now, list))
			ok(t, db.Migrate(t.Context(), d, now.Add(time.Hour), list))
			var n, at int64
			ok(t, d.QueryRow(t.Context(), "SELECT count(*), max(applied_us) FROM azekura_migration", nil, &n, &at))
			if n != 2 || at != now.UnixMicro() {
				t.Errorf("%d migrations, at %d", n, at)
			}
			exec(t, d, "INSERT INTO one (id) VALUES (1)")
			exec(t, d, "INSERT INTO two (id) VALUES (1)")
			if engine == db.SQLite {
				var sql string
				ok(t, d.QueryRow(t.Context(), "SELECT sql FROM sqlite_master WHERE name = 'one'", nil, &sql))
				if !strings.Contains(sql, "WITHOUT ROWID") {
					t.Errorf("the table is %s", sql)
				}
			} else if exec(t, d, "DELETE FROM only_here") != 1 {
				t.Error("what is for PostgreSQL alone wasn't run")
			}
			// One that fails leaves nothing, and is tried again.
			bad := append(list, db.Migration{Name: "test/3-third", SQL: "CREATE TABLE three (id BIGINT);\nCREATE TABLE two (id BIGINT)"})
			if err := db.Migrate(t.Context(), d, now, bad); err == nil || !strings.Contains(err.Error(), "test/3-third") {
				t.Errorf("got %v", err)
			}
			bad[2].SQL = "CREATE TABLE three (id BIGINT)"
			ok(t, db.Migrate(t.Context(), d, now, bad))
		})
	}
}

// TestGrants reads the lines that say what the application may do.
func TestGrants(t *testing.T) {
	list := []db.Migration{
		{Name: "test/1", SQL: "-- What it is.\n-- grant: one SELECT, INSERT\nCREATE TABLE one (id BIGINT);\n-- grant: two OWNER\nCREATE TABLE two (id BIGINT)"},
		{Name: "test/2", SQL: "-- grant: one SELECT\n"},
	}
	want := map[string]string{"azekura_migration": "SELECT", "one": "SELECT", "two": "OWNER"}
	if got := db.Grants(list); !maps.Equal(got, want) {
		t.Errorf("got %v", got)
	}
	for _, engine := range []db.Engine{db.SQLite, db.PostgreSQL} {
		ok(t, db.Migrate(t.Context(), open(t, databaseURL(t, engine)), time.UnixMicro(1), list))
	}
}

// TestMigrateAtOnce is several processes that start at the same moment.
func TestMigrateAtOnce(t *testing.T) {
	for _, engine := range []db.Engine{db.SQLite, db.PostgreSQL} {
		t.Run(string(engine), func(t *testing.T) {
			url := databaseURL(t, engine)
			var list []db.Migration
			for i := range 5 {
				list = append(list, db.Migration{Name: fmt.Sprint("test/", i), SQL: fmt.Sprintf("CREATE TABLE t%d (id BIGINT);\nINSERT INTO t%d VALUES (1)", i, i)})
			}
			var wg sync.WaitGroup
			for range 4 {
				d := open(t, url)
				wg.Go(func() {
					if err := db.Migrate(t.Context(), d, time.UnixMicro(1), list); err != nil {
						t.Error(err)
					}
				})
			}
			wg.Wait()
			var n int64
			ok(t, open(t, url).QueryRow(t.Context(), "SELECT count(*) FROM t4", nil, &n))
			if n != 1 {
				t.Errorf("a migration was applied %d times", n)
			}
		})
	}
}

func TestSizeGrows(t *testing.T) {
	onBoth(t, func(t *testing.T, d db.DB) {
		before, err := d.Size(t.Context())
		ok(t, err)
		keys := make([][]byte, 2000)
		ids := make([]int64, len(keys))
		for i := range keys {
			keys[i], ids[i] = bytes.Repeat([]byte{byte(i), byte(i >> 8), 3, 4}, 250), int64(i)
		}
		ok(t, d.Insert(t.Context(), &db.Insert{Table: "item", Columns: []string{"id", "key"}}, ids, keys))
		after, err := d.Size(t.Context())
		ok(t, err)
		if before <= 0 || after < before+1_000_000 {
			t.Errorf("%d bytes, then %d", before, after)
		}
	})
}

// TestScrub: a row that was deleted is in no file any more (SQLite; PostgreSQL
// keeps its write-ahead log for a while, so there only the call is tried).
func TestScrub(t *testing.T) {
	onBoth(t, func(t *testing.T, d db.DB) {
		secret := []byte("a secret that must go 3141592653589793")
		exec(t, d, "INSERT INTO item (id, key) VALUES (1, $1)", secret)
		exec(t, d, "DELETE FROM item")
		ok(t, d.Scrub(t.Context(), "item"))
		if d.Engine() == db.PostgreSQL {
			return
		}
		for _, name := range files(t, d) {
			content, err := os.ReadFile(name)
			ok(t, err)
			if bytes.Contains(content, secret) {
				t.Errorf("it is still in %s", filepath.Base(name))
			}
		}
	})
}

// files are those of an SQLite database.
func files(t testing.TB, d db.DB) []string {
	var path string
	ok(t, d.QueryRow(t.Context(), "SELECT file FROM pragma_database_list WHERE name = 'main'", nil, &path))
	names, err := filepath.Glob(path + "*")
	ok(t, err)
	return names
}

func TestFilesAreTheOwnersAlone(t *testing.T) {
	d := open(t, databaseURL(t, db.SQLite))
	exec(t, d, "CREATE TABLE t (id BIGINT)")
	names := files(t, d)
	if len(names) != 3 {
		t.Errorf("the files are %v", names)
	}
	for _, name := range names {
		info, err := os.Stat(name)
		ok(t, err)
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s has the rights %v", filepath.Base(name), info.Mode())
		}
	}
}

// TestErrorsHoldNoPassword opens what can't be opened.
func TestErrorsHoldNoPassword(t *testing.T) {
	const password = "hunter2secret"
	dir := t.TempDir()
	t.Chdir(dir)
	for _, url := range []string{
		"postgres://user:" + password + "@127.0.0.1:1/name",
		"postgres://user:" + password + "@127.0.0.1:notaport/name",
		"postgres://user:" + password + "@[::1/name",
		"postgres://user:" + password + "%zz@127.0.0.1/name",
		"postgresql://user:" + password + "@127.0.0.1:1/name?sslmode=nonsense",
		"postgresql://user:" + password + "@127.0.0.1:1/name?pool_max_conns=nonsense",
		"Postgres://user:" + password + "@127.0.0.1:1/name",
		"mysql://user:" + password + "@127.0.0.1/name",
		"host=127.0.0.1 port=1 user=u password=" + password,
	} {
		d, err := db.Open(t.Context(), url)
		if err == nil {
			d.Close()
			t.Errorf("opened %s", url)
		} else if strings.Contains(err.Error(), password) {
			t.Errorf("the error holds the password: %v", err)
		}
	}
	names, err := os.ReadDir(dir)
	ok(t, err)
	if len(names) > 0 {
		t.Errorf("a file was made: %v", names)
	}
	if _, err := db.Open(t.Context(), filepath.Join(dir, "missing", "azekura.db")); err == nil || !strings.Contains(err.Error(), "missing") {
		t.Errorf("a missing folder isn't named: %v", err)
	}
}
