package cli

import (
	"context"
	"errors"
	"fmt"

	"azekura/internal/db"
	"azekura/leakscan"
	"azekura/leakscan/scan"
	"azekura/leakscan/spread"

	"github.com/spf13/cobra"
)

func (a *app) leakWorkCommand() *cobra.Command {
	var index, url string
	var o spread.Options
	cmd := &cobra.Command{
		Use:   "work [PATH...] --jobs DB --index FILE",
		Short: "Do shares of scans that others began with --jobs, until interrupted",
		Long: `work takes shares of a scan out of a database that azekura leak scan --jobs fills:
a PostgreSQL database of its own, or on one machine an SQLite file, and never the
installation's. Begin it as often as there are machines; each must see the files under
the same paths, and have the index. Kill it when you like: its share is done by another.

Files are read in a process of its own, which opens no socket and writes nothing but
temporary files. Say where the scan's files lie, and it can read nothing else.`,
	}
	cmd.Flags().StringVar(&index, "index", "", "the index's file")
	jobsFlag(cmd, &url)
	cmd.Flags().IntVar(&o.Workers, "workers", 0, "how many blocks are scanned at once; one a processor otherwise")
	_ = cmd.MarkFlagRequired("index") // the flags exist
	_ = cmd.MarkFlagRequired("jobs")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		key, err := a.leakKey(cmd, index)
		if err != nil {
			return err
		}
		o.Tell = func(err error) { fmt.Fprintln(cmd.ErrOrStderr(), err) }
		return withWorker(index, key, args, func(x *leakscan.Index, do scan.Doer) error {
			o.Do = do
			return withJobs(cmd.Context(), url, func(d db.DB) error { return spread.Work(cmd.Context(), d, x, o) })
		})
	}
	return cmd
}

func jobsFlag(cmd *cobra.Command, url *string) {
	cmd.Flags().StringVar(url, "jobs", "", "the database that workers share: a postgres:// URL without a password (PGPASSFILE holds that), or an SQLite file's path")
}

func withJobs(ctx context.Context, url string, f func(db.DB) error) error {
	d, err := db.Open(ctx, url)
	if err != nil {
		return fmt.Errorf("open the workers' database: %w", err)
	}
	return errors.Join(f(d), d.Close())
}

// spreadScan scans with whatever workers share the database.
func spreadScan(cmd *cobra.Command, url string, x *leakscan.Index, o scan.Options, do scan.Doer, use func(*scan.Result) error) error {
	tell := func(err error) { fmt.Fprintln(cmd.ErrOrStderr(), err) }
	return withJobs(cmd.Context(), url, func(d db.DB) error {
		return spread.Run(cmd.Context(), d, x, o, spread.Options{Do: do, Tell: tell}, use)
	})
}
