package cli

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"azekura/api"
	"azekura/auditlog/check"

	"github.com/spf13/cobra"
	formats "github.com/transparency-dev/formats/note"
	"golang.org/x/mod/sumdb/note"
)

// keyFlags are the public keys that a check rests on.
type keyFlags struct {
	logs, witnesses []string
	need            int
}

func (k *keyFlags) add(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringArrayVar(&k.logs, "vkey", nil, "the log's public key, or a file of such keys, one a line")
	f.StringArrayVar(&k.witnesses, "witness", nil, "a witness's public key, or a file of such keys")
	f.IntVar(&k.need, "k", -1, "how many of the witnesses must have cosigned (all)")
	_ = cmd.MarkFlagRequired("vkey") // fails only for a flag that isn't there
}

func (k *keyFlags) keys() (check.Keys, error) {
	var keys check.Keys
	var err error
	if keys.Log, err = parseKeys(k.logs, check.ParseKey); err != nil {
		return keys, fmt.Errorf("--vkey: %w", err)
	}
	if keys.Witnesses, err = parseKeys(k.witnesses, check.ParseWitnessKey); err != nil {
		return keys, fmt.Errorf("--witness: %w", err)
	}
	names := witnessNames(keys)
	if keys.Need = k.need; k.need < 0 {
		keys.Need = names
	}
	if keys.Need > names {
		return keys, fmt.Errorf("--k %d: only %d witnesses are given", keys.Need, names)
	}
	return keys, nil
}

// witnessNames counts the witnesses, some of whom may have several keys.
func witnessNames(k check.Keys) int {
	names := map[string]bool{}
	for _, v := range k.Witnesses {
		names[v.Name()] = true
	}
	return len(names)
}

// parseKeys reads vkeys, each given as it is or in a file.
func parseKeys(given []string, parse func(string) (note.Verifier, error)) ([]note.Verifier, error) {
	var list []note.Verifier
	for _, text := range given {
		if strings.Count(text, "+") < 2 { // a vkey has two at the least
			raw, err := readBounded(text, 1<<20)
			if err != nil {
				return nil, err
			}
			text = string(raw)
		}
		for line := range strings.Lines(text) {
			if line = strings.TrimSpace(line); line == "" || strings.HasPrefix(line, "#") {
				continue
			}
			v, err := parse(line)
			if errors.Is(err, check.ErrKeyKind) { // ML-DSA-44, whose verifier the sceptic's package leaves to others
				v, err = formats.NewVerifierForCosignatureV1(line)
			}
			if err != nil {
				return nil, err
			}
			list = append(list, v)
		}
	}
	return list, nil
}

// logSource is where a log is read from: a folder, a URL, or this installation.
type logSource struct {
	app       *app
	ca        string
	anonymous bool // asks for nothing that takes a token
}

func (s *logSource) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&s.ca, "ca", "", "certificates to trust for a URL, as a PEM file, besides the system's")
	s.app.tokenFlag(cmd)
}

func (s *logSource) open(place string) (check.Source, error) {
	if !strings.Contains(place, "://") {
		if info, err := os.Stat(place); err != nil || !info.IsDir() {
			return nil, errors.Join(err, fmt.Errorf("%s: give the URL of a log, or a folder of its tiles", place))
		}
		return check.Dir(os.DirFS(place)), nil
	}
	u, err := url.Parse(place)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.User != nil {
		return nil, errors.New("the log's URL must be https://HOST[/PATH] or http://HOST[/PATH]")
	}
	token, err := s.token()
	if err != nil {
		return nil, err
	}
	if ip := net.ParseIP(u.Hostname()); token != "" && u.Scheme == "http" && (ip == nil || !ip.IsLoopback()) {
		return nil, errors.New("a session's token goes over https only")
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost = 16
	if s.ca != "" {
		raw, err := readBounded(s.ca, 1<<20)
		if err != nil {
			return nil, fmt.Errorf("read the certificates: %w", err)
		}
		roots, err := x509.SystemCertPool()
		if err != nil {
			roots = x509.NewCertPool()
		}
		if !roots.AppendCertsFromPEM(raw) {
			return nil, fmt.Errorf("%s holds no certificate", s.ca)
		}
		transport.TLSClientConfig = &tls.Config{RootCAs: roots}
	}
	return check.Web(place, &http.Client{Transport: transport, Timeout: 2 * time.Minute}, token), nil
}

// token is an auditor's, if there is one.
func (s *logSource) token() (string, error) {
	if s.anonymous || s.app.tokenFile == "" && os.Getenv("AZEKURA_TOKEN") == "" {
		return "", nil
	}
	return s.app.token()
}

// with reads a log, or if no place is given this installation's.
func (s *logSource) with(cmd *cobra.Command, place string, f func(ctx context.Context, src check.Source) error) error {
	if place != "" {
		src, err := s.open(place)
		if err != nil {
			return err
		}
		err = f(cmd.Context(), src)
		if unknown := (x509.UnknownAuthorityError{}); errors.As(err, &unknown) {
			err = fmt.Errorf("%w; --ca names a file of certificates to trust, such as the installation's own tls/cert.pem", err)
		}
		return err
	}
	token, err := s.token()
	if err != nil {
		return err
	}
	return s.app.with(cmd, func(ctx context.Context, c *api.Client) error {
		c.Token = token
		return f(ctx, c.Log())
	})
}

func (a *app) proveCommand() *cobra.Command {
	var from, out, line string
	var event int64
	src := logSource{app: a}
	cmd := &cobra.Command{
		Use:   "prove --event N [-o FILE] [--with-line FILE] [--from URL|DIR]",
		Short: "Write a proof that an event is in the log (C2SP tlog-proof)",
		Long: `prove writes a file that shows, to anybody who has the log's public key, that an event
is in the log, and under which checkpoint. The file holds hashes and signatures, and
nothing of the event but its hash. With --with-line the event itself goes into a file
of its own; that takes an auditor's session, and is recorded.

azekura log check-proof checks it, offline.`,
		Args: cobra.NoArgs,
	}
	f := cmd.Flags()
	f.Int64Var(&event, "event", -1, "the event's index")
	f.StringVarP(&out, "output", "o", "", "the proof's file, NAME.tlog-proof; standard output without it")
	f.StringVar(&line, "with-line", "", "a file for the event's line")
	f.StringVar(&from, "from", "", "another log: its URL, or a folder of its tiles")
	_ = cmd.MarkFlagRequired("event") // fails only for a flag that isn't there
	src.add(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return src.with(cmd, from, func(ctx context.Context, s check.Source) error {
			p, err := check.Prove(ctx, s, event)
			if err != nil {
				return err
			}
			if line != "" {
				entry, err := check.Entry(ctx, s, p)
				if err != nil {
					return err
				}
				if err := os.WriteFile(line, entry, 0o600); err != nil {
					return err
				}
			}
			if out == "" {
				_, err := cmd.OutOrStdout().Write(p.Format())
				return err
			}
			if err := os.WriteFile(out, p.Format(), 0o644); err != nil {
				return err
			}
			log, signers := signersOf(p.Checkpoint)
			fmt.Fprintf(cmd.OutOrStdout(), "%s proves event %d of %s. Of its witnesses there signed: %s.\n", out, event, log, orNone(signers))
			return nil
		})
	}
	return cmd
}

// signersOf are the names that stand on a checkpoint: the log's, and its witnesses'.
// Nothing is checked here.
func signersOf(checkpoint []byte) (log string, witnesses []string) {
	for line := range strings.Lines(string(checkpoint)) {
		if log == "" {
			log = strings.TrimSpace(line)
		}
		if by, ok := strings.CutPrefix(line, "\u2014 "); ok {
			if name, _, _ := strings.Cut(by, " "); name != log && !slices.Contains(witnesses, name) {
				witnesses = append(witnesses, name)
			}
		}
	}
	return log, witnesses
}

func orNone(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}

func (a *app) checkProofCommand() *cobra.Command {
	var line string
	keys := keyFlags{}
	cmd := &cobra.Command{
		Use:   "check-proof FILE --vkey KEY [--witness KEY]… [--k N] [--line FILE]",
		Short: "Check a proof, offline, with public keys alone",
		Long: `check-proof checks that the log's key, and the witnesses', have signed a head under
which the proof's entry stands. With --line it checks that the entry is that very
line; without, it knows the entry by its hash alone.`,
		Args: cobra.ExactArgs(1),
	}
	keys.add(cmd)
	cmd.Flags().StringVar(&line, "line", "", "the file of the event's line")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		k, err := keys.keys()
		if err != nil {
			return err
		}
		file, err := readBounded(args[0], check.MaxProof)
		if err != nil {
			return fmt.Errorf("read the proof: %w", err)
		}
		var entry []byte
		if line != "" {
			if entry, err = readBounded(line, 64<<10); err != nil {
				return fmt.Errorf("read the event's line: %w", err)
			}
			entry = bytes.TrimSuffix(entry, []byte("\n")) // an editor's
		}
		p, head, err := k.CheckProof(file, entry)
		if err != nil {
			return err
		}
		what := "an entry whose hash the proof carries"
		if line != "" {
			what = "the line in " + line
		}
		w := cmd.OutOrStdout()
		fmt.Fprintf(w, "The proof holds: entry %d of %s is %s, under the signed head of %d entries, root %s.\n", p.Index, head.Origin, what, head.Size, head.Root)
		writeWitnesses(w, head, k)
		return nil
	}
	return cmd
}

func readBounded(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(raw)) > limit {
		err = fmt.Errorf("%s is longer than it may be (%d bytes)", path, limit)
	}
	return raw, err
}

func writeWitnesses(w io.Writer, head check.Head, k check.Keys) {
	if len(k.Witnesses) == 0 {
		fmt.Fprintln(w, "No witness was asked for: whether others are shown the same log can't be told by this.")
		return
	}
	fmt.Fprintf(w, "Cosigned by %d of %d witnesses (%d wanted): %s.\n", len(head.Witnesses), witnessNames(k), k.Need, strings.Join(head.Witnesses, ", "))
}

func (a *app) checkLogCommand() *cobra.Command {
	var since string
	var o check.Options
	src, keys := logSource{app: a}, keyFlags{}
	cmd := &cobra.Command{
		Use:   "check URL|DIR --vkey KEY [--witness KEY]… [--k N] [--since FILE]",
		Short: "Check a whole log of anybody's, with public keys alone",
		Long: `check reads a log of C2SP tlog-tiles from a URL or a folder: the checkpoint's
signatures, all hash tiles up to the root, and all entries if they can be read, which
in an Azekura log takes an auditor's token. It needs no installation and no passphrase.
It exits with 1 and names the first file that isn't what was signed.

Where the log says at .well-known/azekura-log.json that its key was changed, or that it
continues other logs, check follows the signed statements there from the key that it was
given, the first one if you like: each names the next in the log's own history. It checks
the former logs too, and takes no head of a key that has handed on.

--since names a file with the checkpoint that was seen the last time: check proves
that the log has only grown since, and then writes the new one there. Keep it: it is
what tells a history that was rewritten.`,
		Args: cobra.ExactArgs(1),
	}
	keys.add(cmd)
	src.add(cmd)
	f := cmd.Flags()
	f.StringVar(&since, "since", "", "a file for the last checkpoint seen; made if there is none")
	f.BoolVar(&o.Entries, "entries", false, "fail if the entries can't be read")
	f.IntVar(&o.Workers, "workers", 8, "how many files are read beside each other")
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) (err error) {
		if o.Keys, err = keys.keys(); err != nil {
			return err
		}
		if since != "" {
			if o.Since, err = readBounded(since, 1<<20); err != nil && !errors.Is(err, os.ErrNotExist) {
				return fmt.Errorf("read the earlier checkpoint: %w", err)
			}
		}
		list, err := checkLogs(cmd, &src, args[0], o)
		if err != nil {
			return err
		}
		r := list[len(list)-1]
		if since != "" {
			if err := replaceFile(since, r.Signed); err != nil {
				return fmt.Errorf("keep the checkpoint: %w", err)
			}
		}
		return print(cmd, *asJSON, checkedLogs{r, list[:len(list)-1]}, func(w io.Writer) {
			for _, former := range list[:len(list)-1] {
				fmt.Fprintf(w, "The log %s, which it continues, is whole to its end: %d entries, root %s.\n", former.Origin, former.Size, former.Root)
			}
			writeChecked(w, r, o.Keys)
		})
	}
	return cmd
}

// checkedLogs is a log's report, and those of the logs that it continues.
type checkedLogs struct {
	check.Report
	Former []check.Report `json:"former,omitempty"`
}

// checkLogs checks with a bar. Whoever gives a token wants the entries checked.
func checkLogs(cmd *cobra.Command, src *logSource, place string, o check.Options) (list []check.Report, err error) {
	token, err := src.token()
	if err != nil {
		return nil, err
	}
	o.Entries = o.Entries || token != ""
	bar := newProgress(cmd.ErrOrStderr(), "checking")
	o.Progress = func(done, total int64) { bar.at(done, total, "") }
	err = src.with(cmd, place, func(ctx context.Context, s check.Source) error {
		list, err = check.Chain(ctx, s, o)
		return err
	})
	bar.end()
	if fault := (*check.Fault)(nil); errors.As(err, &fault) {
		err = fmt.Errorf("the log is NOT what was signed: %w", err)
	}
	return list, err
}

func writeChecked(w io.Writer, r check.Report, k check.Keys) {
	fmt.Fprintf(w, "The log %s is whole: %d entries under the signed head, root %s.\n", r.Origin, r.Size, r.Root)
	if r.Entries == r.Size {
		fmt.Fprintf(w, "Checked: all hash tiles (%d), and every entry.\n", r.Tiles)
	} else {
		fmt.Fprintf(w, "Checked: all hash tiles (%d), and those only: the entries can't be read here, so they weren't hashed.\n", r.Tiles)
	}
	writeWitnesses(w, r.Head, k)
	switch {
	case r.Since >= 0:
		fmt.Fprintf(w, "It has only grown since the checkpoint of %d entries that was seen before.\n", r.Since)
	default:
		fmt.Fprintln(w, "No earlier checkpoint was given: whether history was rewritten before now can't be told by this.")
	}
}

// replaceFile leaves the old file or the new one, and never a half.
func replaceFile(path string, data []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // gone already, if all went well
	_, err = f.Write(data)
	if err = errors.Join(err, f.Chmod(0o644), f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

func (a *app) exportTilesCommand() *cobra.Command {
	var from string
	var o check.Options
	src, keys := logSource{app: a}, keyFlags{}
	cmd := &cobra.Command{
		Use:   "export-tiles DIR --vkey KEY [--entries] [--from URL|DIR]",
		Short: "Write the log's checkpoint and tiles to a folder, checked",
		Long: `export-tiles writes what the log serves to a folder, under the same paths, checking
each file on the way: for azekura log check on a machine without a network, or for any
web server to serve. Entries go with it if --entries is given, which takes an auditor's
session, and is recorded.`,
		Args: cobra.ExactArgs(1),
	}
	keys.add(cmd)
	src.add(cmd)
	cmd.Flags().BoolVar(&o.Entries, "entries", false, "the entries too")
	cmd.Flags().StringVar(&from, "from", "", "another log: its URL, or a folder of its tiles")
	cmd.RunE = func(cmd *cobra.Command, args []string) (err error) {
		if o.Keys, err = keys.keys(); err != nil {
			return err
		}
		src.anonymous = !o.Entries
		o.Keep = func(path string, data []byte) error {
			if !o.Entries && strings.HasPrefix(path, "tile/entries/") {
				return nil
			}
			full := filepath.Join(args[0], filepath.FromSlash(path))
			if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
				return err
			}
			return os.WriteFile(full, data, 0o644) // the checkpoint comes last: without it there is no log
		}
		list, err := checkLogs(cmd, &src, from, o)
		if err != nil {
			return err
		}
		r := list[len(list)-1]
		fmt.Fprintf(cmd.OutOrStdout(), "%s holds the log %s: %d entries under the signed head, root %s.\n", args[0], r.Origin, r.Size, r.Root)
		return nil
	}
	return cmd
}
