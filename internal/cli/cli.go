// Package cli is the command line. A command parses, calls one function of a
// domain package or one operation of the API, and prints; nothing is decided
// here. Commands that need an installation go through its running server, or
// open it themselves when none runs: it is the same API either way.
package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"azekura/api"
	"azekura/auditlog"
	"azekura/internal/installation"
	"azekura/keyring/root"

	"github.com/spf13/cobra"
)

// Main runs the command line and returns the process's exit status.
func Main() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // whoever asks a second time doesn't want to wait
	cmd := New()
	if err := cmd.ExecuteContext(ctx); err != nil {
		switch {
		case errors.Is(err, context.Canceled):
			err = errors.New("stopped")
		case errors.Is(err, installation.ErrNone):
			err = fmt.Errorf("%s: %w", cmd.PersistentFlags().Lookup("dir").Value, err)
		}
		fmt.Fprintln(os.Stderr, "azekura:", err)
		return 1
	}
	return 0
}

// app is what the commands share.
type app struct {
	dir       string
	tokenFile string
}

// New makes the command tree.
func New() *cobra.Command {
	a := &app{}
	cmd := &cobra.Command{
		Use:   "azekura",
		Short: "A register and payment system that an infected PC can't empty",
		Long: `Azekura keeps the register of a pension or benefit agency: sealed, opened only
against a receipt from a tamper-evident audit log.

Start with azekura demo, or make an installation with azekura init.`,
		SilenceUsage: true, SilenceErrors: true,
	}
	dir := os.Getenv("AZEKURA_DIR")
	if dir == "" {
		dir = "azekura-data"
	}
	cmd.PersistentFlags().StringVar(&a.dir, "dir", dir, "the installation's folder (AZEKURA_DIR)")
	cmd.AddCommand(a.initCommand(), a.migrateCommand(), a.recoverCommand(), a.serveCommand(), a.staffCommand(), a.deviceCommand(), a.sessionCommand(), a.caseCommand(), a.containCommand(), a.allAlarmsCommand(), a.releaseCommand(), a.budgetCommand(), a.policyCommand(), a.canariesCommand(),
		a.participantsCommand(), a.searchCommand(), a.checkCommand(), a.readCommand(), a.changeCommand(),
		a.exposureCommand(), a.leakCommand(), a.verifyCommand(), a.logCommand(), a.keysCommand(), a.witnessCommand(), a.backupCommand(), a.restoreCommand(), a.approverCommand(), a.approveCommand(), a.proposalCommand(), a.populationCommand(), a.demoCommand(), a.drillCommand())
	for _, sub := range cmd.Commands() {
		if sub.HasSubCommands() && sub.RunE == nil {
			sub.RunE = group
		}
	}
	return cmd
}

// group shows a group's help; a word that it doesn't know is an error, which
// cobra alone would pass over.
func group(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return fmt.Errorf("unknown command %q for %q", args[0], cmd.CommandPath())
	}
	return cmd.Help()
}

// passphrase asks for the root key's passphrase. A made-up installation keeps
// its own beside it.
func (a *app) passphrase() ([]byte, error) {
	if passphrase, ok := installation.MadeUpPassphrase(a.dir); ok {
		return passphrase, nil
	}
	return root.Passphrase("Passphrase of the root key", false)
}

// A server takes a second to start, most of it for the passphrase; a busy
// machine takes some more. Who waits asks again now and then.
var (
	patience = 30 * time.Second
	again    = 100 * time.Millisecond
)

// connect reaches the installation: through its server, or by opening it.
func (a *app) connect(ctx context.Context) (*api.Client, func() error, error) {
	if _, err := installation.ReadConfig(a.dir); err != nil {
		return nil, nil, err
	}
	var inst *installation.Installation
	for waited := time.Duration(0); ; waited += again {
		c, err := api.Dial(a.dir)
		if err == nil {
			return c, func() error { return nil }, nil
		}
		inst, err = installation.Open(ctx, a.dir, a.passphrase)
		if err == nil {
			break
		}
		// Another process is at it: a server that isn't listening yet, or a
		// command that is soon done.
		if !errors.Is(err, auditlog.ErrHeld) {
			return nil, nil, err
		}
		if waited == 0 {
			fmt.Fprintln(os.Stderr, "another process holds this installation and doesn't answer yet; waiting for it")
		}
		if waited >= patience {
			return nil, nil, fmt.Errorf("no answer after %s: %w", patience, err)
		}
		select {
		case <-time.After(again):
		case <-ctx.Done():
			return nil, nil, ctx.Err()
		}
	}
	inst.Trouble = func(err error) { logError("-", err) }
	if err := inst.StartJobs(ctx); err != nil {
		return nil, nil, errors.Join(err, inst.Close())
	}
	return api.Local(api.New(inst, logError).Operator()), inst.Close, nil
}

// with runs f with a connection.
func (a *app) with(cmd *cobra.Command, f func(ctx context.Context, c *api.Client) error) (err error) {
	ctx := cmd.Context()
	c, done, err := a.connect(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, done()) }()
	return f(ctx, c)
}

// withSession runs f with a connection that carries a session's token: from the PC
// whose agent's folder AZEKURA_DEVICE names, or else at the operator's socket.
func (a *app) withSession(cmd *cobra.Command, f func(ctx context.Context, c *api.Client) error) error {
	token, err := a.token()
	if err != nil {
		return err
	}
	if dir := os.Getenv("AZEKURA_DEVICE"); dir != "" {
		c, err := api.DialDevice(dir)
		if err != nil {
			return err
		}
		c.Token = token
		return f(cmd.Context(), c)
	}
	return a.with(cmd, func(ctx context.Context, c *api.Client) error {
		c.Token = token
		return f(ctx, c)
	})
}

// token finds the session's token. It is never an argument, which others on the
// machine could see.
func (a *app) token() (string, error) {
	if token := os.Getenv("AZEKURA_TOKEN"); token != "" && a.tokenFile == "" {
		return token, nil
	}
	path := a.tokenFile
	if path == "" {
		config, err := installation.ReadConfig(a.dir)
		if err != nil {
			return "", err
		}
		if !config.MadeUp {
			return "", errors.New("no session: open one with azekura session open, and give its token in AZEKURA_TOKEN or with --token-file")
		}
		path = filepath.Join(a.dir, demoToken)
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("read the session's token: %w", err)
	}
	return strings.TrimSpace(string(raw)), nil
}

func (a *app) tokenFlag(cmd *cobra.Command) {
	cmd.Flags().StringVar(&a.tokenFile, "token-file", "", "a file that holds the session's token (or AZEKURA_TOKEN)")
}

func logError(request string, err error) {
	fmt.Fprintf(os.Stderr, "request %s: %v\n", request, err)
}

// print writes v as JSON, or as text does.
func print(cmd *cobra.Command, asJSON bool, v any, text func(w io.Writer)) error {
	if asJSON {
		out := json.NewEncoder(cmd.OutOrStdout())
		out.SetIndent("", "  ")
		return out.Encode(v)
	}
	w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 4, 2, ' ', 0)
	text(w)
	return w.Flush()
}

func jsonFlag(cmd *cobra.Command) *bool {
	return cmd.Flags().Bool("json", false, "print JSON")
}
