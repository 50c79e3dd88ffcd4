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

	"azekura/api"
	"azekura/auditlog/complete"

	"github.com/spf13/cobra"
	"golang.org/x/mod/sumdb/note"
)

func (a *app) exportCommand() *cobra.Command {
	var r api.ExportRequest
	var since, until, output string
	cmd := &cobra.Command{
		Use:   "export --format ocsf|fhir|csv [--since T] [--until T] [-o FILE]",
		Short: "Hand the log's events on as OCSF, FHIR AuditEvents or CSV, for an auditor",
		Long: `export writes the audit log's events in a form that other systems read: OCSF 1.3
(class 6005, Datastore Activity), FHIR R4 AuditEvents after the IHE BALP profiles,
both a JSON object a line, or CSV. They hold pseudonyms and codes, no personal data.

It takes an auditor's session. The export is itself an event, recorded before the
first byte goes out, with its format, range and count.`,
		Example: "  azekura log export --format fhir --since 2026-05-08 --until 2026-06-01 -o may.ndjson --token-file auditor.token",
		Args:    cobra.NoArgs,
	}
	cmd.RunE = func(cmd *cobra.Command, _ []string) (err error) {
		if r.Since, err = moment(since); err == nil {
			r.Until, err = moment(until)
		}
		if err != nil {
			return err
		}
		return a.withSession(cmd, func(ctx context.Context, c *api.Client) error {
			rows, body, err := c.Export(ctx, r)
			if err != nil {
				return err
			}
			defer body.Close()
			got := &rowCounter{csv: r.Format == "csv"}
			if err := writeOut(cmd, output, func(w io.Writer) error {
				_, err := io.Copy(io.MultiWriter(w, got), body)
				if n := got.rows(); err == nil && n != rows {
					err = fmt.Errorf("the export ended after %d of %d rows; the server's log says why", n, rows)
				}
				return err
			}); err != nil {
				return err
			}
			fmt.Fprintf(cmd.ErrOrStderr(), "%d rows\n", rows)
			return nil
		})
	}
	f := cmd.Flags()
	f.StringVar(&r.Format, "format", "", "ocsf, fhir or csv")
	f.StringVar(&since, "since", "", "the first moment that counts: 2026-05-08 or 2026-05-08T10:28:00+09:00")
	f.StringVar(&until, "until", "", "the first moment that doesn't count")
	f.Int64Var(&r.Log, "log", 0, "the number of a log that the present one continues; 0 is the present one")
	f.StringVar(&r.Participant, "participant", "", "only events of this participant, by pseudonym")
	f.StringVar(&r.Session, "session", "", "only events of this session")
	f.StringVar(&r.Staff, "staff", "", "only events of this staff member")
	f.BoolVar(&r.ExpandSets, "expand-sets", false, "a row for each member of a set event too")
	f.StringVarP(&output, "output", "o", "-", "the file to write, or - for standard output")
	_ = cmd.MarkFlagRequired("format") // fails only for a flag that isn't there
	a.tokenFlag(cmd)
	return cmd
}

// rowCounter counts an export's rows: lines outside quotes, without CSV's header.
type rowCounter struct {
	csv    bool
	quoted bool
	lines  int64
}

func (c *rowCounter) Write(b []byte) (int, error) {
	if !c.csv {
		c.lines += int64(bytes.Count(b, []byte{'\n'}))
		return len(b), nil
	}
	for _, char := range b {
		switch {
		case char == '"':
			c.quoted = !c.quoted
		case char == '\n' && !c.quoted:
			c.lines++
		}
	}
	return len(b), nil
}

func (c *rowCounter) rows() int64 {
	if c.csv {
		return c.lines - 1
	}
	return c.lines
}

// writeOut writes a file that is there whole or not at all; "-" is standard output.
func writeOut(cmd *cobra.Command, path string, write func(io.Writer) error) error {
	if path == "-" {
		return write(cmd.OutOrStdout())
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".azekura-")
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	defer os.Remove(f.Name()) // gone by its new name, if all went well
	if err := errors.Join(write(f), f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

func (a *app) completeCommand() *cobra.Command {
	var r api.CompleteRequest
	var output string
	cmd := &cobra.Command{
		Use:   "complete (--participant P | --session Z) [--from DAY] [--to DAY] [-o FILE]",
		Short: "Prove that nothing of a participant's or a session's is missing",
		Long: `complete writes a proof that between two days the events of one participant, by
pseudonym, or of one session are those that it holds and no others. It rests on the
daily roots over sequence numbers, which the log records once a day has ended (UTC):
today isn't covered. azekura log check-complete checks it with the log's public key
alone. Set events number none of their members: a participant's proof brings those
that hold them, and doesn't prove that these are all.

It takes an auditor's session, and is an event.`,
		Example: "  azekura log complete --participant 01a203df-7bd7-79c3-90cc-ebb5cef27045 --from 2026-05-08 -o proof --token-file auditor.token",
		Args:    cobra.NoArgs,
	}
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return a.withSession(cmd, func(ctx context.Context, c *api.Client) error {
			body, err := c.Stream(ctx, http.MethodPost, "/v1/log/complete", r)
			if err != nil {
				return err
			}
			defer body.Close()
			return writeOut(cmd, output, func(w io.Writer) error {
				last := &tail{}
				if _, err := io.Copy(io.MultiWriter(w, last), body); err != nil {
					return err
				}
				return last.end()
			})
		})
	}
	f := cmd.Flags()
	f.Int64Var(&r.Log, "log", 0, "the number of a log that the present one continues; 0 is the present one")
	f.StringVar(&r.Participant, "participant", "", "the participant's pseudonym")
	f.StringVar(&r.Session, "session", "", "the session's id")
	f.StringVar(&r.From, "from", "", "the first day, as 2026-05-08 (UTC); the log's first otherwise")
	f.StringVar(&r.To, "to", "", "the last day; the last that is over otherwise")
	f.StringVarP(&output, "output", "o", "-", "the file to write, or - for standard output")
	cmd.MarkFlagsOneRequired("participant", "session")
	cmd.MarkFlagsMutuallyExclusive("participant", "session")
	a.tokenFlag(cmd)
	return cmd
}

// tail keeps the last of what is written, which says whether a proof is whole.
type tail struct{ text []byte }

func (t *tail) Write(b []byte) (int, error) {
	t.text = append(t.text, b...)
	if over := len(t.text) - 4096; over > 0 {
		t.text = t.text[over:]
	}
	return len(b), nil
}

func (t *tail) end() error {
	lines := bytes.Split(bytes.TrimSpace(t.text), []byte("\n"))
	last := lines[len(lines)-1]
	if bytes.HasPrefix(last, []byte(`{"end":`)) {
		return nil
	}
	if reason, ok := bytes.CutPrefix(last, []byte(`{"error":"`)); ok {
		return errors.New(string(bytes.TrimSuffix(reason, []byte(`"}`))))
	}
	return errors.New("the server's answer ends too early: no proof was written")
}

func checkCompleteCommand() *cobra.Command {
	var vkeys []string
	var show bool
	cmd := &cobra.Command{
		Use:   "check-complete FILE --vkey KEY",
		Short: "Check a proof that nothing is missing, offline, with the log's public key",
		Long: `check-complete checks a proof of azekura log complete. It needs no installation and no
network: the file and the log's public key (azekura log head prints it) are all it
trusts. It exits with 1 if anything is missing, given twice or altered.`,
		Example: "  azekura log check-complete proof --vkey log.example.go.jp/azekura+5f2c1a9e+AQ…",
		Args:    cobra.ExactArgs(1),
	}
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		var keys []note.Verifier
		for _, vkey := range vkeys {
			key, err := note.NewVerifier(vkey)
			if err != nil {
				return fmt.Errorf("read the log's public key (--vkey): %w", err)
			}
			keys = append(keys, key)
		}
		f, err := os.Open(args[0])
		if err != nil {
			return err
		}
		defer f.Close()
		var each func(int64, string) error
		if show {
			each = func(_ int64, line string) error {
				_, err := fmt.Fprintln(cmd.OutOrStdout(), line)
				return err
			}
		}
		r, err := complete.Check(f, keys, each)
		if err != nil {
			return err
		}
		return print(cmd, *asJSON, r, func(w io.Writer) { writeComplete(w, &r) })
	}
	cmd.Flags().StringArrayVar(&vkeys, "vkey", nil, "the log's public key, as a vkey; more than one where the key was changed")
	cmd.Flags().BoolVar(&show, "events", false, "print the events' lines, once each is checked")
	_ = cmd.MarkFlagRequired("vkey") // fails only for a flag that isn't there
	return cmd
}

func writeComplete(w io.Writer, r *complete.Result) {
	fmt.Fprintf(w, "Nothing is missing: %s %s has %d events from %s to %s (UTC), events %d to %d of the log %s.\n",
		r.Subject.Kind, r.Subject.ID, r.Events, r.FirstDay, r.LastDay, r.From, r.To-1, r.Origin)
	if r.Events > 0 {
		fmt.Fprintf(w, "They are numbered %d to %d without a gap.\n", r.First, r.Last)
	}
	if !r.FromOutset {
		fmt.Fprintf(w, "What came before event %d isn't covered.\n", r.From)
	}
	if r.Subject.Kind == complete.Participant {
		fmt.Fprintf(w, "%d set events hold the participant, each proved by itself; that these are all isn't proved.\n", r.Sets)
	}
	fmt.Fprintf(w, "It stands on the signed head of %d events; what came after event %d isn't covered.\n", r.Size, r.To-1)
}
