package cli

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"azekura/api"
	"azekura/register"

	"filippo.io/age"
	"github.com/spf13/cobra"
)

func (a *app) participantsCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "participants", Short: "Import participants, look at what was rejected, destroy one's key"}
	cmd.AddCommand(a.importCommand(), a.rejectsCommand(), a.shredCommand())
	return cmd
}

func (a *app) importCommand() *cobra.Command {
	var in api.NewImport
	var dry bool
	cmd := &cobra.Command{
		Use:   "import FILE",
		Short: "Import participants from CSV or NDJSON",
		Long: `import reads CSV (UTF-8, with or without BOM, or CP932) or NDJSON with the columns
ref, number, name, kana, romaji, birth, sex, postal_code, address, phone, email,
bank_code, branch_code, account_type, account_number, account_holder, award_kind,
award_annual_yen; ref, number, name and birth are required.

A row that can't be taken is named by row, column and reason, and goes to a file
encrypted to the operator; the rest goes on. Killed at any moment and run again, it
goes on where it was. The same file a second time changes nothing.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			path, err := filepath.Abs(args[0])
			if err != nil {
				return err
			}
			in.Path = path
			jsonOut, _ := cmd.Flags().GetBool("json")
			return a.with(cmd, func(ctx context.Context, c *api.Client) error {
				if dry {
					return a.dryRun(cmd, ctx, c, in, jsonOut)
				}
				return a.runImport(cmd, ctx, c, in, jsonOut)
			})
		},
	}
	f := cmd.Flags()
	f.BoolVar(&dry, "dry-run", false, "judge every row and write nothing")
	f.StringVar(&in.Format, "format", "auto", "auto, csv or ndjson")
	f.StringVar(&in.Encoding, "encoding", "auto", "auto, utf-8 or cp932")
	jsonFlag(cmd)
	return cmd
}

func (a *app) dryRun(cmd *cobra.Command, ctx context.Context, c *api.Client, in api.NewImport, asJSON bool) error {
	bar := newProgress(cmd.ErrOrStderr(), "judging")
	at, err := api.Lines[register.Import](ctx, c, "/operator/imports/dry-run", in, func(done, total int64) { bar.at(done, total, "") })
	bar.end()
	if err != nil {
		return err
	}
	return print(cmd, asJSON, at, func(w io.Writer) {
		fmt.Fprintf(w, "Nothing was written. %d rows: %d would be new, %d changed, %d unchanged, %d rejected.\n", at.Rows, at.Created, at.Updated, at.Unchanged, at.Rejected)
		writeRejects(w, at.Rejects)
		if n := rejectedRows(at.Rejects); n < at.Rejected {
			fmt.Fprintf(w, "These are the first %d of %d rejected rows. To see all: mend these and judge the file again, or import it, which puts every rejected row into the rejects file and leaves it out of the register.\n", n, at.Rejected)
		}
	})
}

func (a *app) runImport(cmd *cobra.Command, ctx context.Context, c *api.Client, in api.NewImport, asJSON bool) error {
	bar := newProgress(cmd.ErrOrStderr(), "importing")
	fmt.Fprintln(cmd.ErrOrStderr(), "reading the file once, to know it again")
	var at api.ImportAnswer
	err := c.Do(ctx, http.MethodPost, "/operator/imports", in, &at)
	for first := at.Rows; err == nil && !at.Finished; {
		if at.Failure != "" {
			return fmt.Errorf("%s; %d rows are in, run the import again to go on", at.Failure, at.Rows)
		}
		select {
		case <-time.After(200 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
		err = c.Do(ctx, http.MethodGet, "/operator/imports/"+at.Name, nil, &at)
		rate := float64(at.Rows-first) / time.Since(bar.start).Seconds()
		bar.at(at.Done, at.Bytes, fmt.Sprintf("%d rows, %.0f a second", at.Rows, rate))
	}
	bar.end()
	if err != nil {
		return err
	}
	rejects, err := a.someRejects(ctx, c, at)
	if err != nil {
		return err
	}
	return print(cmd, asJSON, at, func(w io.Writer) {
		fmt.Fprintf(w, "Import %s: %d rows; %d new, %d changed, %d unchanged, %d rejected.\n", at.Name, at.Rows, at.Created, at.Updated, at.Unchanged, at.Rejected)
		writeRejects(w, rejects)
		if at.RejectsFile != "" {
			fmt.Fprintf(w, "The rejected rows are in %s; azekura participants rejects reads it.\n", at.RejectsFile)
		}
	})
}

func writeRejects(w io.Writer, rejects []register.Reject) {
	for _, r := range rejects {
		fmt.Fprintf(w, "  row %d\t%s\t%s\n", r.Row, r.Column, r.Reason)
	}
}

func rejectedRows(rejects []register.Reject) (n int64) {
	last := int64(-1)
	for _, r := range rejects {
		if r.Row != last {
			n, last = n+1, r.Row
		}
	}
	return n
}

func (a *app) someRejects(ctx context.Context, c *api.Client, at api.ImportAnswer) ([]register.Reject, error) {
	if at.Rejected == 0 {
		return nil, nil
	}
	var page api.RejectsAnswer
	err := c.Do(ctx, http.MethodGet, "/operator/imports/"+url.PathEscape(at.Name)+"/rejects?limit=10", nil, &page)
	return page.Rejects, err
}

func (a *app) rejectsCommand() *cobra.Command {
	var identity string
	cmd := &cobra.Command{
		Use:   "rejects FILE",
		Short: "Decrypt a rejects file with the operator's identity",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if identity == "" {
				identity = filepath.Join(a.dir, "operator.key")
			}
			keys, err := os.Open(identity)
			if err != nil {
				return fmt.Errorf("open the operator's identity (--identity): %w", err)
			}
			defer keys.Close()
			ids, err := age.ParseIdentities(keys)
			if err != nil {
				return fmt.Errorf("read the operator's identity: %w", err)
			}
			sealed, err := os.Open(args[0])
			if err != nil {
				return err
			}
			defer sealed.Close()
			plain, err := age.Decrypt(sealed, ids...)
			if err != nil {
				return fmt.Errorf("decrypt the rejects file: %w", err)
			}
			_, err = io.Copy(cmd.OutOrStdout(), plain)
			return err
		},
	}
	cmd.Flags().StringVar(&identity, "identity", "", "the file of the operator's age identity; operator.key in the folder otherwise")
	return cmd
}

func (a *app) shredCommand() *cobra.Command {
	var r api.ShredRequest
	cmd := &cobra.Command{
		Use:   "shred --participant ID --purpose P --case C --confirm destroy --proposal ID",
		Short: "Destroy one participant's data key, for good",
		Long: `shred destroys the participant's data key. Their record can then be opened by no
one who has only this installation, and they are found no more. What backups can
still open is named. It can't be undone, and takes two people: azekura proposal draft
shred. What they approve names the participant by id.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withSession(cmd, func(ctx context.Context, c *api.Client) error {
				var done api.ShredAnswer
				if err := c.Do(ctx, http.MethodPost, "/operator/shred", r, &done); err != nil {
					return err
				}
				fmt.Fprintf(cmd.OutOrStdout(), "The data key of %s is destroyed (event %d).\n"+
					"A backup made before now still holds it, wrapped under data key epoch %d, and opens the record until that epoch's key is destroyed everywhere.\n",
					done.Participant, done.Event, done.KeyEpoch)
				if done.Remains != "" {
					fmt.Fprintf(cmd.OutOrStdout(), "Look to this: %s.\n", done.Remains)
				}
				return nil
			})
		},
	}
	whoFlags(cmd, &r.Whom, &r.Reason)
	cmd.Flags().StringVar(&r.Confirm, "confirm", "", "the word destroy")
	proposalFlag(cmd, &r.Proposal)
	a.tokenFlag(cmd)
	return cmd
}
