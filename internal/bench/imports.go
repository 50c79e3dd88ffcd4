package main

import (
	"context"
	"fmt"
	"os"
	"strings"

	"azekura/internal/db"
	"azekura/population"
)

// yardsticks is the stage of figures that are only there to compare with.
const yardsticks = "yardstick"

// rates are what an import must reach in rows a second, and a participant may
// take in bytes of disk.
var importTargets = map[string]struct{ rows, bytes float64 }{
	sqlite:     {10_000, 1_200},
	postgresql: {15_000, 1_600},
}

// importRows is how many rows an import commits together; the bare file is
// synced as often.
const importRows = 8000

func imports(ctx context.Context, b *bench) error {
	for _, engine := range b.engines {
		err := b.rounds(ctx, "import on "+engineNames[engine], b.importRuns(), func() error { return b.importOnce(ctx, engine) })
		if err == nil {
			err = b.rooms[engine].disk(ctx)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// importOnce imports few people, and then all, each beside its yardsticks. The
// last room of all people is the one that later stages use.
func (b *bench) importOnce(ctx context.Context, engine string) error {
	few, err := b.importInto(ctx, engine, b.scale.Few)
	if err != nil {
		return err
	}
	all, err := b.importInto(ctx, engine, b.scale.People)
	if err != nil {
		return err
	}
	name, n := engineNames[engine], float64(b.scale.People)
	at := fmt.Sprintf("%s, peak memory at %s people, that at %s beside it", name, number(n), number(float64(b.scale.Few)))
	b.figure("import", at, "MB", target{}, stick{"fewer people", target{Most: 1.25}}, float64(all.peak)/1e6, float64(few.peak)/1e6)
	b.figure("import", name+", CPU a participant, database included", "ms", target{}, stick{}, all.cpu.Seconds()*1000/n, 0)
	return nil
}

func (b *bench) importInto(ctx context.Context, engine string, n int64) (imported, error) {
	path, err := b.people(ctx, n)
	if err != nil {
		return imported{}, err
	}
	r, err := b.newRoom(ctx, engine)
	if err != nil {
		return imported{}, err
	}
	done, err := r.fill(ctx, path, n)
	if err != nil {
		return done, err
	}
	if n < b.scale.People {
		return done, r.remove()
	}
	if before := b.rooms[engine]; before != nil {
		if err := before.remove(); err != nil {
			return done, err
		}
	}
	b.rooms[engine] = r
	return done, b.compareImport(ctx, engine, path, n, done)
}

// compareImport takes the yardsticks: COPY of the same file into a bare table,
// and the same bytes appended to a file, synced as often as the import commits.
func (b *bench) compareImport(ctx context.Context, engine, path string, n int64, done imported) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	rewritten, err := b.rewrite(path, importRows*info.Size()/n)
	if err != nil {
		return err
	}
	name, rows := engineNames[engine], float64(n)
	s, beside := stick{name: "the file's bytes, synced every 8,000 rows"}, rows/rewritten.Seconds()
	if engine == postgresql {
		copied, err := b.server.copyFile(ctx, path, population.Columns())
		if err != nil {
			return err
		}
		s.name, beside = "COPY of the same file, no index", rows/copied.Seconds()
		b.figure(yardsticks, "the file's bytes, synced every 8,000 rows, beside PostgreSQL", "rows/s", target{}, stick{}, rows/rewritten.Seconds(), 0)
	}
	b.figure("import", name+fmt.Sprintf(", %s people, from the command's start to its end", number(rows)), "rows/s",
		target{Least: importTargets[engine].rows}, s, rows/done.took.Seconds(), beside)
	return nil
}

// disk measures what the import left: after VACUUM and a checkpoint on
// PostgreSQL, and after a checkpoint, as the import's inserts left the pages, on
// SQLite.
func (r *room) disk(ctx context.Context) error {
	d, err := db.Open(ctx, r.url())
	if err != nil {
		return err
	}
	defer d.Close()
	sizes, err := tableSizes(ctx, d)
	if err != nil {
		return err
	}
	var register, all int64
	for table, size := range sizes {
		all += size
		if strings.HasPrefix(table, "register_") || strings.HasPrefix(table, "keyring_") {
			register += size
		}
	}
	path, err := r.bench.people(ctx, r.people)
	if err != nil {
		return err
	}
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	n, name := float64(r.people), engineNames[r.engine]
	file := float64(info.Size()) / n
	r.bench.figure("import", name+", disk a participant: register and keys, awards included", "bytes", target{Most: importTargets[r.engine].bytes},
		stick{name: "the file's bytes"}, float64(register)/n, file)
	r.bench.figure("import", name+", disk a participant: with the audit log and all else", "bytes", target{}, stick{name: "the file's bytes"}, float64(all)/n, file)
	return nil
}

func (r *room) url() string {
	if r.engine == postgresql {
		return r.bench.server.cluster.URL(r.database)
	}
	return r.dir + "/azekura.db"
}

// tableSizes are the bytes of each table with its indexes.
func tableSizes(ctx context.Context, d db.DB) (map[string]int64, error) {
	sql := `SELECT m.tbl_name, sum(s.pgsize) FROM dbstat s JOIN sqlite_schema m ON m.name = s.name GROUP BY m.tbl_name`
	if d.Engine() == db.PostgreSQL {
		sql = `SELECT relname, pg_total_relation_size(oid) FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace`
	}
	rows, err := d.Query(ctx, sql)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	sizes := map[string]int64{}
	for rows.Next() {
		var table string
		var size int64
		if err := rows.Scan(&table, &size); err != nil {
			return nil, err
		}
		sizes[table] = size
	}
	return sizes, rows.Err()
}
