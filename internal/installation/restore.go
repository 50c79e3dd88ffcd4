package installation

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"azekura/auditlog"
	"azekura/internal/backup"
	"azekura/internal/db"
	"azekura/internal/jobs"
	"azekura/internal/slotfile"

	"filippo.io/age"
)

// restoringFile stands in a folder until a restore into it is done.
const restoringFile = "restoring"

// restoreTable stands in a database for the same time, and longer at most: it says
// that what else is there came from this backup.
const restoreTable = "azekura_restore"

// RestoreOptions say where to restore.
type RestoreOptions struct {
	Dir      string // empty or not there, unless a restore of the same backup was cut off in it
	Database string // a postgres:// URL of an empty database; empty is SQLite in the folder
	// Owner is the URL of the role that owns PostgreSQL's tables, where another
	// serves. It is used now and kept nowhere.
	Owner      string
	Identities []age.Identity
	// DatabaseOnly restores the tables alone, for an installation whose folder
	// is there: its settings and, above all, its signer are left as they are.
	DatabaseOnly bool
	Rows         func(rows int64)        // hears of rows loaded
	Verifying    func(done, total int64) // hears of events verified
}

// Restored is what was restored and checked.
type Restored struct {
	Header  backup.Header      `json:"header"`
	End     backup.End         `json:"content"`
	Log     auditlog.Report    `json:"log"`
	Earlier []auditlog.Earlier `json:"earlier,omitempty"`
}

// Restore makes an installation from a backup, in an empty place. It is done when
// tables and files are what the backup holds and the log verifies against the
// backup's signed head; cut off before, it is run again from its beginning. The
// signer signs nothing until somebody says that nothing newer was signed.
func Restore(ctx context.Context, from io.Reader, o RestoreOptions) (_ Restored, err error) {
	r, err := backup.Open(from, o.Identities...)
	if err != nil {
		return Restored{}, err
	}
	defer r.Close()
	to := &restoring{RestoreOptions: o, backup: r}
	defer func() { err = errors.Join(err, to.close()) }()
	if err := to.begin(ctx); err != nil {
		return Restored{}, err
	}
	if to.settled {
		return to.end(ctx)
	}
	return to.run(ctx)
}

type restoring struct {
	RestoreOptions
	backup *backup.Reader
	config Config
	lock   *os.File
	signer *auditlog.Signer // of the folder that was there, held
	db     db.DB
	try    int64 // drawn; the database knows the newest
	held   int64 // the log's head as it was loaded
	root   auditlog.Hash

	fresh   bool // no restore had begun in this folder
	begun   bool // something was changed
	settled bool // the settings are written: all but the end is done
	filled  bool // the database holds what the same restore loaded
}

// close leaves a folder in which nothing was changed as it was.
func (r *restoring) close() error {
	var errs []error
	if r.lock != nil && r.fresh && !r.begun {
		errs = append(errs, os.Remove(filepath.Join(r.Dir, restoringFile)), slotfile.SyncDir(r.Dir))
	}
	if r.lock != nil {
		errs = append(errs, r.lock.Close())
	}
	if r.db != nil {
		errs = append(errs, r.db.Close())
	}
	if r.signer != nil {
		errs = append(errs, r.signer.Close())
	}
	return errors.Join(errs...)
}

// begin makes every check that can be made before anything is changed, then notes
// in the folder that this restore is at work in it.
func (r *restoring) begin(ctx context.Context) error {
	if r.DatabaseOnly {
		if err := r.beside(ctx); err != nil {
			return err
		}
		if err := r.take(); err != nil {
			return err
		}
	} else if err := r.place(ctx); err != nil || r.settled {
		return err
	}
	_, err := r.lock.WriteAt([]byte(r.mark()+"\n"), 0)
	if err = errors.Join(err, r.lock.Truncate(int64(len(r.mark())+1)), r.lock.Sync(), slotfile.SyncDir(r.Dir)); err != nil {
		return err
	}
	r.begun = true
	if r.DatabaseOnly {
		return nil
	}
	return r.writeFiles()
}

// tablesAlone follows the backup's id in the mark of a restore beside a folder.
const tablesAlone = " database-only"

// mark is what the folder says while this restore is at work.
func (r *restoring) mark() string {
	if r.DatabaseOnly {
		return r.backup.Header.ID + tablesAlone
	}
	return r.backup.Header.ID
}

// beside holds a backup against the installation that is there, whose signer's
// lock keeps everybody else out.
func (r *restoring) beside(ctx context.Context) (err error) {
	head := &r.backup.Header
	if r.config, err = readConfig(r.Dir); err != nil {
		return err
	}
	if r.signer, err = auditlog.OpenSigner(signerFolder(r.Dir)); err != nil {
		return err
	}
	if r.config.Origin != head.Origin || r.config.LogID != head.LogID {
		return fmt.Errorf("the backup is of the log %s, and this installation's is %s", head.Origin, r.config.Origin)
	}
	known := head.VKey == r.signer.VerifierKey() || slices.ContainsFunc(r.signer.Keys(), func(k auditlog.KeyPeriod) bool { return k.Key == head.VKey })
	if !known {
		return errors.New("the backup's log has another key than this installation's signer, and than those before it: it isn't a backup of this log")
	}
	if r.Database != "" && r.Database != r.config.Database {
		return errors.New("with --database-only the database is the one that azekura.json names; change it there")
	}
	return r.survey(ctx)
}

// place takes an empty folder, or one in which the same restore was cut off.
func (r *restoring) place(ctx context.Context) error {
	head := &r.backup.Header
	if err := json.Unmarshal(r.backup.File(configFile), &r.config); err != nil || r.config.Version != 1 {
		return errors.New("the backup holds no settings that this program knows")
	}
	if vkey := strings.TrimSpace(string(r.backup.File(signerDir + "/vkey"))); vkey != head.VKey || r.config.Origin != head.Origin {
		return errors.New("the backup's settings and its signer aren't of one log")
	}
	r.config.Database = r.Database
	if err := os.MkdirAll(r.Dir, 0o700); err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(r.Dir, restoringFile)); errors.Is(err, os.ErrNotExist) {
		if err := r.empty(); err != nil {
			return err
		}
	}
	if err := r.take(); err != nil {
		return err
	}
	if r.fresh {
		if err := r.empty(); err != nil {
			return err
		}
	}
	// The settings come last. Where they are nothing is ever written over.
	_, err := os.Stat(filepath.Join(r.Dir, configFile))
	if r.settled = err == nil; r.settled || r.Database == "" {
		return nil
	}
	return r.survey(ctx)
}

// empty refuses a folder that holds anything.
func (r *restoring) empty() error {
	entries, err := os.ReadDir(r.Dir)
	if err != nil {
		return err
	}
	if slices.ContainsFunc(entries, func(e os.DirEntry) bool { return e.Name() != restoringFile }) {
		return fmt.Errorf("%s isn't empty: a backup is restored into an empty folder, or its tables alone beside the folder that is there (--database-only)", r.Dir)
	}
	return nil
}

// take takes the folder for this restore alone, and refuses one in which another
// isn't finished. Tables alone may follow tables alone of another backup: the
// database was found empty.
func (r *restoring) take() error {
	lock, err := os.OpenFile(filepath.Join(r.Dir, restoringFile), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return errors.Join(errors.New("another restore is at work in this folder"), lock.Close())
	}
	r.lock = lock
	raw, err := io.ReadAll(io.LimitReader(lock, 1024))
	if err != nil {
		return err
	}
	said := strings.TrimSpace(string(raw))
	beside := strings.HasSuffix(said, tablesAlone)
	switch r.fresh = said == ""; {
	case r.fresh, said == r.mark(), r.DatabaseOnly && beside:
		return nil
	case beside:
		return errors.New("a restore of the tables alone isn't finished in this folder; run it again with --database-only")
	case r.DatabaseOnly:
		return errors.New("a restore of the whole folder isn't finished in this folder; run it again without --database-only")
	}
	return errors.New("a restore of another backup isn't finished in this folder; run that one again, or restore into another folder")
}

// survey opens the database and refuses one that holds anything but what the same
// restore has begun to load.
func (r *restoring) survey(ctx context.Context) (err error) {
	url := r.config.database(r.Dir)
	if r.Owner != "" {
		url = r.Owner
	}
	if r.db, err = db.Open(ctx, url); err != nil {
		return err
	}
	tables, err := db.Tables(ctx, r.db, r.db.Engine())
	if err != nil || len(tables) == 0 {
		return err
	}
	var id string
	if slices.ContainsFunc(tables, func(t db.Table) bool { return t.Name == restoreTable }) {
		err = r.db.QueryRow(ctx, "SELECT backup FROM "+restoreTable, nil, &id)
	}
	if err != nil && !errors.Is(err, db.ErrNoRows) {
		return err
	}
	if id != r.backup.Header.ID {
		return errors.New("the database isn't empty; a backup is restored into an empty one")
	}
	r.filled = true
	return nil
}

// end does what is left where all was restored and checked, and the settings
// written.
func (r *restoring) end(ctx context.Context) (done Restored, err error) {
	done.Header = r.backup.Header
	if r.config, err = readConfig(r.Dir); err != nil {
		return done, err
	}
	if r.signer, err = auditlog.OpenSigner(signerFolder(r.Dir)); err != nil {
		return done, err
	}
	url := r.config.database(r.Dir)
	if r.Owner != "" {
		url = r.Owner
	}
	if r.db, err = db.Open(ctx, url); err != nil {
		return done, err
	}
	size, root, err := auditlog.OpenCheckpoint(done.Header.Checkpoint, done.Header.Origin, done.Header.VKey)
	if err != nil {
		return done, fmt.Errorf("the backup's signed head: %w", err)
	}
	if done.Log, err = auditlog.Verify(ctx, r.db, done.Header.LogID, size, root, auditlog.VerifyOptions{Progress: r.Verifying}); err != nil {
		return done, err
	}
	if !done.Log.OK {
		return done, fmt.Errorf("what was restored isn't what was signed: %s; restore the backup into another folder", done.Log.Problem)
	}
	return done, r.finish(ctx)
}

// writeFiles writes all but the settings, which come last. What a try before left
// goes first.
func (r *restoring) writeFiles() error {
	// Who holds the signer is at work here, whatever the folder lacks.
	signer, err := auditlog.OpenSigner(signerFolder(r.Dir))
	if err == nil {
		err = signer.Close()
	} else if !errors.Is(err, auditlog.ErrHeld) {
		err = nil
	}
	if err != nil {
		return err
	}
	entries, err := os.ReadDir(r.Dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.Name() != restoringFile {
			if err := os.RemoveAll(filepath.Join(r.Dir, e.Name())); err != nil {
				return err
			}
		}
	}
	for _, f := range r.backup.Files {
		if f.Name == configFile {
			continue
		}
		path := filepath.Join(r.Dir, filepath.FromSlash(f.Name))
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return err
		}
		if err := slotfile.WriteNew(path, f.Content); err != nil {
			return err
		}
	}
	return nil
}

func (r *restoring) run(ctx context.Context) (Restored, error) {
	if r.db == nil { // in the folder, so it was empty
		if err := r.survey(ctx); err != nil {
			return Restored{}, err
		}
	}
	var err error
	if err := r.prepare(ctx); err != nil {
		return Restored{}, err
	}
	done := Restored{Header: r.backup.Header}
	var list []jobs.Job
	r.backup.Loaded = func(ctx context.Context, q db.Querier) (err error) {
		r.held, r.root, err = auditlog.HeadOf(ctx, q, done.Header.LogID)
		return err
	}
	if done.End, list, err = r.backup.Load(ctx, r.db, r.fence, r.Rows); err != nil {
		return Restored{}, err
	}
	if done.Header.Jobs {
		if err := jobs.Queue(ctx, r.db, list); err != nil {
			return Restored{}, err
		}
	}
	if err := r.verify(ctx, &done); err != nil {
		return Restored{}, err
	}
	return done, r.finish(ctx)
}

// prepare makes the tables as the backup's were, in an empty database or in one
// that the same restore has begun to fill.
func (r *restoring) prepare(ctx context.Context) error {
	var wanted []db.Migration
	all := migrations()
	for _, name := range r.backup.Header.Migrations {
		at := slices.IndexFunc(all, func(m db.Migration) bool { return m.Name == name })
		if at < 0 {
			return errors.New("the backup was made by a newer version of this program; restore it with that")
		}
	}
	for _, m := range all {
		if slices.Contains(r.backup.Header.Migrations, m.Name) {
			wanted = append(wanted, m)
		}
	}
	if r.filled {
		if err := r.again(ctx); err != nil {
			return err
		}
	} else if err := r.markTables(ctx); err != nil {
		return err
	}
	return db.Migrate(ctx, r.db, r.backup.Header.Created, wanted)
}

// again empties what a try before this one has loaded, once the database is done
// with that one's last transaction.
func (r *restoring) again(ctx context.Context) error {
	r.try = rand.Int64()
	if _, err := r.db.Exec(ctx, "UPDATE "+restoreTable+" SET try = $1", r.try); err != nil {
		return err
	}
	return backup.Clear(ctx, r.db)
}

// fence holds the table's row until the transaction ends, and refuses one of a
// try that another has followed.
func (r *restoring) fence(ctx context.Context, tx db.Tx) error {
	n, err := tx.Exec(ctx, "UPDATE "+restoreTable+" SET try = $1 WHERE try = $2", r.try, r.try)
	if err == nil && n != 1 {
		err = errors.New("another restore has begun in this database")
	}
	return err
}

func (r *restoring) markTables(ctx context.Context) error {
	r.try = rand.Int64()
	tx, err := r.db.Begin(ctx)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	if _, err := tx.Exec(ctx, "CREATE TABLE "+restoreTable+" (backup TEXT NOT NULL PRIMARY KEY, try BIGINT NOT NULL)"); err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, "INSERT INTO "+restoreTable+" (backup, try) VALUES ($1, $2)", r.backup.Header.ID, r.try); err != nil {
		return err
	}
	return tx.Commit(ctx)
}

// verify holds the tables against the backup's signed head, and makes the signer's
// state of it unless a signer is there, which knows better.
func (r *restoring) verify(ctx context.Context, done *Restored) error {
	head := &r.backup.Header
	size, root, err := auditlog.OpenCheckpoint(head.Checkpoint, head.Origin, head.VKey)
	if err != nil {
		return fmt.Errorf("the backup's signed head: %w", err)
	}
	signer := r.signer
	if signer == nil {
		if err := auditlog.RestoreSigner(ctx, r.db, filepath.Join(r.Dir, signerDir), head.LogID, head.Checkpoint); err != nil {
			return fmt.Errorf("make the signer's state: %w", err)
		}
		if signer, err = auditlog.OpenSigner(filepath.Join(r.Dir, signerDir)); err != nil {
			return err
		}
		defer signer.Close()
	}
	o := auditlog.VerifyOptions{Progress: r.Verifying}
	if done.Log, err = auditlog.Verify(ctx, r.db, head.LogID, size, root, o); err != nil {
		return err
	}
	if done.Earlier, err = auditlog.VerifyPast(ctx, r.db, head.LogID, signer.Past(), o); err != nil {
		return err
	}
	for _, e := range done.Earlier {
		if done.Log.OK && !e.Report.OK {
			done.Log.OK, done.Log.Problem = false, fmt.Sprintf("log %d: %s", e.LogID, e.Report.Problem)
		}
	}
	if !done.Log.OK {
		return fmt.Errorf("the backup's log isn't what was signed: %s; take another backup", done.Log.Problem)
	}
	if r.signer != nil {
		return nil
	}
	return auditlog.VouchRestored(ctx, r.db, head.LogID, r.held, r.root, signer)
}

// finish makes it an installation. What stands last in the way is the file.
func (r *restoring) finish(ctx context.Context) error {
	if r.Owner != "" {
		if err := Migrate(ctx, r.Owner); err != nil { // and what the other role may do
			return err
		}
	}
	if !r.DatabaseOnly && !r.settled {
		if err := r.config.write(r.Dir); err != nil {
			return err
		}
	}
	// A mark that came back with a power cut would stand over what is served by then.
	if err := errors.Join(os.Remove(filepath.Join(r.Dir, restoringFile)), slotfile.SyncDir(r.Dir)); err != nil {
		return err
	}
	_, err := r.db.Exec(ctx, "DROP TABLE IF EXISTS "+restoreTable)
	return err
}
