package cli

import (
	"bufio"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"

	"azekura/api"
	"azekura/internal/installation"
	"azekura/population"
	"azekura/register"
	"azekura/register/rowfile"

	"github.com/spf13/cobra"
	"time"
)

const (
	demoPassphrase = "passphrase"
	demoToken      = "session.token"
)

func (a *app) populationCommand() *cobra.Command {
	var n int64
	var seed uint64
	var format string
	cmd := &cobra.Command{
		Use:   "population -n N [--seed S] [--format csv|ndjson]",
		Short: "Stream made-up people, in the import's columns",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			w := bufio.NewWriterSize(cmd.OutOrStdout(), 1<<20)
			bar := newProgress(cmd.ErrOrStderr(), "making people up")
			write := population.WriteCSV
			switch format {
			case "csv":
			case "ndjson":
				write = population.WriteNDJSON
			default:
				return errors.New("--format is csv or ndjson")
			}
			err := write(cmd.Context(), w, seed, n, func(done int64) { bar.at(done, n, "") })
			bar.end()
			return errors.Join(err, w.Flush())
		},
	}
	cmd.Flags().Int64VarP(&n, "number", "n", 1000, "how many")
	cmd.Flags().Uint64Var(&seed, "seed", 1, "the same seed makes the same people")
	cmd.Flags().StringVar(&format, "format", "csv", "csv or ndjson")
	return cmd
}

func (a *app) demoCommand() *cobra.Command {
	var n int64
	var listen string
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Serve a made-up register on loopback, with a session ready",
		Long: `demo makes an installation of made-up people in azekura-demo (or --dir, or
AZEKURA_DIR), opens a session and serves on loopback. It touches no installation
that isn't a demo.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !cmd.Flags().Changed("dir") && os.Getenv("AZEKURA_DIR") == "" {
				a.dir = "azekura-demo"
			}
			return a.demo(cmd, n, listen)
		},
	}
	cmd.Flags().Int64VarP(&n, "number", "n", 2000, "how many people")
	cmd.Flags().StringVar(&listen, "listen", "127.0.0.1:8443", "a loopback address")
	return cmd
}

func (a *app) demo(cmd *cobra.Command, n int64, listen string) error {
	ctx := cmd.Context()
	// Its passphrase and its session's token lie about.
	host, _, err := net.SplitHostPort(listen)
	if ip := net.ParseIP(host); err != nil || host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return errors.New("a demo listens on loopback only, such as 127.0.0.1:8443")
	}
	config, err := installation.ReadConfig(a.dir)
	switch {
	case errors.Is(err, installation.ErrNone):
		fmt.Fprintf(cmd.ErrOrStderr(), "making a register of %d made-up people in %s\n", n, a.dir)
		if err := makeUp(ctx, a.dir, "", n, 1); err != nil {
			return err
		}
	case err != nil:
		return err
	case !config.MadeUp:
		return errors.New("this folder holds a real installation; a demo makes its own")
	default:
		// A demo that was stopped while it imported goes on.
		if err := importMadeUp(ctx, a.dir, a.passphrase); err != nil {
			return err
		}
	}
	inst, err := installation.Open(ctx, a.dir, a.passphrase)
	if err != nil {
		return err
	}
	defer inst.Close()
	if err := inst.StartJobs(ctx); err != nil {
		return err
	}
	if err := demoSession(ctx, inst); err != nil {
		return err
	}
	err = api.New(inst, logError).Serve(ctx, api.Listen{Address: listen}, func(address string) {
		fmt.Fprintf(cmd.OutOrStdout(), `serving made-up people at https://%s (OpenAPI at /openapi.json); Ctrl-C ends it.
In another terminal, try:
  bin/azekura --dir %[2]s read --ref A0000001 --fields name,birth,address --purpose enquiry --case C-1
  bin/azekura --dir %[2]s exposure --device demo-pc
  bin/azekura --dir %[2]s log verify
`, address, a.dir)
	})
	return errors.Join(err, inst.Close())
}

// madeUpFile holds the people of a made-up installation until they are in.
const madeUpFile = "made-up.csv"

// makeUp makes an installation of made-up people, whose passphrase lies beside it.
func makeUp(ctx context.Context, dir, database string, n int64, seed uint64) error {
	passphrase := rand.Text()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	people := filepath.Join(dir, madeUpFile)
	if err := writePeople(ctx, people+".new", n, seed); err != nil {
		return err
	}
	if err := writeNew(filepath.Join(dir, demoPassphrase), passphrase+"\n"); err != nil {
		return err
	}
	if err := os.Rename(people+".new", people); err != nil {
		return err
	}
	if _, err := installation.Create(ctx, dir, installation.CreateOptions{Database: database, Passphrase: []byte(passphrase), WorkFactor: 12, MadeUp: true}); err != nil {
		return err
	}
	return importMadeUp(ctx, dir, func() ([]byte, error) { return []byte(passphrase), nil })
}

// writeNew replaces nothing: the folder may not be ours.
func writeNew(path, text string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Close())
}

func writePeople(ctx context.Context, path string, n int64, seed uint64) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	return errors.Join(population.WriteCSV(ctx, f, seed, n, nil), f.Close())
}

// importMadeUp imports the people that wait in an installation's folder, if any.
func importMadeUp(ctx context.Context, dir string, passphrase func() ([]byte, error)) error {
	people := filepath.Join(dir, madeUpFile)
	file, size, err := register.OpenFile(people)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer file.Close()
	inst, err := installation.Open(ctx, dir, passphrase)
	if err != nil {
		return err
	}
	at, err := inst.Register.FileImport(ctx, file, size)
	if err == nil && !at.Finished {
		_, err = inst.Register.Run(ctx, at, file, register.ImportOptions{Options: rowfile.Options{}})
	}
	if err = errors.Join(err, inst.Close()); err != nil {
		return err
	}
	return os.Remove(people)
}

func demoSession(ctx context.Context, inst *installation.Installation) error {
	if inst.Access.Known("demo-staff", "demo-pc") != nil {
		if _, err := inst.Access.AddStaff(ctx, "demo-staff", "caseworker", "demo"); err != nil {
			return err
		}
		if _, err := inst.Access.AddDevice(ctx, "demo-pc", "demo"); err != nil {
			return err
		}
	}
	_, token, err := inst.Access.OpenSession(ctx, "demo-staff", "demo-pc", 12*time.Hour)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(inst.Dir, demoToken), []byte(token+"\n"), 0o600)
}
