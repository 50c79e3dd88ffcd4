package cli

import (
	"errors"
	"fmt"
	"os"

	"azekura/api"
	"azekura/approval"
	"azekura/internal/db"
	"azekura/internal/installation"
	"azekura/keyring/root"

	"github.com/spf13/cobra"
)

func (a *app) initCommand() *cobra.Command {
	var o installation.CreateOptions
	var transit string
	var approvers []string
	var casesOptional bool
	cmd := &cobra.Command{
		Use:   "init",
		Short: "Make an installation: keys, tables, audit log",
		Long: `init makes an installation in --dir: the root key under a passphrase (asked for, or
in the file that AZEKURA_PASSPHRASE_FILE names), the tables, the audit log and its
signer.

Give --recovery an age recipient whose identity lies in a safe: without it a lost
passphrase is a lost register.

Give --approver twice, with the lines that azekura approver new printed for two
people, each on their own PC: what can't be undone (changing a key, shredding, a leak
scan's index, ending a log) takes the two of them, and is refused until they are
enrolled. Later azekura approver add enrols them.

From the first opening on a record opens for a case that exists, is its opener's own
and is about the participant. --cases-optional has openings name a case of another
system instead, of which nothing is asked, until azekura case require ends that.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := enrollable(approvers); err != nil {
				return err
			}
			ask := newAsker(cmd)
			if err := errors.Join(ask.fill("URL of the database", &o.Database), ask.fill("URL of the database for its tables' owner", &o.Owner)); err != nil {
				return err
			}
			if o.Owner != "" && o.Database == "" {
				return errors.New("--owner-db goes with --db, whose tables it owns")
			}
			for _, url := range []string{o.Database, o.Owner} {
				if url == "" {
					continue
				}
				d, err := db.Open(cmd.Context(), url) // before keys are made that would be in the way the next time
				if err != nil {
					return err
				}
				d.Close()
			}
			if err := a.root(&o, transit); err != nil {
				return err
			}
			c, err := installation.Create(cmd.Context(), a.dir, o)
			if err != nil {
				return err
			}
			w := cmd.OutOrStdout()
			fmt.Fprintf(w, "An installation is in %s. Its audit log is named %s.\n", a.dir, c.Origin)
			if o.Operator == "" {
				fmt.Fprintf(w, "Rejected rows of imports are encrypted to %s; its identity is in operator.key: move it off this machine.\n", c.Operator)
			}
			if o.Incident == "" {
				fmt.Fprintln(w, "Mirrors of the audit log are encrypted to a key whose identity is in incident.key: move it off this machine, too.")
			}
			if o.Recovery == "" && o.Transit == nil {
				fmt.Fprintln(w, "There is no recovery copy of the root key: a lost passphrase is a lost register.")
			}
			if casesOptional {
				fmt.Fprintln(w, "Openings may name any case, of which nothing is asked: azekura case require ends that, for good.")
			} else if err := installation.RequireCases(cmd.Context(), a.dir); err != nil {
				return fmt.Errorf("the installation is made, but cases aren't required yet (azekura case require goes on): %w", err)
			}
			for _, vkey := range approvers {
				if _, err := installation.AddApprover(cmd.Context(), a.dir, vkey, nil); err != nil {
					return fmt.Errorf("the installation is made, but enrolling an approver failed (azekura approver add goes on): %w", err)
				}
			}
			if len(approvers) < approval.Needed {
				fmt.Fprintln(w, "Fewer than two approvers are enrolled: changing a key, shredding, a leak scan's index and ending the log are refused until there are two (azekura approver new, azekura approver add).")
			}
			fmt.Fprintln(w, "Next: azekura serve, and in another terminal azekura staff add, azekura device add, azekura session open.")
			return nil
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.Database, "db", "", "a postgres:// URL, or - to be asked for it; without it an SQLite file in the folder")
	f.StringVar(&o.Owner, "owner-db", "", "the same database's URL for the role that owns the tables, or -; it is used now and kept nowhere")
	f.StringVar(&o.Recovery, "recovery", "", "an age recipient (age1…) that the root key is escrowed to")
	f.StringVar(&o.Operator, "operator", "", "an age recipient that rejected rows are encrypted to; without it a key pair is made")
	f.StringVar(&o.Incident, "incident", "", "an age recipient that mirrors of the audit log are encrypted to; without it a key pair is made")
	f.StringVar(&o.Origin, "origin", "", "the audit log's name for ever, such as log.example.go.jp/azekura; without it a random one")
	f.BoolVar(&casesOptional, "cases-optional", false, "don't ask that an opening's case exists, until azekura case require")
	f.StringArrayVar(&approvers, "approver", nil, "an approver's public key, from azekura approver new; give it for two people")
	f.StringVar(&transit, "transit", "", "a JSON file with a remote KMS's settings, in place of a passphrase; see doc/operations.md")
	return cmd
}

// enrollable refuses approvers that can't be enrolled, before anything is made. A
// third takes the approval of the first two.
func enrollable(approvers []string) (err error) {
	if len(approvers) > approval.Needed {
		return errors.New("init enrols two approvers; a further one takes their approval: azekura approver add")
	}
	var list []string
	for _, vkey := range approvers {
		if list, err = approval.Enrol(list, vkey); err != nil {
			return err
		}
	}
	return nil
}

func (a *app) root(o *installation.CreateOptions, transit string) error {
	if transit == "" {
		var err error
		o.Passphrase, err = root.Passphrase("A passphrase for the root key", true)
		return err
	}
	return readJSON(transit, &o.Transit)
}

func (a *app) migrateCommand() *cobra.Command {
	var url string
	cmd := &cobra.Command{
		Use:   "migrate --db URL",
		Short: "Bring PostgreSQL's tables to this version, as their owner",
		Long: `migrate makes and changes tables as the role that owns them, and grants azekura_app,
as which an installation is served, what it needs and nothing else: no UPDATE and no
DELETE on the audit log. Run it with each new version. Who serves as the owner, or on
SQLite, needs it never. It may run while a server does.

Give - in the place of the URL and it is asked for, or read from standard input.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := newAsker(cmd).fill("URL of the database for its tables' owner", &url); err != nil {
				return err
			}
			if err := installation.Migrate(cmd.Context(), url); err != nil {
				return err
			}
			fmt.Fprintln(cmd.OutOrStdout(), "The tables are those of this version.")
			return nil
		},
	}
	cmd.Flags().StringVar(&url, "db", "", "a postgres:// URL of the role that owns the tables, or - to be asked for it")
	_ = cmd.MarkFlagRequired("db") // fails only for a flag that isn't there
	return cmd
}

func (a *app) recoverCommand() *cobra.Command {
	var identity string
	cmd := &cobra.Command{
		Use:   "recover",
		Short: "Put the root key under a new passphrase, from its recovery copy",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if _, err := installation.ReadConfig(a.dir); err != nil {
				return err
			}
			f, err := os.Open(identity)
			if err != nil {
				return fmt.Errorf("open the recovery identity: %w", err)
			}
			defer f.Close()
			p, err := root.Passphrase("A new passphrase for the root key", true)
			if err != nil {
				return err
			}
			if err := root.Recover(a.dir, f, root.FileOptions{Passphrase: p}); err != nil {
				return err
			}
			fmt.Fprintln(cmd.OutOrStdout(), "The root key is under the new passphrase.")
			return nil
		},
	}
	cmd.Flags().StringVar(&identity, "identity", "", "the file of the age identity that init's --recovery named")
	_ = cmd.MarkFlagRequired("identity") // fails only for a flag that isn't there
	return cmd
}

// stand waits for the lead, and passes what comes in on to whoever has it.
func (a *app) stand(cmd *cobra.Command, l *api.Listen) (*installation.Installation, error) {
	var err error
	if l.Standby, err = api.StandBy(a.dir, *l, func(err error) { logError("-", err) }); err != nil {
		return nil, err
	}
	fmt.Fprintf(cmd.OutOrStdout(), "standing by at https://%s\n", l.Standby.Address())
	inst, err := installation.Lead(cmd.Context(), a.dir, a.passphrase)
	if err != nil {
		return nil, errors.Join(err, l.Standby.Close())
	}
	return inst, nil
}

func (a *app) serveCommand() *cobra.Command {
	l := api.Listen{}
	var standby bool
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Serve the API to staff, and the operator's socket",
		Long: `serve answers staff over HTTPS, and the operator at a socket in the folder.

With --standby it is a second gate on the same folder: it listens at once, passes
connections on to the server that leads, and takes its place as soon as that one is gone.
Nothing is decided or opened by a gate that stands by: TLS ends at the one that leads.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var inst *installation.Installation
			var err error
			if standby {
				inst, err = a.stand(cmd, &l)
			} else {
				inst, err = installation.Open(cmd.Context(), a.dir, a.passphrase)
			}
			if err != nil {
				return err
			}
			defer inst.Close()
			defer installation.TradeMemoryForTime()()
			inst.Trouble = func(err error) { logError("-", err) }
			if err := inst.StartJobs(cmd.Context()); err != nil {
				return err
			}
			if err := inst.VerifyDaily(); err != nil {
				return err
			}
			if err := inst.SendAlarms(cmd.Context()); err != nil {
				return err
			}
			l.LogReady = func(address string) {
				fmt.Fprintf(cmd.OutOrStdout(), "serving the audit log's public side at https://%s\n", address)
			}
			err = api.New(inst, logError).Serve(cmd.Context(), l, func(address string) {
				cert := l.CertFile
				if cert == "" {
					cert = api.CertFile(a.dir)
				}
				fmt.Fprintf(cmd.OutOrStdout(), "serving https://%s (OpenAPI at /openapi.json), certificate %s\n", address, cert)
			})
			if err != nil {
				return err
			}
			return inst.Close()
		},
	}
	f := cmd.Flags()
	f.BoolVar(&standby, "standby", false, "pass connections on to the server that leads, and take its place when it is gone")
	f.StringVar(&l.Address, "listen", "127.0.0.1:8443", "host and port for staff")
	f.StringVar(&l.Log, "log-addr", "", "host and port for readers of the audit log: checkpoint, hash tiles, keys; none without it")
	f.StringVar(&l.CertFile, "tls-cert", "", "the certificate's file; without it one is made, self-signed")
	f.StringVar(&l.KeyFile, "tls-key", "", "the certificate's key")
	cmd.MarkFlagsRequiredTogether("tls-cert", "tls-key")
	return cmd
}
