package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"time"

	"azekura/api"
	"azekura/internal/installation"
	"azekura/leakscan/apart"

	"github.com/google/uuid"
	"github.com/spf13/cobra"
)

// leakApartCommand is the process of its own in which scans read files.
func leakApartCommand() *cobra.Command {
	return &cobra.Command{Use: "apart", Short: "Scan for another process, which says what through a pipe", Hidden: true, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return apart.Main(cmd.Context(), cmd.InOrStdin(), cmd.OutOrStdout())
		}}
}

func (a *app) leakStartCommand() *cobra.Command {
	var o installation.LeakScanOrder
	var wait bool
	var passwords string
	cmd := &cobra.Command{Use: "start PATH --index FILE [--passwords FILE] [--wait]", Short: "Have the server scan a path, in a process of its own",
		Long: `start has the running server scan a file or folder on its machine. The scan goes on
after a restart. leak status says how far it is, leak evidence shows what is behind it.`, Args: cobra.ExactArgs(1)}
	cmd.Flags().StringVar(&o.Index, "index", "", "the index's file")
	cmd.Flags().StringVar(&passwords, "passwords", "", "a file with a password a line, to try on locked archives and PDFs")
	cmd.Flags().BoolVar(&wait, "wait", false, "wait until it is done")
	_ = cmd.MarkFlagRequired("index") // the flag exists
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		var err error
		if o.Index, err = filepath.Abs(o.Index); err == nil {
			o.Path, err = filepath.Abs(args[0])
		}
		if err == nil {
			o.Passwords, err = readPasswords(passwords)
		}
		if err != nil {
			return err
		}
		return a.with(cmd, func(ctx context.Context, c *api.Client) error {
			var s installation.LeakScan
			if err := c.Do(ctx, http.MethodPost, "/operator/leak/scans", o, &s); err != nil {
				return err
			}
			fmt.Fprintln(cmd.OutOrStdout(), s.ID)
			bar := newProgress(cmd.ErrOrStderr(), "scanning")
			defer bar.end()
			for wait && s.State == "begun" {
				select {
				case <-time.After(200 * time.Millisecond):
				case <-ctx.Done():
					return ctx.Err()
				}
				if err := c.Do(ctx, http.MethodGet, "/operator/leak/scans/"+s.ID, nil, &s); err != nil {
					return err
				}
				bar.at(s.Done, s.Total, "")
			}
			if s.State == "failed" {
				return errors.New(s.Problem)
			}
			return nil
		})
	}
	return cmd
}

func (a *app) leakStatusCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "status ID", Short: "How far a scan of the server's is, and what it found", Args: cobra.ExactArgs(1)}
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return a.with(cmd, func(ctx context.Context, c *api.Client) error {
			var s installation.LeakScan
			if err := c.Do(ctx, http.MethodGet, "/operator/leak/scans/"+args[0], nil, &s); err != nil {
				return err
			}
			return print(cmd, *asJSON, s, func(w io.Writer) {
				fmt.Fprintf(w, "%s: %d of %d bytes. %s\n", s.State, s.Done, s.Total, s.Problem)
				if s.Summary != nil {
					summarise(w, s.Summary)
				}
			})
		})
	}
	return cmd
}

func (a *app) leakForgetCommand() *cobra.Command {
	return &cobra.Command{Use: "forget ID", Short: "Remove all that the server keeps of a scan: its findings, and the file that came with it",
		Long: `Remove what the server keeps of a scan that has ended: its findings, and the file that
came with the request. Take what you need of it before, as a source of exposure say
(azekura exposure --found). Files that were scanned where they lay stay there.`,
		Args: cobra.ExactArgs(1), RunE: func(cmd *cobra.Command, args []string) error {
			return a.with(cmd, func(ctx context.Context, c *api.Client) error {
				if err := c.Do(ctx, http.MethodPost, "/operator/leak/forget", api.LeakScanName{ID: args[0]}, nil); err != nil {
					return err
				}
				fmt.Fprintf(cmd.OutOrStdout(), "The server keeps nothing of scan %s any more but its events in the log.\n", args[0])
				return nil
			})
		}}
}

func (a *app) leakEvidenceCommand() *cobra.Command {
	var r api.LeakEvidenceRequest
	cmd := &cobra.Command{Use: "evidence ID PARTICIPANT [--line N] [--evidence N] --purpose P --case C",
		Short: "Show the text behind a finding of the server's: an opening, which is logged before",
		Args:  cobra.ExactArgs(2)}
	cmd.Flags().IntVar(&r.Line, "line", 0, "which of the participant's lines in the findings")
	cmd.Flags().IntVar(&r.Evidence, "evidence", 0, "which of the line's pieces of evidence")
	whyFlags(cmd, &r.Reason)
	a.tokenFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) (err error) {
		r.Scan = args[0]
		if r.Participant, err = uuid.Parse(args[1]); err != nil {
			return errors.New("a participant's pseudonym is a UUID, as the findings have it")
		}
		return a.withSession(cmd, func(ctx context.Context, c *api.Client) error {
			var out api.LeakText
			if err := c.Do(ctx, http.MethodPost, "/v1/leak/evidence", r, &out); err != nil {
				return err
			}
			_, err := io.WriteString(cmd.OutOrStdout(), out.Text)
			return err
		})
	}
	return cmd
}
