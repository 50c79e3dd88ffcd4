package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"azekura/api"
	"azekura/internal/installation"
	"azekura/witness"
	"azekura/witness/client"

	"github.com/spf13/cobra"
)

// witnessDir is the flag of a witness's own folder, which is no installation's.
func witnessDir(cmd *cobra.Command) *string {
	dir := os.Getenv("AZEKURA_WITNESS_DIR")
	if dir == "" {
		dir = "azekura-witness"
	}
	return cmd.Flags().String("dir", dir, "the witness's folder (AZEKURA_WITNESS_DIR)")
}

func (a *app) witnessCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "witness", Short: "Be a witness of logs, or choose who cosigns this one",
		Long: `A witness cosigns the heads of logs that it was told of, and only those that extend
what it cosigned before. init, serve, add-log, follow and heads are for whoever runs one, in a
folder of its own: best on another's machine. trust, forget and status are for an
installation whose log is to be cosigned.`}
	cmd.AddCommand(witnessInit(), witnessServe(), witnessAddLog(), witnessFollow(), witnessHeads(), a.witnessTrust(), a.witnessForget(), a.witnessStatus())
	return cmd
}

func witnessInit() *cobra.Command {
	cmd := &cobra.Command{Use: "init --name NAME", Short: "Make a witness: its key and its folder", Args: cobra.NoArgs}
	dir := witnessDir(cmd)
	name := cmd.Flags().String("name", "", "the witness's name in its key, such as witness.example.org/w1")
	mldsa := cmd.Flags().Bool("ml-dsa", false, "make an ML-DSA-44 key as well, and cosign with both")
	_ = cmd.MarkFlagRequired("name") // fails only for a flag that isn't there
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := witness.Create(*dir, *name, *mldsa); err != nil {
			return err
		}
		keys, err := witness.ReadKeys(*dir)
		if err != nil {
			return err
		}
		fmt.Fprintf(cmd.OutOrStdout(), "A witness is in %s. Its public key:\n%s\n", *dir, strings.Join(keys, "\n"))
		return nil
	}
	return cmd
}

func witnessServe() *cobra.Command {
	cmd := &cobra.Command{Use: "serve", Short: "Answer logs that ask for cosignatures (C2SP tlog-witness)", Args: cobra.NoArgs}
	dir := witnessDir(cmd)
	f := cmd.Flags()
	address := f.String("listen", "127.0.0.1:7443", "host and port")
	cert := f.String("tls-cert", "", "the certificate's file; without it plain HTTP, for a proxy before it or a test")
	key := f.String("tls-key", "", "the certificate's key")
	cmd.MarkFlagsRequiredTogether("tls-cert", "tls-key")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		w, err := witness.Open(*dir)
		if err != nil {
			return err
		}
		defer w.Close()
		l, err := net.Listen("tcp", *address)
		if err != nil {
			return fmt.Errorf("listen for logs: %w", err)
		}
		scheme := "http"
		if *cert != "" {
			scheme = "https"
		}
		fmt.Fprintf(cmd.OutOrStdout(), "witness %s answers at %s://%s\n", w.Name, scheme, l.Addr())
		return w.Serve(cmd.Context(), l, *cert, *key, func(err error) { fmt.Fprintln(cmd.ErrOrStderr(), "azekura: witness:", err) })
	}
	return cmd
}

func witnessAddLog() *cobra.Command {
	var l witness.LogSettings
	cmd := &cobra.Command{Use: "add-log --vkey VKEY [--origin ORIGIN] [--mirror]", Short: "Tell a witness of a log, of a further key of it, or to mirror it",
		Long: `add-log lets the witness cosign a log's heads. A running witness sees it at once. For a
log that it knows already it adds a key.

When the log's key is changed, or the log is frozen and goes on in the next, the log names
who follows in its own history, under a head that this witness cosigns, and the witness
follows by itself. With --alone it doesn't: see azekura witness follow. A log that was
broken off by a loss can name nobody: then add the next one's key here.`,
		Args: cobra.NoArgs}
	dir := witnessDir(cmd)
	f := cmd.Flags()
	f.StringArrayVar(&l.Keys, "vkey", nil, "the log's public key; azekura log head prints it")
	f.StringVar(&l.Origin, "origin", "", "the log's origin line; without it the name in its key")
	f.BoolVar(&l.Alone, "alone", false, "don't follow the log to its next key, or to the log after it, by its own signed word")
	f.BoolVar(&l.Mirror, "mirror", false, "keep what the log uploads, too: its leaf hashes and its sealed lines")
	_ = cmd.MarkFlagRequired("vkey") // fails only for a flag that isn't there
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if l.Origin == "" {
			l.Origin, _, _ = strings.Cut(l.Keys[0], "+")
		}
		added, err := witness.AddLog(*dir, l)
		if err != nil {
			return err
		}
		what := "cosigns"
		if added.Mirror {
			what = "cosigns and mirrors"
		}
		fmt.Fprintf(cmd.OutOrStdout(), "The witness %s %s.\n", what, added.Origin)
		return nil
	}
	return cmd
}

func witnessFollow() *cobra.Command {
	cmd := &cobra.Command{Use: "follow FILE", Short: "Let a witness follow a log to its next key, or to the log after it",
		Long: `follow takes the file that the log serves at .well-known/azekura-log.json, and follows the
log's own signed statements in it: an event that names the next key, proved under the
very head that this witness cosigned last. Nothing else in the file is believed. It is
for a log that was added with --alone; else the log shows it to the witness by itself.`,
		Example: "  curl -s https://log.example.go.jp/.well-known/azekura-log.json -o log.json && azekura witness follow log.json",
		Args:    cobra.ExactArgs(1)}
	dir := witnessDir(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		file, err := readBounded(args[0], 16<<20)
		if err != nil {
			return err
		}
		list, err := witness.FollowFile(*dir, file)
		for _, l := range list {
			fmt.Fprintf(cmd.OutOrStdout(), "The witness follows to %s, key %s.\n", l.Origin, l.Keys[0])
		}
		if err == nil && len(list) == 0 {
			fmt.Fprintln(cmd.OutOrStdout(), "There is nothing new to follow.")
		}
		return err
	}
	return cmd
}

func witnessHeads() *cobra.Command {
	cmd := &cobra.Command{Use: "heads", Short: "Print a witness's key and the heads that it cosigned last", Args: cobra.NoArgs}
	dir, asJSON := witnessDir(cmd), jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		heads, err := witness.Heads(*dir)
		if err != nil {
			return err
		}
		keys, err := witness.ReadKeys(*dir)
		if err != nil {
			return err
		}
		return print(cmd, *asJSON, witness.Description{Keys: keys, Logs: heads}, func(w io.Writer) {
			fmt.Fprintln(w, strings.Join(keys, "\n"))
			for _, h := range heads {
				fmt.Fprintf(w, "%s\t%d events\troot %s", h.Origin, h.Size, h.Root)
				if h.Mirror {
					fmt.Fprintf(w, "\t%d mirrored", h.Mirrored)
				}
				fmt.Fprintln(w)
			}
		})
	}
	return cmd
}

func (a *app) witnessTrust() *cobra.Command {
	var w client.Witness
	var need int
	var bulk, read, mirror time.Duration
	var incident string
	cmd := &cobra.Command{Use: "trust URL --vkey VKEY [--mirror] [-k K]", Short: "Have a witness cosign this log",
		Long: `trust adds a witness to those that are asked for cosignatures, or changes what is said
of it. -k is how many must cosign a head; without it more than half. While they don't,
bulk work waits after --bulk-after, and reads are refused after --read-after; 0 is never.

Take the public key from whoever runs the witness, not from the network. A server that
runs must be started again.`,
		Example: "  azekura witness trust https://witness.example.org/ --vkey witness.example.org/w1+d3a…+B… --mirror",
		Args:    cobra.ExactArgs(1)}
	f := cmd.Flags()
	f.StringArrayVar(&w.Keys, "vkey", nil, "the witness's public key; azekura witness init prints it")
	f.BoolVar(&w.Mirror, "mirror", false, "feed the mirror that it is, encrypted to the incident key")
	f.StringVar(&incident, "incident", "", "the age recipient that mirrors are encrypted to, where the settings name none")
	f.IntVarP(&need, "need", "k", 0, "how many of the witnesses must cosign; 0 is more than half")
	f.DurationVar(&bulk, "bulk-after", client.DefaultBulkAfter, "the lag after which bulk work waits")
	f.DurationVar(&read, "read-after", client.DefaultReadAfter, "the lag after which reads are refused")
	f.DurationVar(&mirror, "mirror-after", client.DefaultMirrorAfter, "how long an event waits for others before it is mirrored")
	_ = cmd.MarkFlagRequired("vkey") // fails only for a flag that isn't there
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		w.URL = args[0]
		out := cmd.OutOrStdout()
		if w.Mirror {
			made, err := installation.IncidentKey(a.dir, incident)
			if err != nil {
				return err
			}
			if made {
				fmt.Fprintln(out, "Mirrors are encrypted to a new key; its identity is in incident.key: move it off this machine.")
			}
		}
		s, err := installation.ChangeWitnesses(a.dir, func(s client.Settings) (client.Settings, error) {
			s = s.Trust(w)
			for name, set := range map[string]func(){"need": func() { s.Need = need }, "bulk-after": func() { s.BulkAfter = client.Duration(bulk) },
				"read-after": func() { s.ReadAfter = client.Duration(read) }, "mirror-after": func() { s.MirrorAfter = client.Duration(mirror) }} {
				if cmd.Flags().Changed(name) {
					set()
				}
			}
			return s, nil
		})
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "%d of %d witnesses must cosign.\n", s.Quorum(), len(s.Witnesses))
		a.sayRestart(out)
		return nil
	}
	return cmd
}

func (a *app) witnessForget() *cobra.Command {
	return &cobra.Command{Use: "forget NAME", Short: "No longer ask a witness", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := installation.ChangeWitnesses(a.dir, func(s client.Settings) (client.Settings, error) { return s.Forget(args[0]) })
			if err != nil {
				return err
			}
			if len(s.Witnesses) == 0 {
				fmt.Fprintln(cmd.OutOrStdout(), "No witness is left: nobody cosigns this log.")
			} else {
				fmt.Fprintf(cmd.OutOrStdout(), "%d of %d witnesses must cosign.\n", s.Quorum(), len(s.Witnesses))
			}
			a.sayRestart(cmd.OutOrStdout())
			return nil
		}}
}

func (a *app) sayRestart(w io.Writer) {
	if _, err := api.Dial(a.dir); err == nil {
		fmt.Fprintln(w, "A server runs: start it again for this to count.")
	}
}

func (a *app) witnessStatus() *cobra.Command {
	cmd := &cobra.Command{Use: "status", Short: "How this log's cosigning stands", Args: cobra.NoArgs}
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := installation.ReadConfig(a.dir)
		if err != nil {
			return err
		}
		if c.Witnesses == nil || len(c.Witnesses.Witnesses) == 0 {
			return errors.New("nobody cosigns this log; azekura witness trust names who shall")
		}
		return a.with(cmd, func(ctx context.Context, conn *api.Client) error {
			var s client.Status
			if err := conn.Do(ctx, http.MethodGet, "/operator/witnesses", nil, &s); err != nil {
				return err
			}
			return print(cmd, *asJSON, s, func(w io.Writer) { writeStatus(w, *c.Witnesses, s) })
		})
	}
	return cmd
}

func writeStatus(w io.Writer, settings client.Settings, s client.Status) {
	for _, one := range settings.Witnesses {
		mirror := ""
		if one.Mirror {
			mirror = "mirror"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\n", one.Name(), one.URL, mirror)
	}
	fmt.Fprintf(w, "%d of %d must cosign; bulk work waits after %s, reads are refused after %s.\n", settings.Quorum(), len(settings.Witnesses),
		bound(settings.BulkAfter), bound(settings.ReadAfter))
	switch {
	case s.Refused != "":
		fmt.Fprintf(w, "REFUSED: %s\n", s.Refused)
	case len(s.Disputed) > 0:
		for _, why := range s.Disputed {
			fmt.Fprintf(w, "DISPUTED: %s\n", why)
		}
	case s.Lag > 0:
		fmt.Fprintf(w, "Cosigned up to %d events; later ones wait for %s.\n", s.Size, s.Lag.Round(time.Millisecond))
	default:
		fmt.Fprintf(w, "Cosigned up to %d events: all that are signed.\n", s.Size)
	}
	for _, m := range s.Mirrors {
		if m.Size >= 0 {
			fmt.Fprintf(w, "The mirror %s holds %d events.\n", m.Name, m.Size)
		}
	}
}

func bound(d client.Duration) string {
	if d == 0 {
		return "never"
	}
	return time.Duration(d).String()
}
