package cli_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"azekura/api"
	"azekura/approval"
	"azekura/auditlog"
	"azekura/internal/cli"
	"azekura/internal/db"
	"azekura/internal/installation"
	"azekura/register/field"

	"filippo.io/age"
	"github.com/google/uuid"
	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"azekura": func() {
		if d, err := time.ParseDuration(os.Getenv("AZEKURA_TEST_PATIENCE")); err == nil {
			cli.SetPatience(d)
		}
		os.Exit(cli.Main())
	}})
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
			"two-days":    twoDays,
			"await-held":  awaitHeld,
			"free-port":   freePort,
			"await-url":   awaitURL,
			"hold":        hold,
			"release":     release,
			"two-decide":  twoDecide,
		},
	})
}

// twoDays makes an installation and lets two days go by on its log's clock: one
// participant's record is read on both, and each gets its root.
func twoDays(ts *testscript.TestScript, neg bool, args []string) {
	quickInit(ts, neg, args)
	ctx, dir := context.Background(), ts.Getenv("AZEKURA_DIR")
	d, err := db.Open(ctx, filepath.Join(dir, "azekura.db"))
	ts.Check(err)
	defer d.Close()
	signer, err := auditlog.OpenSigner(filepath.Join(dir, "signer"))
	ts.Check(err)
	defer signer.Close()
	now := time.Now()
	log, err := auditlog.Open(ctx, d, auditlog.Options{ID: 1, Signer: signer, Now: func() time.Time { return now }, Rand: rand.Reader})
	ts.Check(err)
	read := func() {
		_, err := log.RecordOne(ctx, auditlog.Event{Action: auditlog.Read, Outcome: "ok", Session: 17, Staff: "hanako", Device: "pc-01",
			Participant: uuid.MustParse("0190d2a5-7b3c-7d00-8000-000000000001"), Fields: []auditlog.FieldVersion{{Field: field.Name, Version: 1}}})
		ts.Check(err)
	}
	read()
	read()
	now = now.AddDate(0, 0, 1)
	_, err = log.Daily(ctx)
	ts.Check(err)
	read()
	now = now.AddDate(0, 0, 1)
	_, err = log.Daily(ctx)
	ts.Check(errors.Join(err, log.Close()))
}

// awaitHeld waits until a process has AZEKURA_DIR open, listening or not. It
// doesn't try the lock, which would keep the other one out.
func awaitHeld(ts *testscript.TestScript, neg bool, args []string) {
	info, err := os.Stat(filepath.Join(ts.Getenv("AZEKURA_DIR"), "signer", "state"))
	ts.Check(err)
	mark := fmt.Sprintf(":%d ", info.Sys().(*syscall.Stat_t).Ino)
	for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(time.Millisecond) {
		locks, err := os.ReadFile("/proc/locks")
		ts.Check(err)
		if strings.Contains(string(locks), mark) {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("no process opens the installation")
		}
	}
}

// twoDecide brings a proposal and the consent to it, as keys.txt shows step by step:
// of staff members in token and token2, by hanako.key and jiro.key. It sets PROPOSAL.
func twoDecide(ts *testscript.TestScript, neg bool, args []string) {
	sign := func(path, key string) {
		raw, err := os.ReadFile(ts.MkAbs(key))
		ts.Check(err)
		signer, err := approval.OpenKey(raw, nil)
		ts.Check(err)
		file, err := os.ReadFile(path)
		ts.Check(err)
		file, err = approval.Sign(file, signer, time.Now())
		ts.Check(err)
		ts.Check(os.WriteFile(path, file, 0o600))
	}
	path := ts.MkAbs("decided." + args[0])
	ts.Check(ts.Exec("azekura", append([]string{"proposal", "draft", "-o", path, "--token-file", "token"}, args...)...))
	for n, key := range []string{"hanako.key", "jiro.key"} {
		sign(path, key)
		ts.Check(ts.Exec("azekura", "proposal", "submit", path, "--token-file", []string{"token", "token2"}[n]))
	}
	raw, err := os.ReadFile(path)
	ts.Check(err)
	p, _, err := approval.Read(raw)
	ts.Check(err)
	ts.Setenv("PROPOSAL", p.Nonce)
}

// hold has this process hold AZEKURA_DIR, as one that hangs at its start would.
func hold(ts *testscript.TestScript, neg bool, args []string) {
	s, err := auditlog.OpenSigner(filepath.Join(ts.Getenv("AZEKURA_DIR"), "signer"))
	ts.Check(err)
	held.Store(ts.Getenv("AZEKURA_DIR"), s)
}

func release(ts *testscript.TestScript, neg bool, args []string) {
	s, _ := held.LoadAndDelete(ts.Getenv("AZEKURA_DIR"))
	ts.Check(s.(*auditlog.Signer).Close())
}

// held are the signers that scripts hold, by folder.
var held sync.Map

// quickInit makes an installation as azekura init does, but for a passphrase that
// is cheap to test: init takes a second on purpose, and so does each command that
// opens what it made.
func quickInit(ts *testscript.TestScript, neg bool, args []string) {
	o := installation.CreateOptions{Passphrase: []byte("an old raft of cypress logs"), WorkFactor: 10, MadeUp: slices.Contains(args, "--made-up")}
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
