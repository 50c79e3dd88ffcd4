package cli

import (
	"errors"
	"fmt"
	"io"
	"os"

	"azekura/api"
	"azekura/internal/installation"

	"filippo.io/age"
	"github.com/spf13/cobra"
)

func (a *app) refillCommand() *cobra.Command {
	var from, identity string
	d := decision{}
	cmd := &cobra.Command{
		Use:   "refill --from URL|DIR --identity FILE",
		Short: "Append from a mirror what the database's log has lost",
		Long: `refill appends to a log that is behind its signer, or empty, the events, tiles and sets
that a mirror of it holds. Stop the server first. --identity is the file of the incident
key, which init wrote to incident.key; it asks for no passphrase.

All leaf hashes are held against heads that the log's key signed, against what the
database still has, and against the signer's state, before anything is written; then every
line against its hash. Killed and run again, it goes on.

It goes as far as the signer's own head, or one that a quorum of the witnesses cosigned.
What the mirror holds behind those is signed by the log's key alone, which may have been
stolen: it takes two approvers. --propose writes what they sign, --approved carries it out.

What the register itself has lost is named: the log knows that something was changed, and
not what to.`,
		Args: cobra.NoArgs,
	}
	f := cmd.Flags()
	f.StringVar(&from, "from", "", "the mirror: its witness's URL, or a folder with a copy of it")
	d.flags(cmd)
	f.StringVar(&identity, "identity", "", "the file of the incident key's age identity")
	asJSON := jsonFlag(cmd)
	_ = cmd.MarkFlagRequired("from") // these fail only for a flag that isn't there
	cmd.MarkFlagsOneRequired("identity", "propose")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if _, err := api.Dial(a.dir); err == nil {
			return errors.New("a server runs on this installation; stop it first")
		}
		if d.propose != "" {
			file, err := installation.ProposeRefill(cmd.Context(), a.dir, from, d.by, d.life)
			if err != nil {
				return err
			}
			return d.write(cmd, file)
		}
		var file []byte
		if d.approved != "" {
			var err error
			if file, err = d.read(); err != nil {
				return err
			}
		}
		keys, err := os.Open(identity)
		if err != nil {
			return fmt.Errorf("open the incident key: %w", err)
		}
		defer keys.Close()
		ids, err := age.ParseIdentities(keys)
		if err != nil {
			return fmt.Errorf("read the incident key: %w", err)
		}
		bar := newProgress(cmd.ErrOrStderr(), "refilling")
		done, err := installation.Refill(cmd.Context(), a.dir, from, ids, file, func(at, total int64) { bar.at(at, total, "") })
		bar.end()
		if err != nil {
			return err
		}
		if err := print(cmd, *asJSON, done, func(w io.Writer) { writeRefilled(w, done) }); err != nil {
			return err
		}
		if done.Unvouched > 0 {
			fmt.Fprintf(cmd.ErrOrStderr(), "The mirror holds %d more events, left out: the log's key signed them, and neither the signer's head nor a quorum of the witnesses vouches for them. Ask the witnesses' people which head they hold; if those events are right, --propose FILE writes what two approvers sign.\n", done.Unvouched)
		}
		for _, f := range done.Formers {
			if f.Missing > 0 {
				return fmt.Errorf("the mirror lacks the last %d events of the former log %d; put a backup's rows of it there", f.Missing, f.Log)
			}
		}
		if done.Missing > 0 {
			return fmt.Errorf("the mirror lacks the last %d events, too: the log is still behind its signer; see doc/operations.md, “A database behind its signer”", done.Missing)
		}
		return nil
	}
	return cmd
}

func writeRefilled(w io.Writer, r installation.Refilled) {
	for _, f := range r.Formers {
		fmt.Fprintf(w, "Of the former log %d, events %d to %d are back.\n", f.Log, f.From, f.To-1)
	}
	if r.From == r.To {
		fmt.Fprintf(w, "Nothing was appended: the database has all %d events that the mirror holds.\n", r.From)
	} else {
		fmt.Fprintf(w, "Events %d to %d are back, each held against its hash under the signed head.\n", r.From, r.To-1)
	}
	if r.Recorded >= 0 {
		fmt.Fprintf(w, "Event %d says so. Now: azekura log verify.\n", r.Recorded)
	} else if r.Missing == 0 && r.From != r.To {
		fmt.Fprintln(w, "The signer's state came out of a backup and isn't confirmed yet: azekura log confirm, if nothing was recorded after the mirror's last event.")
	}
	if len(r.Changes) == 0 && r.From == r.To {
		return
	}
	if len(r.Changes) == 0 {
		fmt.Fprintln(w, "None of them changed the register in a way that it has lost.")
		return
	}
	fmt.Fprintf(w, "The register has lost what %d of the log's events changed:\n", len(r.Changes))
	for _, c := range r.Changes {
		if c.Log != r.Log {
			fmt.Fprintf(w, "  log %d,", c.Log)
		}
		fmt.Fprintf(w, "  event %d\t%s\t%s\n", c.Event, c.Action, c.What)
	}
}
