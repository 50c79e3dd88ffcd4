package register

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
	"time"

	"azekura/keyring"
	"azekura/register/field"
	"azekura/register/rowfile"
	"azekura/register/value"

	"github.com/google/uuid"
)

// Import is how far an import is.
type Import struct {
	ID        int64     `json:"-"`
	Name      string    `json:"import" doc:"the import's id, taken from the file's SHA-256"`
	Bytes     int64     `json:"bytes" doc:"size of the file"`
	Done      int64     `json:"bytes_done"`
	Rows      int64     `json:"rows" doc:"data rows read so far, blank ones left out"`
	Created   int64     `json:"created" doc:"participants made"`
	Updated   int64     `json:"updated" doc:"participants given a new version"`
	Unchanged int64     `json:"unchanged" doc:"rows that the register had already"`
	Rejected  int64     `json:"rejected" doc:"rows that were refused"`
	Started   time.Time `json:"started"`
	Finished  bool      `json:"finished"`
	Failure   string    `json:"failure,omitempty" doc:"why the import stopped; run it again once that is mended"`
	// Rejects are the first rejected rows of a dry run, which keeps no table of
	// them.
	Rejects []Reject `json:"rejects,omitempty" doc:"of a dry run: the first rejected rows, at most 100"`
	sha256  []byte
	density int64 // of the canaries that are planted with it, in millionths, once a chunk is written
	fresh   bool  // the file was read a moment ago and had this SHA-256
}

// ImportOptions say how a file is read.
type ImportOptions struct {
	rowfile.Options
	// DryRun reads and judges every row and writes nothing.
	DryRun bool
	// Rejects, when given, takes the rejected rows of the file, encrypted to
	// the operator; it is called once, at the end.
	Rejects func(ctx context.Context, i Import, file io.ReaderAt) error
	// Density is how many canaries are planted for each person whom the import
	// makes, drawn like their neighbours; 0 plants none.
	Density float64
	// Name, when given, may change the id that the participant of a row gets, who
	// would be new: of the rows that are canaries. It must say the same of a row
	// each time, for an import that was stopped goes on.
	Name func(row int64, id uuid.UUID) uuid.UUID
	// Progress, when given, hears of each chunk that is committed.
	Progress func(Import)
}

// chunkRows is the number of rows that commit together. A larger chunk writes
// fewer pages of the index a row; a smaller one holds SQLite's writer less long.
const chunkRows = 8000

// FileImport finds or makes the import of a file. The same bytes are the same
// import, whatever the file's name, so a run that was killed goes on.
func (s *Store) FileImport(ctx context.Context, file io.ReaderAt, size int64) (Import, error) {
	sum, err := hashFile(file, size)
	if err != nil {
		return Import{}, err
	}
	id := int64(binary.BigEndian.Uint64(sum) >> 1)
	if _, err := s.db.Exec(ctx, `INSERT INTO register_import
		(import_id, sha256, bytes, started_us, finished_us, at_byte, at_row, created, updated, unchanged, rejected, failure, mac)
		VALUES ($1, $2, $3, $4, 0, 0, 0, 0, 0, 0, 0, '', $5) ON CONFLICT DO NOTHING`, id, sum, size, s.log.Now().UnixMicro(),
		s.importMAC(&Import{ID: id, Bytes: size, sha256: sum})); err != nil {
		return Import{}, fmt.Errorf("note the import: %w", err)
	}
	i, err := s.Import(ctx, id)
	i.fresh = true
	if err == nil && !bytes.Equal(i.sha256, sum) {
		err = errors.New("another file's import has the same id; add an empty line to the file's end")
	}
	return i, err
}

func hashFile(file io.ReaderAt, size int64) ([]byte, error) {
	h := sha256.New()
	if n, err := io.Copy(h, io.NewSectionReader(file, 0, size)); err != nil || n != size {
		return nil, errors.Join(fmt.Errorf("read the file: %d of %d bytes could be read", n, size), err)
	}
	return h.Sum(nil), nil
}

// isOf refuses a file that isn't the one the import was made of, by its bytes:
// rows of two files must not pass for one.
func (i *Import) isOf(file io.ReaderAt, o ImportOptions) error {
	if o.DryRun {
		return nil
	}
	sum, err := hashFile(file, i.Bytes)
	if err == nil && !bytes.Equal(sum, i.sha256) {
		err = ErrFileChanged
	}
	return err
}

// ErrFileChanged means that the file isn't the one that the import began with.
var ErrFileChanged = errors.New("the file has changed since the import began; put it back, or import it as it is now: what was read is judged again")

// told are the fields of which a file speaks: a CSV without the column phone
// says nothing about telephones, one with it and nothing there says that there
// is none.
func told(r *rowfile.Reader) field.Set {
	set := field.SetOf(field.Ref, field.Number, field.Name, field.Birth)
	for f, c := range map[field.Field]value.Column{field.Kana: value.ColKana, field.Romaji: value.ColRomaji, field.Sex: value.ColSex,
		field.Address: value.ColAddress, field.Phone: value.ColPhone, field.Email: value.ColEmail,
		field.Account: value.ColAccountNumber, field.Award: value.ColAwardKind} {
		if r.Tells(c) {
			set |= field.SetOf(f)
		}
	}
	return set
}

// Import looks an import up.
func (s *Store) Import(ctx context.Context, id int64) (Import, error) {
	i := Import{ID: id, Name: fmt.Sprintf("%016x", uint64(id))}
	var started, finished int64
	var mac []byte
	err := s.db.QueryRow(ctx, `SELECT sha256, bytes, started_us, finished_us, at_byte, at_row, created, updated, unchanged, rejected, failure, density, mac
		FROM register_import WHERE import_id = $1`, []any{id},
		&i.sha256, &i.Bytes, &started, &finished, &i.Done, &i.Rows, &i.Created, &i.Updated, &i.Unchanged, &i.Rejected, &i.Failure, &i.density, &mac)
	if err != nil {
		return Import{}, fmt.Errorf("look the import up: %w", err)
	}
	i.Started, i.Finished = time.UnixMicro(started).UTC(), finished != 0
	if !hmac.Equal(mac, s.importMAC(&i)) {
		return Import{}, s.raise(ctx, tampered("register_import", i.Name, "the row of the import, which says how far it is, was altered"))
	}
	return i, nil
}

// importMAC is the gate's word for which file an import is of and how far it is:
// whoever moves it on has rows of the file passed over.
func (s *Store) importMAC(i *Import) []byte {
	text := append(make([]byte, 0, 128), i.sha256...)
	for _, n := range []int64{i.ID, i.Bytes, i.Done, i.Rows, i.Created, i.Updated, i.Unchanged, i.Rejected} {
		text = binary.BigEndian.AppendUint64(text, uint64(n))
	}
	if i.Finished {
		text = append(text, 1)
	}
	if i.density != 0 {
		text = binary.BigEndian.AppendUint64(text, uint64(i.density))
	}
	mac := s.ring.MAC("import", text)
	return mac[:]
}

// Reject is one reason why a row was refused.
type Reject struct {
	Row    int64  `json:"row"`
	Column string `json:"column,omitempty"`
	Reason string `json:"reason"`
	From   int64  `json:"-"`
	To     int64  `json:"-"`
}

// Rejects lists an import's rejected rows after a row, in order, at most limit.
func (s *Store) Rejects(ctx context.Context, id, after int64, limit int) ([]Reject, error) {
	rows, err := s.db.Query(ctx, `SELECT row_no, column_name, reason, from_byte, to_byte FROM register_reject
		WHERE import_id = $1 AND row_no > $2 ORDER BY row_no, column_name LIMIT $3`, id, after, limit)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var list []Reject
	for rows.Next() {
		var r Reject
		if err := rows.Scan(&r.Row, &r.Column, &r.Reason, &r.From, &r.To); err != nil {
			return nil, err
		}
		list = append(list, r)
	}
	return list, rows.Err()
}

// Run imports a file from where it stands to its end. Each chunk commits with
// its rows, its set event and the import's new place, so a run that is killed
// at any moment goes on where it was and doubles nothing.
func (s *Store) Run(ctx context.Context, i Import, file io.ReaderAt, o ImportOptions) (Import, error) {
	if o.Progress == nil {
		o.Progress = func(Import) {}
	}
	if i.Finished && !o.DryRun {
		o.Progress(i)
		return i, nil
	}
	i, err := s.run(ctx, i, file, o)
	if err != nil && !o.DryRun && ctx.Err() == nil {
		i.Failure = err.Error()
		err = errors.Join(err, s.FailImport(ctx, i.ID, err))
	}
	return i, err
}

// FailImport notes why an import stopped.
func (s *Store) FailImport(ctx context.Context, id int64, why error) error {
	_, err := s.db.Exec(ctx, "UPDATE register_import SET failure = $1 WHERE import_id = $2", why.Error(), id)
	return err
}

// ClearFailure forgets it, before another try.
func (s *Store) ClearFailure(ctx context.Context, id int64) error {
	_, err := s.db.Exec(ctx, "UPDATE register_import SET failure = '' WHERE import_id = $1", id)
	return err
}

func (s *Store) run(ctx context.Context, i Import, file io.ReaderAt, o ImportOptions) (Import, error) {
	if !i.fresh {
		if err := i.isOf(file, o); err != nil {
			return i, err
		}
	}
	reader, err := rowfile.Open(file, i.Bytes, o.Options)
	if err != nil {
		return i, err
	}
	if o.DryRun {
		i.Done, i.Rows, i.Created, i.Updated, i.Unchanged, i.Rejected = 0, 0, 0, 0, 0, 0
	}
	if !o.DryRun {
		if o.Density, err = i.Density(o.Density); err != nil {
			return i, err
		}
		i.density = millionths(o.Density)
	}
	if i.Rows > 0 {
		if err := reader.Resume(i.Done, i.Rows); err != nil {
			return i, fmt.Errorf("go on at row %d: %w", i.Rows+1, err)
		}
	}
	p, err := newPlanter(s, file, i.Bytes, o)
	if err != nil {
		return i, err
	}
	w := &importer{store: s, options: o, at: i, told: told(reader), seen: map[keyring.Token]bool{}, planter: p}
	if err := w.all(ctx, reader); err != nil {
		return w.at, err
	}
	if o.DryRun {
		w.at.Finished = true
		o.Progress(w.at)
		return w.at, nil
	}
	// What was read is in the register, but it wasn't one file.
	if err := i.isOf(file, o); err != nil {
		return w.at, err
	}
	if o.Rejects != nil && w.at.Rejected > 0 {
		if err := o.Rejects(ctx, w.at, file); err != nil {
			return w.at, fmt.Errorf("write the rejects file: %w", err)
		}
	}
	if _, err := s.db.Exec(ctx, "DELETE FROM register_unchanged WHERE import_id = $1", i.ID); err != nil {
		return w.at, err
	}
	done := w.at
	done.Finished, done.Failure = true, ""
	if _, err := s.db.Exec(ctx, "UPDATE register_import SET finished_us = $1, failure = '', mac = $2 WHERE import_id = $3",
		s.log.Now().UnixMicro(), s.importMAC(&done), i.ID); err != nil {
		return w.at, err
	}
	w.at = done
	o.Progress(w.at)
	return w.at, nil
}

// OpenFile opens a file to import, which must be a regular one: it is read
// twice, and again from its middle after a crash.
func OpenFile(path string) (*os.File, int64, error) {
	// Without O_NONBLOCK a pipe would be waited for.
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, 0, fmt.Errorf("open the file to import: %w", err)
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = errors.New("the file to import must be a regular file, not a pipe or a folder")
	}
	if err != nil {
		return nil, 0, errors.Join(err, f.Close())
	}
	return f, info.Size(), nil
}

// importer carries one run.
type importer struct {
	store   *Store
	options ImportOptions
	at      Import
	planter *planter               // or nil
	told    field.Set              // the fields of which the file speaks, if only by leaving them empty
	seen    map[keyring.Token]bool // refs and numbers accepted by a dry run
}

// all prepares the next chunk while the one before is written.
func (w *importer) all(ctx context.Context, reader *rowfile.Reader) error {
	ctx, cancel := context.WithCancel(ctx)
	chunks := make(chan *chunk, 1)
	var readErr error
	go func() {
		defer close(chunks)
		for ctx.Err() == nil {
			var c *chunk
			if c, readErr = w.store.prepare(ctx, reader, w.planter, &w.options); readErr != nil || c.rows == 0 {
				return
			}
			select {
			case chunks <- c:
			case <-ctx.Done():
				return
			}
		}
	}()
	defer func() { // the reader is done with the file before the caller closes it
		cancel()
		for range chunks {
		}
	}()
	for c := range chunks {
		if err := ctx.Err(); err != nil {
			return err // nothing else on the way to a commit needs look at it
		}
		if !w.options.DryRun {
			if err := w.store.log.WaitBulk(ctx); err != nil {
				return err
			}
		}
		if err := w.write(ctx, c); err != nil {
			return err
		}
		w.options.Progress(w.at)
	}
	if readErr != nil {
		return readErr
	}
	return ctx.Err()
}
