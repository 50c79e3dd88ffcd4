package cli

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"azekura/api"
	"azekura/internal/installation"
	"azekura/leakscan"
	"azekura/leakscan/scan"
	"azekura/leakscan/sweep"

	"github.com/spf13/cobra"
)

func (a *app) leakWatchCommand() *cobra.Command {
	var index, report, passwords string
	var every time.Duration
	var once bool
	var o sweep.Options
	cmd := &cobra.Command{
		Use:   "watch DIR... --index FILE --state FILE [--report FILE] [--every 24h | --once]",
		Short: "Sweep shared folders for stray copies of the register, and raise an alarm",
		Long: `watch reads shared folders on a schedule, as a scan does, and says which files hold
people of the register, by folder and owner. A file is read again only if its size,
time, inode or first 64 KiB are others. What nobody was told of is an alarm, which
goes where alarms go (azekura alarms); it says how many, and the report says where.

A file is a stray copy from ten people at the grades A to C on: see --least.`,
		Args: cobra.MinimumNArgs(1),
	}
	asJSON := jsonFlag(cmd)
	f := cmd.Flags()
	f.StringVar(&index, "index", "", "the index's file")
	f.StringVar(&o.State, "state", "", "a file that keeps what was read, made if it isn't there")
	f.StringVar(&report, "report", "", "a file for each sweep's report, as JSON; written over by the next")
	f.StringVar(&passwords, "passwords", "", "a file with a password a line, to try on locked archives and PDFs")
	f.DurationVar(&every, "every", 24*time.Hour, "how long from sweep to sweep")
	f.BoolVar(&once, "once", false, "sweep once and end")
	f.IntVar(&o.Least, "least", sweep.DefaultLeast, "how many people make a file a stray copy")
	f.IntVar(&o.Workers, "workers", 0, "how many files and blocks are read at once; one a processor otherwise")
	_ = cmd.MarkFlagRequired("index") // the flags exist
	_ = cmd.MarkFlagRequired("state")
	cmd.MarkFlagsMutuallyExclusive("every", "once")
	cmd.RunE = func(cmd *cobra.Command, args []string) (err error) {
		if every < time.Minute {
			return errors.New("--every must be a minute at least")
		}
		if o.Passwords, err = readPasswords(passwords); err != nil {
			return err
		}
		key, err := a.leakKey(cmd, index)
		if err != nil {
			return err
		}
		o.Paths = args
		return withWorker(index, key, args, func(x *leakscan.Index, do scan.Doer) error {
			o.Do = do
			for {
				if err := a.sweepOnce(cmd, x, o, report, *asJSON); err != nil || once {
					return err
				}
				select {
				case <-time.After(every):
				case <-cmd.Context().Done():
					return cmd.Context().Err()
				}
			}
		})
	}
	return cmd
}

// sweepOnce sweeps, writes the report, and tells of what is new. Where the alarm
// can't be raised it is news for the next sweep too.
func (a *app) sweepOnce(cmd *cobra.Command, x *leakscan.Index, o sweep.Options, report string, asJSON bool) error {
	bar := newProgress(cmd.ErrOrStderr(), "sweeping")
	o.Progress = func(done, total int64) { bar.at(done, total, "") }
	r, err := sweep.Sweep(cmd.Context(), x, o)
	bar.end()
	if err != nil {
		return err
	}
	raw, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	if report != "" {
		if err := writeFile(report, func(w io.Writer) error { _, err := w.Write(raw); return err }); err != nil {
			return err
		}
	}
	if err := print(cmd, asJSON, r, func(w io.Writer) { writeSweep(w, r) }); err != nil || r.New == 0 {
		return err
	}
	err = a.with(cmd, func(ctx context.Context, c *api.Client) error {
		var raised api.LeakStrays
		s := installation.Strays{Case: x.Case(), Files: int64(r.New), People: int64(r.People()), Report: fmt.Sprintf("%x", sha256.Sum256(raw))}
		if err := c.Do(ctx, http.MethodPost, "/operator/leak/strays", s, &raised); err != nil {
			return err
		}
		fmt.Fprintf(cmd.ErrOrStderr(), "%d new: the alarm is event %d of the audit log.\n", r.New, raised.Event)
		return nil
	})
	if err != nil {
		return fmt.Errorf("raise the alarm: %w", err)
	}
	return r.Told()
}

func writeSweep(w io.Writer, r *sweep.Report) {
	fmt.Fprintf(w, "%d files, %d of them read now; %d couldn't be read or understood wholly.\n", r.Files, r.Read, r.Unread)
	if len(r.Strays) == 0 {
		fmt.Fprintln(w, "No stray copies in what was read.")
		return
	}
	fmt.Fprintf(w, "%d stray copies, %d of them new. By folder and owner (files, people by file):\n", len(r.Strays), r.New)
	for _, f := range r.Folders {
		fmt.Fprintf(w, "  %d\t%d\t%s\t%s\n", f.Files, f.People, f.Owner, f.Folder)
	}
}
