package cli

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"

	"azekura/api"
	"azekura/internal/installation"

	"github.com/google/uuid"
	"github.com/spf13/cobra"
)

func (a *app) leakResolveCommand() *cobra.Command {
	var r api.LeakResolve
	cmd := &cobra.Command{
		Use:     "resolve DIR --purpose P --case C",
		Aliases: []string{"ref"},
		Short:   "Put the agency's own keys beside the pseudonyms of a scan's findings",
		Long: `resolve reads findings.ndjson in the folder of a scan's results and asks the gate whom
its pseudonyms stand for, 10,000 at a time; the gate writes a set event for each
time before it opens them. It writes resolved.ndjson beside it: the same lines with
"ref". Who was shredded since has none. The case must have a scan's index.`,
		Args: cobra.ExactArgs(1),
	}
	whyFlags(cmd, &r.Reason)
	a.tokenFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		from := filepath.Join(args[0], "findings.ndjson")
		ids, err := foundPeople(from)
		if err != nil {
			return err
		}
		refs := make(map[uuid.UUID]string, len(ids))
		bar := newProgress(cmd.ErrOrStderr(), "resolving")
		err = a.withSession(cmd, func(ctx context.Context, c *api.Client) error {
			for some := range slices.Chunk(ids, installation.MostResolved) {
				r.Participants = some
				var out api.LeakResolved
				if err := c.Do(ctx, http.MethodPost, "/v1/leak/resolve", r, &out); err != nil {
					return err
				}
				for _, one := range out.Resolved {
					refs[one.Participant] = one.Ref
				}
				bar.at(int64(len(refs)), int64(len(ids)), "")
			}
			return nil
		})
		bar.end()
		if err != nil {
			return err
		}
		to := filepath.Join(args[0], "resolved.ndjson")
		if err := writeFile(to, func(w io.Writer) error { return resolveLines(from, refs, w) }); err != nil {
			return err
		}
		fmt.Fprintf(cmd.OutOrStdout(), "%s: %d of %d pseudonyms have a ref.\n", to, len(refs), len(ids))
		return nil
	}
	return cmd
}

// longestFinding bounds a line of the findings: one names at most twenty places.
const longestFinding = 4 << 20

// eachFinding calls f with each line of a scan's findings.
func eachFinding(path string, f func(id uuid.UUID, line []byte) error) error {
	file, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("read the findings, which azekura leak scan -o writes: %w", err)
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	lines.Buffer(make([]byte, 1<<16), longestFinding)
	for n := 1; lines.Scan(); n++ {
		var one struct {
			Participant uuid.UUID `json:"participant"`
		}
		if err := json.Unmarshal(lines.Bytes(), &one); err != nil || one.Participant == uuid.Nil {
			return fmt.Errorf("read the findings: line %d isn't one; azekura leak scan writes them", n)
		}
		if err := f(one.Participant, lines.Bytes()); err != nil {
			return err
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("read the findings: %w", err)
	}
	return nil
}

// foundPeople lists who is in the findings, once each.
func foundPeople(path string) ([]uuid.UUID, error) {
	var ids []uuid.UUID
	seen := map[uuid.UUID]bool{}
	err := eachFinding(path, func(id uuid.UUID, _ []byte) error {
		if !seen[id] {
			seen[id] = true
			ids = append(ids, id)
		}
		return nil
	})
	if err == nil && len(ids) == 0 {
		err = errors.New("nobody is in these findings, so there is nobody to resolve")
	}
	return ids, err
}

// resolveLines writes the findings again, with a ref after the pseudonym.
func resolveLines(path string, refs map[uuid.UUID]string, w io.Writer) error {
	out := bufio.NewWriter(w)
	err := eachFinding(path, func(id uuid.UUID, line []byte) error {
		ref, ok := refs[id]
		if !ok {
			out.Write(line)
			return out.WriteByte('\n')
		}
		quoted, err := json.Marshal(ref)
		if err != nil {
			return err
		}
		// The line begins with the pseudonym, as the scan writes it.
		head, rest, _ := bytes.Cut(line, []byte(","))
		fmt.Fprintf(out, "%s,\"ref\":%s,%s\n", head, quoted, rest)
		return nil
	})
	return errors.Join(err, out.Flush())
}
