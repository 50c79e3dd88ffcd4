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
	if err := to.begin(); err != nil {
		return Restored{}, err
	}
	defer func() { err = errors.Join(err, to.close()) }()
	if err := to.configure(); err != nil {
		return Restored{}, err
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
}

func (r *restoring) close() error {
	errs := []error{r.lock.Close()}
	if r.db != nil {
		errs = append(errs, r.db.Close())
	}
	if r.signer != nil {
		errs = append(errs, r.signer.Close())
	}
	return errors.Join(errs...)
}

// begin takes the folder for this restore alone. One that holds anything is
// refused, but for what the same restore left.
func (r *restoring) begin() error {
	path := filepath.Join(r.Dir, restoringFile)
	begun, err := os.ReadFile(path)
	again := err == nil && strings.TrimSpace(string(begun)) == r.backup.Header.ID
	if err == nil && !again && len(begun) > 0 {
		return errors.New("a restore of another backup isn't finished in this folder; run that one again, or empty the folder")
	}
	if err := os.MkdirAll(r.Dir, 0o700); err != nil {
		return err
	}
	if !r.DatabaseOnly && !again {
		entries, err := os.ReadDir(r.Dir)
		if err != nil {
			return err
		}
		if len(entries) > 0 && !(len(entries) == 1 && entries[0].Name() == restoringFile) {
			return fmt.Errorf("%s isn't empty: a backup is restored into an empty folder, or its tables alone beside the folder that is there (--database-only)", r.Dir)
		}
	}
	if r.DatabaseOnly && !again {
		if _, err := ReadConfig(r.Dir); err != nil {
			return err
		}
	}
	if r.lock, err = os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600); err != nil {
		return err
	}
	if err := syscall.Flock(int(r.lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return errors.Join(errors.New("another restore is at work in this folder"), r.lock.Close())
	}
	_, err = r.lock.WriteAt([]byte(r.backup.Header.ID+"\n"), 0)
	if err = errors.Join(err, r.lock.Sync()); err != nil {
		return errors.Join(err, r.lock.Close())
	}
	return nil
}

// configure reads the settings: the backup's, or those that are there.
func (r *restoring) configure() (err error) {
	head := &r.backup.Header
	if r.DatabaseOnly {
		if r.config, err = readConfig(r.Dir); err != nil {
			return err
		}
		if r.config.Origin != head.Origin || r.config.LogID != head.LogID {
			return fmt.Errorf("the backup is of the log %s, and this installation's is %s", head.Origin, r.config.Origin)
		}
		if r.Database != "" && r.Database != r.config.Database {
			return errors.New("with --database-only the database is the one that azekura.json names; change it there")
		}
		if r.signer, err = auditlog.OpenSigner(filepath.Join(r.Dir, signerDir)); err != nil {
			return err
		}
		return nil
	}
	if err := json.Unmarshal(r.backup.File(configFile), &r.config); err != nil || r.config.Version != 1 {
		return errors.New("the backup holds no settings that this program knows")
	}
	if vkey := strings.TrimSpace(string(r.backup.File(signerDir + "/vkey"))); vkey != head.VKey || r.config.Origin != head.Origin {
		return errors.New("the backup's settings and its signer aren't of one log")
	}
	r.config.Database = r.Database
	return r.writeFiles()
}

// writeFiles writes all but the settings, which come last. What a try before left
// goes first.
func (r *restoring) writeFiles() error {
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
		if err := writeNew(path, string(f.Content)); err != nil {
			return err
		}
	}
	return nil
}

func (r *restoring) run(ctx context.Context) (Restored, error) {
	url := r.config.database(r.Dir)
	if r.Owner != "" {
		url = r.Owner
	}
	var err error
	if r.db, err = db.Open(ctx, url); err != nil {
		return Restored{}, err
	}
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
	tables, err := db.Tables(ctx, r.db, r.db.Engine())
	if err != nil {
		return err
	}
	if len(tables) > 0 {
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
		if err := r.again(ctx); err != nil {
			return err
		}
	} else if err := r.mark(ctx); err != nil {
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

func (r *restoring) mark(ctx context.Context) error {
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
	if !r.DatabaseOnly {
		if err := r.config.write(r.Dir); err != nil {
			return err
		}
	}
	if err := os.Remove(filepath.Join(r.Dir, restoringFile)); err != nil {
		return err
	}
	_, err := r.db.Exec(ctx, "DROP TABLE "+restoreTable)
	return err
}
