package backup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"azekura/internal/db"
	"azekura/internal/jobs"

	"filippo.io/age"
	"github.com/klauspost/compress/zstd"
)

// Content is what Write puts into a backup.
type Content struct {
	Header   Header
	Files    []File
	Snapshot *db.Snapshot
	// Progress hears of rows written.
	Progress func(rows int64)
}

// skipped are tables that a backup doesn't hold: the schema's own and the restore's,
// which a restore makes, and the job engine's, whose jobs are written one by one, since the two
// engines' tables differ.
func skipped(table string) bool {
	return table == "azekura_migration" || table == "azekura_restore" || strings.HasPrefix(table, "river_")
}

// Write writes a backup to w, encrypted to the recipients. After an error what was
// written is no backup, and doesn't read as one.
func Write(ctx context.Context, w io.Writer, to []age.Recipient, c Content) (End, error) {
	if len(to) == 0 {
		return End{}, errors.New("a backup needs a recipient")
	}
	sealed, err := age.Encrypt(w, to...)
	if err != nil {
		return End{}, fmt.Errorf("encrypt the backup: %w", err)
	}
	packed, err := zstd.NewWriter(sealed, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(2), zstd.WithWindowSize(1<<20))
	if err != nil {
		return End{}, err
	}
	out := &writer{recordWriter: recordWriter{w: packed}, content: c}
	end, err := out.write(ctx)
	if err != nil {
		// Its encryption isn't closed: what is there reads as cut off.
		return End{}, errors.Join(fmt.Errorf("write the backup: %w", err), packed.Close())
	}
	if err := errors.Join(packed.Close(), sealed.Close()); err != nil {
		return End{}, fmt.Errorf("write the backup: %w", err)
	}
	return end, nil
}

type writer struct {
	recordWriter
	content Content
	end     End
}

func (w *writer) write(ctx context.Context) (End, error) {
	if _, err := io.WriteString(w.w, magic); err != nil {
		return End{}, err
	}
	snapshot := w.content.Snapshot
	tables, err := db.Tables(ctx, snapshot, snapshot.Engine())
	if err != nil {
		return End{}, err
	}
	head := w.content.Header
	head.Engine = snapshot.Engine()
	if head.Migrations, err = db.Applied(ctx, snapshot); err != nil {
		return End{}, err
	}
	for _, t := range tables {
		head.Jobs = head.Jobs || t.Name == "river_job"
	}
	w.json(kindHeader, head)
	for _, f := range w.content.Files {
		w.json(kindFile, f)
		w.end.Files++
	}
	for _, t := range tables {
		if skipped(t.Name) {
			continue
		}
		if err := w.table(ctx, t); err != nil {
			return End{}, fmt.Errorf("table %s: %w", t.Name, err)
		}
	}
	if head.Jobs {
		if err := w.jobs(ctx); err != nil {
			return End{}, err
		}
	}
	w.json(kindWhole, w.end)
	return w.end, w.err
}

func (w *writer) table(ctx context.Context, t db.Table) error {
	w.json(kindTable, t)
	var end TableEnd
	var chunk []byte
	flush := func() {
		w.record(kindRows, chunk)
		chunk = chunk[:0]
		if w.content.Progress != nil {
			w.content.Progress(w.end.Rows + end.Rows)
		}
	}
	err := eachRow(ctx, w.content.Snapshot, t, func(encoded []byte) error {
		end.Rows++
		end.Sum.add(encoded)
		chunk = append(chunk, encoded...)
		if len(chunk) >= chunkSize {
			flush()
		}
		return w.err
	})
	if err != nil {
		return err
	}
	if len(chunk) > 0 {
		flush()
	}
	w.json(kindEnd, end)
	w.end.Tables++
	w.end.Rows += end.Rows
	return w.err
}

// eachRow calls f with each row of a table, encoded, in the order in which the
// database finds them.
func eachRow(ctx context.Context, q db.Querier, t db.Table, f func(encoded []byte) error) error {
	r, err := newRow(t.Columns)
	if err != nil {
		return err
	}
	names := make([]string, len(t.Columns))
	for i, c := range t.Columns {
		names[i] = c.Name
	}
	rows, err := q.Query(ctx, "SELECT "+strings.Join(names, ", ")+" FROM "+t.Name)
	if err != nil {
		return err
	}
	defer rows.Close()
	var encoded []byte
	for n := 0; rows.Next(); n++ {
		if n%1024 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		if err := rows.Scan(r.dest...); err != nil {
			return err
		}
		encoded = r.append(encoded[:0])
		if err := f(encoded); err != nil {
			return err
		}
	}
	return rows.Err()
}

func (w *writer) jobs(ctx context.Context) error {
	list, err := jobs.Unfinished(ctx, w.content.Snapshot, w.content.Snapshot.Engine())
	if err != nil {
		return err
	}
	for _, job := range list {
		w.json(kindJob, job)
		w.end.Jobs++
	}
	return w.err
}

// tail is what follows a backup's bytes on the way from a server to a command:
// without it the backup isn't whole. It isn't kept.
const tailMark = "\nazekura backup ends "

// TailSize is the size of what Seal appends.
const TailSize = len(tailMark) + 20

// Tail says how many bytes came before it.
func Tail(size int64) []byte { return fmt.Appendf(nil, "%s%020d", tailMark, size) }

// CopyWhole copies a backup that Tail follows, without the tail, and refuses one
// that was cut off on the way.
func CopyWhole(to io.Writer, from io.Reader) (int64, error) {
	var held, buffer []byte
	buffer = make([]byte, 64<<10)
	var size int64
	for {
		n, err := from.Read(buffer)
		held = append(held, buffer[:n]...)
		if ready := len(held) - TailSize; ready > 0 {
			if _, err := to.Write(held[:ready]); err != nil {
				return size, err
			}
			size += int64(ready)
			held = append(held[:0], held[ready:]...)
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return size, err
		}
	}
	if string(held) != string(Tail(size)) {
		return size, errors.New("the backup was cut off; the server's log says why. Make another")
	}
	return size, nil
}

// chunkRows splits a chunk into rows.
func chunkRows(chunk []byte, r *row, f func(encoded []byte) error) error {
	for len(chunk) > 0 {
		rest, err := r.take(chunk)
		if err != nil {
			return err
		}
		if len(rest) == len(chunk) {
			return errDamaged
		}
		if err := f(chunk[:len(chunk)-len(rest)]); err != nil {
			return err
		}
		chunk = rest
	}
	return nil
}
