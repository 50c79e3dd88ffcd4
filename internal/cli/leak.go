package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"azekura/api"
	"azekura/internal/installation"
	"azekura/leakscan"
	"azekura/leakscan/apart"
	"azekura/leakscan/scan"

	"github.com/spf13/cobra"
)

func (a *app) leakCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "leak", Short: "Say whose data is in a heap of files"}
	cmd.AddCommand(a.leakIndexCommand(), a.leakScanCommand(), a.leakWorkCommand(), a.leakWatchCommand(), a.leakStartCommand(), a.leakStatusCommand(), a.leakEvidenceCommand(), a.leakForgetCommand(), leakApartCommand(), a.leakResolveCommand(), a.leakCloseCommand())
	return cmd
}

func (a *app) leakIndexCommand() *cobra.Command {
	var r api.LeakIndexRequest
	cmd := &cobra.Command{
		Use:   "index -o FILE --purpose P --case C --confirm open --proposal ID",
		Short: "Make the index of keyed hashes that a scan looks things up in",
		Long: `index opens every participant once, in all versions, against one set event, and
writes an index of keyed hashes under a key made for the case. The file holds no
text; without the case's key it tells nothing. It takes two
people (azekura proposal draft leak-index): who has index and key can test guesses.`,
		Args: cobra.NoArgs,
	}
	cmd.Flags().StringVarP(&r.Path, "output", "o", "", "the file to write")
	cmd.Flags().StringVar(&r.Confirm, "confirm", "", "the word open")
	proposalFlag(cmd, &r.Proposal)
	whyFlags(cmd, &r.Reason)
	a.tokenFlag(cmd)
	_ = cmd.MarkFlagRequired("output") // the flag exists
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		var err error
		if r.Path, err = filepath.Abs(r.Path); err != nil {
			return err
		}
		bar := newProgress(cmd.ErrOrStderr(), "indexing")
		return a.withSession(cmd, func(ctx context.Context, c *api.Client) error {
			made, err := api.Lines[installation.LeakIndex](ctx, c, "/operator/leak/index", r, func(done, total int64) { bar.at(done, total, "") })
			bar.end()
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s: %d people of case %s in %d bytes (event %d).\n", r.Path, made.People, made.Case, made.Bytes, made.Event)
			return nil
		})
	}
	return cmd
}

func (a *app) leakCloseCommand() *cobra.Command {
	var r api.LeakCase
	cmd := &cobra.Command{
		Use: "close --case C --confirm destroy", Short: "Destroy the key of a case's index, which can't be read afterwards", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.with(cmd, func(ctx context.Context, c *api.Client) error {
				if err := c.Do(ctx, http.MethodPost, "/operator/leak/close", r, nil); err != nil {
					return err
				}
				fmt.Fprintf(cmd.OutOrStdout(), "The key of case %s is destroyed. A backup made before now still holds it.\n", r.Case)
				return nil
			})
		},
	}
	cmd.Flags().StringVar(&r.Case, "case", "", "the case's code")
	cmd.Flags().StringVar(&r.Confirm, "confirm", "", "the word destroy")
	return cmd
}

func (a *app) leakScanCommand() *cobra.Command {
	var index, out, passwords, jobs string
	var o scan.Options
	cmd := &cobra.Command{
		Use:   "scan PATH... --index FILE [-o DIR | --json]",
		Short: "Say which participants and which fields are in files, where, and how sure it is",
		Long: `scan reads files and folders and looks for the people of an index in them. It needs
the index and the case's key, which it asks the installation for against an event;
it sees pseudonyms only. PDFs are read with Debian's pdftotext, where it is installed.
The files are read in a process of its own, which opens nothing else and no socket.

With -o it writes findings.ndjson (one line a participant and field set),
ledger.ndjson (what became of every range of every file) and summary.json into a
folder, and goes on where it was if it was interrupted. What was locked then is read
again if --passwords is given. With --json it prints the
findings, otherwise the summary. With --jobs other machines share the work: see
azekura leak work.

Grades: A the number and one more field; B name and birth or address that nobody
else shares, and a third field; C likely; D a number alone; ambiguous; conflict.`,
		Args: cobra.MinimumNArgs(1),
	}
	asJSON := jsonFlag(cmd)
	cmd.Flags().StringVar(&index, "index", "", "the index's file")
	cmd.Flags().StringVarP(&out, "output", "o", "", "a folder for the results, made if it isn't there")
	cmd.Flags().StringVar(&passwords, "passwords", "", "a file with a password a line, to try on locked archives and PDFs")
	jobsFlag(cmd, &jobs)
	cmd.Flags().IntVar(&o.Workers, "workers", 0, "how many files and blocks are scanned at once; one a processor otherwise")
	_ = cmd.MarkFlagRequired("index") // the flag exists
	cmd.RunE = func(cmd *cobra.Command, args []string) (err error) {
		if o.Passwords, err = readPasswords(passwords); err != nil {
			return err
		}
		key, err := a.leakKey(cmd, index)
		if err != nil {
			return err
		}
		dir := out
		if dir == "" {
			if dir, err = os.MkdirTemp("", "azekura-found-"); err != nil {
				return fmt.Errorf("make room for the findings: %w", err)
			}
			defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
		} else if err := os.MkdirAll(dir, 0o700); err != nil {
			return err
		}
		bar := newProgress(cmd.ErrOrStderr(), "scanning")
		if o.Paths = args; jobs == "" {
			_, err = apart.Run(cmd.Context(), installation.ScanProgram(),
				apart.Order{Index: index, Key: key, Paths: o.Paths, Folder: dir, Passwords: o.Passwords, Workers: o.Workers},
				func(done, total int64) { bar.at(done, total, "") })
		} else {
			o.Progress = func(done, total int64) { bar.at(done, total, "") }
			err = withWorker(index, key, o.Paths, func(x *leakscan.Index, do scan.Doer) error {
				return spreadScan(cmd, jobs, x, o, do, func(r *scan.Result) error { return r.WriteFolder(dir) })
			})
		}
		bar.end()
		if err != nil {
			return err
		}
		return report(cmd, dir, *asJSON)
	}
	return cmd
}

// mostPasswords bounds a list: each is tried on each locked file.
const mostPasswords = 10_000

func readPasswords(path string) (list []string, err error) {
	if path == "" {
		return nil, nil
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the passwords: %w", err)
	}
	for line := range strings.Lines(string(raw)) {
		if line = strings.TrimRight(line, "\r\n"); line != "" {
			list = append(list, line)
		}
	}
	if len(list) > mostPasswords {
		return nil, fmt.Errorf("the file has %d passwords; at most %d are tried", len(list), mostPasswords)
	}
	return list, nil
}

// leakKey asks for the key of the case that an index is of.
func (a *app) leakKey(cmd *cobra.Command, path string) ([]byte, error) {
	name, err := leakscan.CaseOf(path)
	if err != nil {
		return nil, err
	}
	var key api.LeakKey
	err = a.with(cmd, func(ctx context.Context, c *api.Client) error {
		return c.Do(ctx, http.MethodPost, "/operator/leak/key", api.LeakCase{Case: name}, &key)
	})
	return key.Key, err
}

// withWorker opens an index, and has a process of its own read files with it: those
// under the paths, or any if there are none.
func withWorker(index string, key []byte, paths []string, do func(*leakscan.Index, scan.Doer) error) error {
	keys, err := leakscan.NewKeys(key)
	if err != nil {
		return err
	}
	x, err := leakscan.Open(index, keys)
	if err != nil {
		return err
	}
	w := apart.Worker{Program: installation.ScanProgram(), Order: apart.Order{Index: index, Key: key, Paths: paths}}
	return errors.Join(do(x, w.Do), w.Close(), x.Close())
}

// report prints what a scan wrote into a folder.
func report(cmd *cobra.Command, dir string, asJSON bool) error {
	if asJSON {
		file, err := os.Open(filepath.Join(dir, scan.FindingsFile))
		if err != nil {
			return fmt.Errorf("read the findings: %w", err)
		}
		_, err = io.Copy(cmd.OutOrStdout(), file)
		return errors.Join(err, file.Close())
	}
	raw, err := os.ReadFile(filepath.Join(dir, scan.SummaryFile))
	if err != nil {
		return fmt.Errorf("read what was found: %w", err)
	}
	var s scan.Summary
	if err := json.Unmarshal(raw, &s); err != nil {
		return fmt.Errorf("read what was found: %w", err)
	}
	return print(cmd, false, nil, func(w io.Writer) { summarise(w, &s) })
}

func writeFile(path string, write func(io.Writer) error) error {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	return errors.Join(write(file), file.Close())
}

func summarise(w io.Writer, s *scan.Summary) {
	people := 0
	for _, n := range s.People {
		people += n
	}
	fmt.Fprintf(w, "Case %s: %d of %d people are in these files.\n", s.Case, people, s.Indexed)
	for _, g := range slices.Sorted(maps.Keys(s.People)) {
		fmt.Fprintf(w, "  %s\t%d\n", g, s.People[g])
	}
	if s.Expected >= 0.005 {
		fmt.Fprintf(w, "Of ten-digit numbers, chance makes about %.2f somebody's.\n", s.Expected)
	}
	if len(s.Combinations) > 0 {
		fmt.Fprintln(w, "People by the fields that were found (A to C):")
	}
	for _, c := range s.Combinations {
		fmt.Fprintf(w, "  %d\t%s\n", c.People, c.Fields)
	}
	fmt.Fprintln(w, "What was read, as files or in them (the ledger says which):")
	for _, state := range slices.Sorted(maps.Keys(s.Coverage)) {
		fmt.Fprintf(w, "  %s\t%d\n", state, s.Coverage[state])
	}
}
