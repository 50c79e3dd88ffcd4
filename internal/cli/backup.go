package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"azekura/api"
	"azekura/internal/backup"
	"azekura/internal/installation"
	"azekura/internal/screen"

	"filippo.io/age"
	"github.com/spf13/cobra"
)

func (a *app) backupCommand() *cobra.Command {
	var out string
	var request api.BackupRequest
	cmd := &cobra.Command{
		Use:   "backup -o FILE|-",
		Short: "Write a backup of the whole installation, encrypted, while it serves",
		Long: `backup writes one file: every table as it was at one moment, the settings, the root
key's sealed files, and the log's signer without its state. It is encrypted to the
recovery and operator recipients that init was given, and to those of --to.

It goes through the running server, or opens the installation itself where none
runs. Try each kind of backup once with azekura backup rehearse.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.with(cmd, func(ctx context.Context, c *api.Client) error {
				answer, err := c.Stream(ctx, http.MethodPost, "/operator/backup", request)
				if err != nil {
					return err
				}
				defer answer.Close()
				if out == "-" {
					_, err := backup.CopyWhole(cmd.OutOrStdout(), answer)
					return err
				}
				size, err := writeWhole(out, answer)
				if err != nil {
					return err
				}
				fmt.Fprintf(cmd.OutOrStdout(), "The backup is in %s: %s bytes. azekura backup rehearse tries it.\n", out, screen.Grouped(size))
				return nil
			})
		},
	}
	cmd.Flags().StringVarP(&out, "output", "o", "", "the file to write, which must not be there yet; - is standard output")
	cmd.Flags().StringArrayVar(&request.To, "to", nil, "one more age recipient (age1…)")
	_ = cmd.MarkFlagRequired("output") // fails only for a flag that isn't there
	cmd.AddCommand(a.rehearseCommand())
	return cmd
}

// writeWhole writes a file that is there only when it is whole.
func writeWhole(path string, from io.Reader) (size int64, err error) {
	if _, err := os.Stat(path); err == nil {
		return 0, fmt.Errorf("%s is there already; a backup replaces nothing", path)
	}
	part := path + ".part"
	f, err := os.OpenFile(part, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return 0, err
	}
	size, err = backup.CopyWhole(f, from)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return 0, errors.Join(err, os.Remove(part))
	}
	if err := os.Rename(part, path); err != nil {
		return 0, err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return 0, err
	}
	return size, errors.Join(dir.Sync(), dir.Close())
}

// openBackup opens a backup's file, or standard input.
func openBackup(cmd *cobra.Command, path string) (io.ReadCloser, error) {
	if path == "-" {
		return io.NopCloser(cmd.InOrStdin()), nil
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open the backup: %w", err)
	}
	return f, nil
}

func readIdentity(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open the identity: %w", err)
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, 64<<10))
}

func (a *app) restoreCommand() *cobra.Command {
	o := installation.RestoreOptions{}
	var identity string
	cmd := &cobra.Command{
		Use:   "restore FILE --dir DIR --identity FILE [--db -] [--owner-db -]",
		Short: "Make an installation from a backup, in an empty place",
		Long: `restore makes an installation in --dir, which must be empty, and in the database of
--db, which must be empty too; either engine's backup goes into either engine. It is
done when everything is checked: what the tables hold, and the log against the
backup's signed head. Cut off before, run it again.

The restored signer signs nothing until azekura log confirm says that nothing was
recorded after the backup. If something was, see azekura log refill and azekura log
new --after-loss. If the old folder is still there and only the database is lost,
use --database-only: the signer in the folder knows what is missing.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			ask := newAsker(cmd)
			if err := errors.Join(ask.fill("URL of the database", &o.Database), ask.fill("URL of the database for its tables' owner", &o.Owner)); err != nil {
				return err
			}
			raw, err := readIdentity(identity)
			if err != nil {
				return err
			}
			if o.Identities, err = age.ParseIdentities(bytes.NewReader(raw)); err != nil {
				return errors.New("the identity's file isn't one that age-keygen makes") // it may hold a key
			}
			from, err := openBackup(cmd, args[0])
			if err != nil {
				return err
			}
			defer from.Close()
			o.Dir = a.dir
			bar, start := newProgress(cmd.ErrOrStderr(), "verifying"), time.Now()
			o.Verifying = func(done, total int64) { bar.at(done, total, "") }
			done, err := installation.Restore(cmd.Context(), from, o)
			bar.end()
			if err != nil {
				return err
			}
			w := cmd.OutOrStdout()
			if done.End.Tables == 0 {
				fmt.Fprintf(w, "Restored in %s: all but its end was done; the backup of %s, the log whole.\n", a.dir, done.Header.Created.Format(time.RFC3339))
			} else {
				fmt.Fprintf(w, "Restored in %s: the backup of %s, %s rows of %d tables; the log is whole, %s events under the signed head (%s).\n", a.dir,
					done.Header.Created.Format(time.RFC3339), screen.Grouped(done.End.Rows), done.End.Tables, screen.Grouped(done.Log.Size), time.Since(start).Round(time.Millisecond))
			}
			fmt.Fprintf(w, "Log %s, key %s. Compare both, and the head below, with what was noted elsewhere.\n%s", done.Header.Origin, done.Header.VKey, done.Header.Checkpoint)
			if done.Log.Unsigned > 0 {
				fmt.Fprintf(w, "Behind that head the backup holds %d events that weren't signed yet; log confirm signs them.\n", done.Log.Unsigned)
			}
			if !o.DatabaseOnly {
				fmt.Fprintf(w, "Next: azekura log confirm --size %d, if nothing was recorded after the backup; see doc/operations.md, “A lost machine”.\n", done.Log.Size)
			}
			return nil
		},
	}
	f := cmd.Flags()
	f.StringVar(&identity, "identity", "", "the file of the age identity of one of the backup's recipients")
	f.StringVar(&o.Database, "db", "", "a postgres:// URL of an empty database, or - to be asked for it; without it an SQLite file in the folder")
	f.StringVar(&o.Owner, "owner-db", "", "the same database's URL for the role that is to own the tables, or -; it is used now and kept nowhere")
	f.BoolVar(&o.DatabaseOnly, "database-only", false, "restore the tables alone, for the installation in --dir, whose signer and settings stay")
	_ = cmd.MarkFlagRequired("identity")
	return cmd
}

func (a *app) rehearseCommand() *cobra.Command {
	o := installation.RehearseOptions{Passphrase: a.passphrase}
	var identity string
	cmd := &cobra.Command{
		Use:   "rehearse FILE --identity FILE",
		Short: "Restore a backup into a scratch folder, verify and open a sample, and remove it",
		Long: `rehearse restores a backup into a scratch folder on SQLite, verifies the log, opens a
sample of the participants inside without showing anything, says how long it took,
and removes the folder. With the recovery identity the root key comes out of its
escrow, so that is rehearsed too; with another the passphrase is asked for.

If the installation's server runs, the rehearsal is recorded in its log.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if o.Identity, err = readIdentity(identity); err != nil {
				return err
			}
			from, err := openBackup(cmd, args[0])
			if err != nil {
				return err
			}
			defer from.Close()
			bar := newProgress(cmd.ErrOrStderr(), "verifying")
			o.Verifying = func(done, total int64) { bar.at(done, total, "") }
			done, err := installation.Rehearse(cmd.Context(), from, o)
			bar.end()
			if err != nil {
				return err
			}
			w := cmd.OutOrStdout()
			fmt.Fprintf(w, "The backup of %s restores: %s rows, the log whole with %s events, in %s; %d participants opened, in %s.\n",
				done.Header.Created.Format(time.RFC3339), screen.Grouped(done.End.Rows), screen.Grouped(done.Log.Size),
				done.RestoreTook.Round(time.Millisecond), done.Opened, done.OpenTook.Round(time.Millisecond))
			if done.ByRecovery {
				fmt.Fprintln(w, "The root key came out of its escrow.")
			}
			c, err := api.Dial(a.dir)
			if err != nil {
				fmt.Fprintln(w, "No server runs here, so no event was recorded.")
				return nil
			}
			return c.Do(cmd.Context(), http.MethodPost, "/operator/backup/rehearsed", done.Note(), nil)
		},
	}
	f := cmd.Flags()
	f.StringVar(&identity, "identity", "", "the file of the age identity of one of the backup's recipients")
	f.StringVar(&o.Scratch, "scratch", "", "where the scratch folder is made; the system's temporary folder otherwise")
	f.IntVar(&o.Sample, "sample", 100, "how many participants are opened")
	_ = cmd.MarkFlagRequired("identity")
	return cmd
}
