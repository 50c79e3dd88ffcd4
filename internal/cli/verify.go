package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"azekura/api"
	"azekura/auditlog"

	"github.com/spf13/cobra"
)

func (a *app) verifyCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "verify", Short: "Hold the audit log against its signed head, and the register against the log",
		Long: `verify does what log verify does, and then holds every row that grants or directs
against the log: the versions and their MACs, each change and each import's members
and their rows, the data keys and who was shredded, and the index against the values
that it was made of. It exits with 1 and names each row that was altered, added or
is gone; each is an alarm event too.`, Args: cobra.NoArgs}
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		bar, start := newProgress(cmd.ErrOrStderr(), "verifying"), time.Now()
		var v api.VerifiedAll
		err := a.with(cmd, func(ctx context.Context, c *api.Client) (err error) {
			v, err = api.Lines[api.VerifiedAll](ctx, c, "/operator/verify", struct{}{}, func(done, total int64) { bar.at(done, total, "") })
			return err
		})
		bar.end()
		if err != nil {
			return err
		}
		if err := print(cmd, *asJSON, v, func(w io.Writer) { writeVerifiedAll(w, v, time.Since(start)) }); err != nil {
			return err
		}
		if !v.OK {
			return errors.New("the database isn't what was written; see doc/operations.md, “When verify fails”")
		}
		return nil
	}
	return cmd
}

func writeVerifiedAll(w io.Writer, v api.VerifiedAll, took time.Duration) {
	writeVerified(w, v.Log, took)
	if v.Authority != "" {
		fmt.Fprintf(w, "%s.\n", v.Authority)
	}
	r := v.Register
	if r.OK {
		fmt.Fprintf(w, "The register is what the log says: %d participants, %d versions, %d changes, %d imported members, %d index rows.\n",
			r.Participants, r.Versions, r.Changes, r.Members, r.Tokens)
		return
	}
	fmt.Fprintln(w, "The register is NOT what the log says:")
	for _, p := range r.Problems {
		fmt.Fprintf(w, "  %s\n", p)
	}
	if r.More > 0 {
		fmt.Fprintf(w, "And %d further problems.\n", r.More)
	}
}

func (a *app) alarmsCommand() *cobra.Command {
	return listAt(a, "alarms", "List the rows that were found altered, added or gone", "/operator/log/alarms", func(w io.Writer, r auditlog.Raised) {
		fmt.Fprintf(w, "%s\tevent %d\t%s\t%s\t%s\n", r.Time.Format(time.RFC3339), r.Index, r.Table, r.Key, r.Kind)
	})
}

// listAt is a command that prints a list.
func listAt[T any](a *app, use, short, path string, line func(io.Writer, T)) *cobra.Command {
	cmd := &cobra.Command{Use: use, Short: short, Args: cobra.NoArgs}
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return a.with(cmd, func(ctx context.Context, c *api.Client) error {
			var list []T
			if err := c.Do(ctx, http.MethodGet, path, nil, &list); err != nil {
				return err
			}
			return print(cmd, *asJSON, list, func(w io.Writer) {
				for _, item := range list {
					line(w, item)
				}
			})
		})
	}
	return cmd
}
