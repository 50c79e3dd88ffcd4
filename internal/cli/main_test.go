package cli_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"azekura/api"
	"azekura/internal/cli"
	"azekura/internal/installation"

	"filippo.io/age"
	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"azekura": func() { os.Exit(cli.Main()) }})
}

// TestScripts runs testdata's scripts, each of which reads as a page of a manual.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		RequireExplicitExec: true,
		Setup: func(env *testscript.Env) error {
			// A socket's path must be short, and a script's folder isn't.
			short, err := os.MkdirTemp("", "az-")
			if err != nil {
				return err
			}
			env.Defer(func() { os.RemoveAll(short) })
			secret := filepath.Join(short, "passphrase")
			if err := os.WriteFile(secret, []byte("an old raft of cypress logs\n"), 0o600); err != nil {
				return err
			}
			env.Setenv("HOME", env.WorkDir)
			env.Setenv("TZ", "UTC")
			env.Setenv("SHORT", short)
			env.Setenv("AZEKURA_DIR", filepath.Join(short, "office"))
			env.Setenv("AZEKURA_PASSPHRASE_FILE", secret)
			return nil
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"quick-init":  quickInit,
			"await-serve": awaitServe,
			"keygen":      keygen,
			"getenv":      getenv,
		},
	})
}

// quickInit makes an installation as azekura init does, but for a passphrase that
// is cheap to test: init takes a second on purpose, and so does each command that
// opens what it made.
func quickInit(ts *testscript.TestScript, neg bool, args []string) {
	o := installation.CreateOptions{Passphrase: []byte("an old raft of cypress logs"), WorkFactor: 10}
	_, err := installation.Create(context.Background(), ts.Getenv("AZEKURA_DIR"), o)
	ts.Check(err)
}

// awaitServe waits until the server of AZEKURA_DIR answers.
func awaitServe(ts *testscript.TestScript, neg bool, args []string) {
	for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(20 * time.Millisecond) {
		_, err := api.Dial(ts.Getenv("AZEKURA_DIR"))
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("no server answers: %v", err)
		}
	}
}

// keygen is age-keygen: it writes an identity and sets RECIPIENT.
func keygen(ts *testscript.TestScript, neg bool, args []string) {
	identity, err := age.GenerateX25519Identity()
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(identity.String()+"\n"), 0o600))
	ts.Setenv("RECIPIENT", identity.Recipient().String())
}

// getenv sets a variable to a file's first line.
func getenv(ts *testscript.TestScript, neg bool, args []string) {
	line, _, _ := strings.Cut(ts.ReadFile(args[1]), "\n")
	ts.Setenv(args[0], line)
}
