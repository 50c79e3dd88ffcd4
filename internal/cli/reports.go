package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"azekura/api"
	"azekura/auditlog"
	"azekura/internal/installation"

	"github.com/spf13/cobra"
)

func (a *app) exposureCommand() *cobra.Command {
	var r api.ExposureRequest
	var since, until string
	cmd := &cobra.Command{
		Use:     "exposure (--device D | --session Z | --staff S) [--since T] [--until T] [--found DIR] [--json | --csv]",
		Short:   "Whom a device, a session or a staff member saw: person by field, beside who was found in files",
		Example: "  azekura exposure --device pc-07 --since 2026-05-08 --until 2026-05-29T12:00:00+09:00",
		Args:    cobra.NoArgs,
	}
	asJSON := jsonFlag(cmd)
	asCSV := cmd.Flags().Bool("csv", false, "print a line for each participant")
	cmd.MarkFlagsMutuallyExclusive("json", "csv")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		r.Format = "table"
		if *asJSON {
			r.Format = "json"
		}
		if *asCSV {
			r.Format = "csv"
		}
		var err error
		if r.Since, err = moment(since); err == nil {
			r.Until, err = moment(until)
		}
		if err == nil && r.Found != "" {
			r.Found, err = filepath.Abs(r.Found)
		}
		if err != nil {
			return err
		}
		return a.with(cmd, func(ctx context.Context, c *api.Client) error {
			answer, err := c.Stream(ctx, http.MethodPost, "/operator/exposure", r)
			if err != nil {
				return err
			}
			defer answer.Close()
			_, err = io.Copy(cmd.OutOrStdout(), answer)
			return err
		})
	}
	f := cmd.Flags()
	f.StringVar(&r.Device, "device", "", "the device's id")
	f.StringVar(&r.Session, "session", "", "the session's id")
	f.StringVar(&r.Staff, "staff", "", "the staff member's id")
	f.StringVar(&since, "since", "", "the first moment that counts: 2026-05-08 or 2026-05-08T10:28:00+09:00")
	f.StringVar(&until, "until", "", "the first moment that doesn't count")
	f.StringVar(&r.Found, "found", "", "the result's folder of a leak scan: who was found in files is joined with who was opened")
	f.StringVar(&r.Language, "lang", language(), "of the table: en or ja")
	f.StringVar(&r.Zone, "zone", "", "of the table's times, as in Asia/Tokyo; UTC otherwise")
	return cmd
}

// language follows the locale.
func language() string {
	for _, name := range []string{"LC_ALL", "LC_MESSAGES", "LANG"} {
		if v := os.Getenv(name); v != "" {
			if strings.HasPrefix(v, "ja") {
				return "ja"
			}
			return "en"
		}
	}
	return "en"
}

// moment reads a time, or a day as its first moment here; "" is no limit.
func moment(text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if t, err := time.Parse(time.RFC3339, text); err == nil {
		return t, nil
	}
	if t, err := time.ParseInLocation("2006-01-02", text, time.Local); err == nil {
		return t, nil
	}
	return time.Time{}, errors.New("a time is written 2026-05-08 or 2026-05-08T10:28:00+09:00")
}

func (a *app) logCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "log", Short: "Look at the audit log, verify it, prove what is in it, check anybody's"}
	head := &cobra.Command{Use: "head", Short: "Print the log's last signed head and its public key", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.with(cmd, func(ctx context.Context, c *api.Client) error {
				var h api.LogHead
				if err := c.Do(ctx, http.MethodGet, "/operator/log", nil, &h); err != nil {
					return err
				}
				fmt.Fprintf(cmd.OutOrStdout(), "%s\n%s", h.Key, h.Checkpoint)
				return nil
			})
		}}
	verify := &cobra.Command{Use: "verify", Short: "Re-hash everything against the signed head, and name the first bad event",
		Long: `verify reads every event, hashes it again, and compares the tree with the head that
the signer signed last, the stored tiles and what the tables repeat of the events.
It exits with 1 and names the first bad index if anything differs.`, Args: cobra.NoArgs}
	asJSON := jsonFlag(verify)
	verify.RunE = func(cmd *cobra.Command, _ []string) error {
		bar, start := newProgress(cmd.ErrOrStderr(), "verifying"), time.Now()
		progress := func(done, total int64) { bar.at(done, total, "") }
		var v api.Verified
		err := a.with(cmd, func(ctx context.Context, c *api.Client) (err error) {
			v, err = api.Lines[api.Verified](ctx, c, "/operator/log/verify", struct{}{}, progress)
			return err
		})
		// Such a log is opened by nothing else, and most of all wants to be looked at.
		if errors.Is(err, auditlog.ErrSigner) || errors.Is(err, auditlog.ErrAuthority) || errors.Is(err, auditlog.ErrBehindSigner) ||
			errors.Is(err, auditlog.ErrRestored) {
			v.Report, v.Earlier, err = installation.VerifyLog(cmd.Context(), a.dir, progress)
			v.Root = v.Report.Root.String()
		}
		bar.end()
		if err != nil {
			return err
		}
		if err := print(cmd, *asJSON, v, func(w io.Writer) { writeVerified(w, v, time.Since(start)) }); err != nil {
			return err
		}
		if !v.OK {
			return errors.New("the audit log isn't what was signed; see doc/operations.md, “When log verify fails”")
		}
		return nil
	}
	cmd.AddCommand(a.refillCommand())
	cmd.AddCommand(head, verify, a.alarmsCommand(), a.proveCommand(), a.checkProofCommand(), a.checkLogCommand(), a.exportTilesCommand(),
		a.freezeCommand(), a.newLogCommand(), a.rotateSignerCommand(), a.confirmCommand(),
		a.exportCommand(), a.completeCommand(), checkCompleteCommand())
	return cmd
}

func writeVerified(w io.Writer, v api.Verified, took time.Duration) {
	if v.OK {
		fmt.Fprintf(w, "The audit log is whole: %d events under the signed head, root %s (%d set events, %d tiles; %s).\n",
			v.Size, v.Root, v.Sets, v.Tiles, took.Round(time.Millisecond))
		for _, e := range v.Earlier {
			fmt.Fprintf(w, "The log before, %s, is whole: %d events.\n", e.Origin, e.Report.Size)
			if e.Lost && e.LostTo < 0 {
				fmt.Fprintf(w, "  Events from %d on may have been signed and are lost, as the log after it says.\n", e.LostFrom)
			} else if e.Lost {
				fmt.Fprintf(w, "  Its events %d to %d were signed and are lost, as the log after it says.\n", e.LostFrom, e.LostTo)
			}
		}
		return
	}
	fmt.Fprintf(w, "The audit log is NOT what was signed: %s.\n", v.Problem)
	if v.FirstBad >= 0 {
		fmt.Fprintf(w, "First bad event: %d", v.FirstBad)
		if v.BadEnd > v.FirstBad+1 {
			fmt.Fprintf(w, " or later, before %d", v.BadEnd)
		}
		fmt.Fprintln(w)
	}
	if v.More > 0 {
		fmt.Fprintf(w, "And %d further problems.\n", v.More)
	}
}
