package cli

import (
	"bufio"
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"

	"azekura/api"
	"azekura/internal/installation"
	"azekura/population"

	"github.com/spf13/cobra"
)

// demoToken is the file that holds the demo's session.
const demoToken = "session.token"

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
		if err := installation.MakeUp(ctx, a.dir, installation.MadeUpOptions{People: n, Seed: 1}); err != nil {
			return err
		}
	case err != nil:
		return err
	case !config.MadeUp:
		return errors.New("this folder holds a real installation; a demo makes its own")
	default:
		// A demo that was stopped while it imported goes on.
		if err := installation.FinishMadeUp(ctx, a.dir, nil); err != nil {
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
The session counts at demo-pc alone, whose key and certificate are in %[2]s/demo-pc:
  curl --cacert %[2]s/tls/cert.pem --cert %[2]s/demo-pc/client.pem --key %[2]s/demo-pc/key.pem \
    -H "Authorization: Bearer $(cat %[2]s/session.token)" -H 'Content-Type: application/json' \
    -d '{"ref":"A0000001","fields":["name"],"purpose":"enquiry","case":"C-1"}' https://%[1]s/v1/read
`, address, a.dir)
	})
	return errors.Join(err, inst.Close())
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
	if err := demoPC(ctx, inst); err != nil {
		return err
	}
	_, token, err := inst.Access.OpenSession(ctx, "demo-staff", "demo-pc", 12*time.Hour)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(inst.Dir, demoToken), []byte(token+"\n"), 0o600)
}

// demoPC enrols the demo's PC anew at each start, since its certificate lasts a day.
func demoPC(ctx context.Context, inst *installation.Installation) error {
	cert, err := inst.EnrolDevice(ctx, "demo-pc")
	if err != nil {
		return err
	}
	key, err := x509.MarshalPKCS8PrivateKey(cert.PrivateKey)
	if err != nil {
		return err
	}
	dir := filepath.Join(inst.Dir, "demo-pc")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	return errors.Join(os.WriteFile(filepath.Join(dir, "key.pem"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}), 0o600),
		os.WriteFile(filepath.Join(dir, "client.pem"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Certificate[0]}), 0o600))
}
