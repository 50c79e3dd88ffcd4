package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	"azekura/api"
	"azekura/internal/installation"
	"azekura/keyring/root"
	"azekura/keyring/rotation"

	"github.com/spf13/cobra"
)

func (a *app) keysCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "keys", Short: "List the keys, and change them"}
	rotate := &cobra.Command{
		Use:   "rotate",
		Short: "Change a key, while the register is in use",
		Long: `rotate changes the root key, the data key or the index key, and destroys the old
one at the end. Reads, searches, changes and imports go on meanwhile. Killed at any
moment, it goes on where it was when the installation is next opened. It takes two
people: azekura proposal draft rotate-data, or -index, or -root.

A new key protects from who knows the old one, as far as they haven't copied what
was under it; see doc/operations.md. Backups hold keys of their own.`,
	}
	rotate.AddCommand(a.rotateRootCommand(),
		a.rotateCommand("data", "Wrap every participant's data key under a new data key", "re-wrapping"),
		a.rotateCommand("index", "Make every index token anew under a new index key", "indexing"))
	rotate.RunE = group
	cmd.AddCommand(a.keysListCommand(), rotate)
	return cmd
}

func (a *app) keysListCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "list", Short: "List the keys, their ages, and what is under each", Args: cobra.NoArgs}
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return a.with(cmd, func(ctx context.Context, c *api.Client) error {
			var keys rotation.Keys
			if err := c.Do(ctx, http.MethodGet, "/operator/keys", nil, &keys); err != nil {
				return err
			}
			return print(cmd, *asJSON, keys, func(w io.Writer) { writeKeys(w, keys) })
		})
	}
	return cmd
}

func writeKeys(w io.Writer, keys rotation.Keys) {
	copied := "no recovery copy in the folder"
	if keys.Root.Recovery {
		copied = "a recovery copy in the folder"
	}
	fmt.Fprintf(w, "root\t\t%s\t%s\t%s\n", keys.Root.Kind, keys.Root.ID, copied)
	for _, k := range keys.Keys {
		rows := ""
		if k.Rows != nil {
			rows = fmt.Sprintf("%d rows", *k.Rows)
		}
		fmt.Fprintf(w, "%s\t%d\t%s\t%s, %d days old\t%s\n", k.Domain, k.Epoch, k.Use, k.Created.Format(time.RFC3339),
			int(time.Since(k.Created).Hours()/24), rows)
	}
	if at := keys.Rotation; at != nil {
		fmt.Fprintf(w, "The %s key is being changed from epoch %d to %d: %s, %d of %d participants.\n", at.Kind, at.From, at.To, at.Stage, at.Done, at.Total)
		if at.Failure != "" {
			fmt.Fprintf(w, "It stopped: %s. azekura keys rotate %s goes on.\n", at.Failure, at.Kind)
		}
	}
}

func confirmFlag(cmd *cobra.Command, into *string) {
	cmd.Flags().StringVar(into, "confirm", "", "the word destroy: the old key is destroyed at the end")
}

func (a *app) rotateCommand(kind, short, doing string) *cobra.Command {
	in := api.NewRotation{Kind: kind}
	cmd := &cobra.Command{Use: kind + " --confirm destroy --proposal ID", Short: short, Args: cobra.NoArgs}
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return a.with(cmd, func(ctx context.Context, c *api.Client) error {
			var begun api.RotationAnswer
			if err := c.Do(ctx, http.MethodPost, "/operator/keys/rotate", in, &begun); err != nil {
				return err
			}
			at, err := a.awaitRotation(cmd, ctx, c, *begun.Rotation, doing)
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "The %s key is of epoch %d now; epoch %d's is destroyed. %d participants, in %s.\n", kind, at.To, at.From, at.Done,
				at.Ended.Sub(at.Started).Round(time.Second))
			return nil
		})
	}
	confirmFlag(cmd, &in.Confirm)
	proposalFlag(cmd, &in.Proposal)
	return cmd
}

func (a *app) awaitRotation(cmd *cobra.Command, ctx context.Context, c *api.Client, at rotation.Rotation, doing string) (rotation.Rotation, error) {
	bar := newProgress(cmd.ErrOrStderr(), doing)
	defer bar.end()
	for first := at.Done; !at.Finished; {
		select {
		case <-time.After(200 * time.Millisecond):
		case <-ctx.Done():
			return at, fmt.Errorf("it goes on by itself when the installation is next opened: %w", ctx.Err())
		}
		if err := c.Do(ctx, http.MethodGet, fmt.Sprint("/operator/keys/rotations/", at.ID), nil, &at); err != nil {
			return at, err
		}
		if at.Failure != "" {
			return at, errors.New(at.Failure)
		}
		bar.at(at.Done, at.Total, fmt.Sprintf("%s, %.0f participants a second", at.Stage, float64(at.Done-first)/time.Since(bar.start).Seconds()))
	}
	return at, nil
}

func (a *app) rotateRootCommand() *cobra.Command {
	in := api.NewRotation{Kind: "root"}
	var transit, file string
	var toFile bool
	cmd := &cobra.Command{
		Use:   "root --confirm destroy --proposal ID",
		Short: "Put the keys under a new root key, or move it to a KMS or to a file",
		Long: `root makes a new root key under a passphrase, the old one or another: it is asked
for, or taken from the file that --passphrase-file or else AZEKURA_PASSPHRASE_FILE
names. --recovery escrows it anew; the old recovery copy opens only backups that are
as old.

With --transit the root key moves to a KMS, with --to-file from a KMS to a file. A
root key that is at a KMS and stays there isn't made here: tell the KMS to rotate
its key first, and this command wraps the keys under its newest version.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			config, err := installation.ReadConfig(a.dir)
			if err != nil {
				return err
			}
			switch {
			case transit != "":
				err = readJSON(transit, &in.Transit)
			case toFile || config.Root.Kind == root.KindFile:
				in.Passphrase, err = a.newPassphrase(file)
			}
			if err != nil {
				return err
			}
			return a.with(cmd, func(ctx context.Context, c *api.Client) error {
				var done api.RotationAnswer
				if err := c.Do(ctx, http.MethodPost, "/operator/keys/rotate", in, &done); err != nil {
					return err
				}
				fmt.Fprintf(cmd.OutOrStdout(), "The root key is %s now and wraps %d keys. %s is destroyed here; backups that are older still need it.\n",
					done.Root.To, done.Root.Keys, done.Root.From)
				return nil
			})
		},
	}
	f := cmd.Flags()
	f.StringVar(&file, "passphrase-file", "", "a file (mode 600) whose first line is the new root key's passphrase")
	f.StringVar(&in.Recovery, "recovery", "", "an age recipient (age1…) that the new root key is escrowed to")
	f.BoolVar(&in.NoRecovery, "no-recovery", false, "there is to be no recovery copy")
	f.StringVar(&transit, "transit", "", "a JSON file with a remote KMS's settings, to which the root key moves")
	f.BoolVar(&toFile, "to-file", false, "move the root key from a KMS to a file")
	cmd.MarkFlagsMutuallyExclusive("recovery", "no-recovery")
	cmd.MarkFlagsMutuallyExclusive("transit", "to-file")
	confirmFlag(cmd, &in.Confirm)
	proposalFlag(cmd, &in.Proposal)
	return cmd
}

// newPassphrase is the new root key's. A made-up installation keeps the one that
// lies beside it.
func (a *app) newPassphrase(file string) (string, error) {
	if p, ok := installation.MadeUpPassphrase(a.dir); ok {
		return string(p), nil
	}
	p, err := root.NewPassphrase("The new root key's passphrase", file)
	defer clear(p)
	return string(p), err
}

func readJSON(path string, into any) error {
	raw, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(raw, into)
	}
	if err != nil {
		return fmt.Errorf("read the KMS's settings: %w", err)
	}
	return nil
}
