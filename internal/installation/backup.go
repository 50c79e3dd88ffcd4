package installation

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"azekura/auditlog"
	"azekura/internal/backup"
	"azekura/internal/db"

	"filippo.io/age"
)

// signerDir is the folder of the log that is written; those of logs before it
// are signer.N.
const signerDir = "signer"

// recipients are those that a backup is encrypted to: the recovery's, the
// operator's, and more.
func (c *Config) recipients(more []string) (keys []age.Recipient, names []string, err error) {
	for _, name := range slices.Concat([]string{c.Recovery, c.Operator}, more) {
		if name == "" || slices.Contains(names, name) {
			continue
		}
		found, err := age.ParseRecipients(strings.NewReader(name))
		if err != nil || len(found) != 1 {
			// Its text may be a secret key by mistake.
			return nil, nil, errors.New("a backup's recipient must be an age public key (age1…); age-keygen makes a pair")
		}
		keys, names = append(keys, found[0]), append(names, name)
	}
	return keys, names, nil
}

// CheckRecipients refuses what a backup can't be encrypted to.
func (c *Config) CheckRecipients(more []string) error {
	_, _, err := c.recipients(more)
	return err
}

// Backup writes a backup of the whole installation as it is at one moment, while
// everything goes on: a backup that was cut off doesn't read as one. That it was
// made is an event, recorded before that moment, so that the backup itself isn't
// behind for its own sake. What the installation's root key is sealed under (a
// passphrase, a KMS) isn't in it, unless by the recovery copy.
func (i *Installation) Backup(ctx context.Context, w io.Writer, to []string, progress func(rows int64)) (backup.End, error) {
	keys, names, err := i.Config.recipients(to)
	if err != nil {
		return backup.End{}, err
	}
	id := rand.Text()
	detail, err := json.Marshal(map[string]any{"backup": id, "to": names})
	if err != nil {
		return backup.End{}, err
	}
	if _, err := i.Log.RecordOne(ctx, auditlog.Event{Action: auditlog.System, Outcome: "ok", Purpose: "backup", Detail: detail}); err != nil {
		return backup.End{}, err
	}
	files, checkpoint, snapshot, err := i.moment(ctx)
	if err != nil {
		return backup.End{}, err
	}
	defer snapshot.Close()
	return backup.Write(ctx, w, keys, backup.Content{Snapshot: snapshot, Files: files, Progress: progress,
		Header: backup.Header{ID: id, Created: time.Now().UTC().Truncate(time.Second), LogID: i.Log.ID(), Origin: i.Signer.Origin(),
			VKey: i.Signer.VerifierKey(), Checkpoint: checkpoint}})
}

// moment takes files, signed head and tables that belong together. The head comes
// before the tables, so that they hold all that it signs. The root key's files may
// be changed by a rotation meanwhile: then once more.
func (i *Installation) moment(ctx context.Context) ([]backup.File, []byte, *db.Snapshot, error) {
	for range 10 {
		files, err := carriedFiles(i.Dir)
		if err != nil {
			return nil, nil, nil, err
		}
		checkpoint := bytes.Clone(i.Log.Checkpoint())
		snapshot, err := i.DB.Snapshot(ctx)
		if err != nil {
			return nil, nil, nil, err
		}
		again, err := carriedFiles(i.Dir)
		if err == nil && slices.EqualFunc(settings(files), settings(again), func(a, b backup.File) bool {
			return a.Name == b.Name && bytes.Equal(a.Content, b.Content)
		}) {
			return files, checkpoint, snapshot, nil
		}
		if err := errors.Join(err, snapshot.Close()); err != nil {
			return nil, nil, nil, err
		}
	}
	return nil, nil, nil, errors.New("the settings or the root key's files change all the time; try again when that is over")
}

// settings are the files that must not change between; the signer's cosigned
// head may.
func settings(files []backup.File) []backup.File {
	return slices.DeleteFunc(slices.Clone(files), func(f backup.File) bool { return strings.HasPrefix(f.Name, signerDir) })
}

// carriedFiles are what a backup takes of the folder: settings, the root key's
// sealed files, and the signers' folders but for the current one's state, which
// must not be put back.
func carriedFiles(dir string) ([]backup.File, error) {
	var names []string
	for _, pattern := range []string{configFile, "root*.age", "root*.json", signerDir + "/*", signerDir + ".[0-9]*/*"} {
		found, err := fs.Glob(os.DirFS(dir), pattern) // whatever signs the folder's own name has
		if err != nil {
			return nil, err
		}
		names = append(names, found...)
	}
	if config, err := ReadConfig(dir); err == nil && config.MadeUp {
		names = append(names, madeUpPassphrase) // it guards nobody
	}
	var files []backup.File
	for _, name := range names {
		if leftHere(name) {
			continue
		}
		content, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(name)))
		if errors.Is(err, os.ErrNotExist) { // replaced at this moment, or never there
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read what the backup takes: %w", err)
		}
		files = append(files, backup.File{Name: name, Content: content})
	}
	return files, nil
}

func leftHere(name string) bool {
	switch name {
	case signerDir + "/state", signerDir + "/key.next", signerDir + "/rotating", signerDir + "/confirmed":
		return true
	}
	return strings.Contains(path.Base(name), ".new") // half written
}
