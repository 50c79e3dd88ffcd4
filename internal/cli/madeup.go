package cli

import (
	"bufio"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
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
		Long: `demo makes an installation of made-up people in azekura-demo (or --dir), opens a
session and serves on loopback. It touches no installation that isn't a demo.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !cmd.Flags().Changed("dir") {
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

// makeUp makes an installation of made-up people, whose passphrase lies beside it.
func makeUp(ctx context.Context, dir, database string, n int64, seed uint64) error {
	passphrase := rand.Text()
	if _, err := installation.Create(ctx, dir, installation.CreateOptions{Database: database, Passphrase: []byte(passphrase), WorkFactor: 12, MadeUp: true}); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, demoPassphrase), []byte(passphrase+"\n"), 0o600); err != nil {
		return err
	}
	people := filepath.Join(dir, "made-up.csv")
	f, err := os.Create(people)
	if err != nil {
		return err
	}
	if err := errors.Join(population.WriteCSV(ctx, f, seed, n, nil), f.Close()); err != nil {
		return err
	}
	inst, err := installation.Open(ctx, dir, func() ([]byte, error) { return []byte(passphrase), nil })
	if err != nil {
		return err
	}
	file, size, err := register.OpenFile(people)
	if err != nil {
		return errors.Join(err, inst.Close())
	}
	at, err := inst.Register.FileImport(ctx, file, size)
	if err == nil {
		_, err = inst.Register.Run(ctx, at, file, register.ImportOptions{Options: rowfile.Options{}})
	}
	return errors.Join(err, file.Close(), inst.Close(), os.Remove(people))
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
