package endtoend

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"azekura/approval"
	"azekura/internal/pgtest"

	"filippo.io/age"
	"golang.org/x/mod/sumdb/note"
)

// killed runs the program and kills it after a while, if it still runs then.
func (a *agency) killed(t *testing.T, after time.Duration, args ...string) (dead bool) {
	t.Helper()
	cmd := a.command(args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	var errs bytes.Buffer
	cmd.Stderr = &errs
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	timer := time.AfterFunc(after, func() { _ = cmd.Process.Kill() })
	defer timer.Stop()
	_ = cmd.Wait() // how it ended, its state says
	status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus)
	if ok && status.Signaled() {
		return true
	}
	if !cmd.ProcessState.Success() {
		t.Fatalf("azekura %s: %s", strings.Join(args, " "), &errs)
	}
	return false
}

// within draws a moment at which to kill.
func within(r *rand.Rand, most time.Duration) time.Duration {
	return time.Duration(r.Int64N(int64(most)))
}

func identity(t *testing.T) (path, recipient string) {
	t.Helper()
	key, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	path = filepath.Join(t.TempDir(), "safe.key")
	if err := os.WriteFile(path, []byte(key.String()+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return path, key.Recipient().String()
}

// sibling is a place to restore to, with the agency's people and passphrase.
func (a *agency) sibling(t *testing.T) *agency {
	t.Helper()
	b := &agency{dir: filepath.Join(t.TempDir(), "restored"), passphrase: a.passphrase, people: a.people}
	if a.database != "" {
		b.database = pgtest.URL(t)
	}
	return b
}

func (b *agency) restore(file, identity string) []string {
	args := []string{"restore", file, "--identity", identity}
	if b.database != "" {
		args = append(args, "--db", b.database)
	}
	return args
}

// TestBackupKilled kills the one who takes a backup, and the server that gives
// it, under load: there is a whole backup or none, and what the last one makes
// holds all that anyone had received before it was asked for.
func TestBackupKilled(t *testing.T) {
	eachEngine(t, 300, func(t *testing.T, a *agency) {
		rnd := chance(t)
		key, recipient := identity(t)
		s := a.serve(t)
		tokens := []string{a.token(t, 0), a.token(t, 1)}
		for n := range rounds(3) {
			file := filepath.Join(t.TempDir(), fmt.Sprintf("backup-%d", n))
			w := a.crowd(t, s, tokens, rnd)
			eventually(t, "clients are answered", func() bool { return w.given.Load() > 0 })
			if n%2 == 0 {
				a.killed(t, within(rnd, 150*time.Millisecond), "backup", "-o", file, "--to", recipient)
				w.wait()
			} else {
				// The server dies, not the one who asks.
				cmd := a.command("backup", "-o", file, "--to", recipient)
				if err := cmd.Start(); err != nil {
					t.Fatal(err)
				}
				time.Sleep(within(rnd, 150*time.Millisecond))
				s.kill()
				_ = cmd.Wait() // it failed, or was done before
				w.wait()
				s = a.serve(t)
			}
			if _, err := os.Stat(file); err == nil {
				a.must(t, "backup", "rehearse", file, "--identity", key)
			}
			a.audit(t, w.seen())
		}
		w := a.crowd(t, s, tokens, rnd)
		eventually(t, "clients are answered", func() bool { return w.given.Load() > 0 })
		w.wait()
		file := filepath.Join(t.TempDir(), "last")
		a.must(t, "backup", "-o", file, "--to", recipient)
		if status := s.stop(t); status != 0 {
			t.Fatal(s.stderr())
		}
		a.verified(t)

		b := a.sibling(t)
		for range rounds(2) {
			if !b.killed(t, within(rnd, 400*time.Millisecond), b.restore(file, key)...) {
				break
			}
			_, errs, status := b.try(t, "staff", "list")
			if strings.Contains(errs, "came out of a backup") { // it was done, and about to end
				break
			}
			if status == 0 || !strings.Contains(errs, "isn't finished") && !strings.Contains(errs, "no installation here") {
				t.Fatalf("half a restore: %d, %s", status, errs)
			}
		}
		if _, errs, _ := b.try(t, "staff", "list"); !strings.Contains(errs, "came out of a backup") {
			b.must(t, b.restore(file, key)...)
		}
		b.must(t, "log", "confirm", "--size", fmt.Sprint(a.size(t)))
		b.verified(t)
		b.audit(t, w.seen())
	})
}

// decided has two approvers sign a proposal.
func decided(t *testing.T, path string, keys []note.Signer) {
	t.Helper()
	file, err := os.ReadFile(path)
	for _, key := range keys {
		if err == nil {
			file, err = approval.Sign(file, key, time.Now())
		}
	}
	if err == nil {
		err = os.WriteFile(path, file, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestChainKilled kills freezing and changing the signer's key at random moments,
// in between the server's work: either is done or not, the log opens again, and
// nothing is lost.
func TestChainKilled(t *testing.T) {
	eachEngine(t, 50, func(t *testing.T, a *agency) {
		rnd := chance(t)
		keys, public := approvers(t)
		for _, vkey := range public {
			a.must(t, "approver", "add", vkey)
		}
		token := a.token(t, 0)
		var killed, done int
		for n := range rounds(6) {
			path := filepath.Join(t.TempDir(), "proposal")
			what := []string{"freeze", "rotate-signer"}[n%2]
			args := []string{"log", what, "--propose", path}
			if what == "freeze" {
				args = append(args, "--why", "a test")
			}
			a.must(t, args...)
			decided(t, path, keys)
			// The whole of it takes some 100 ms.
			if a.killed(t, within(rnd, 150*time.Millisecond), "log", what, "--approved", path) {
				killed++
			} else {
				done++
			}
			a.work(t, token, 5)
			a.verified(t)
		}
		if out := a.must(t, "exposure", "--device", "pc-0", "--lang", "en"); !strings.Contains(out, "It is complete") || !strings.Contains(out, fmt.Sprint(5*rounds(6))) {
			t.Errorf("the exposure:\n%s", out)
		}
		t.Logf("killed %d times, %d done", killed, done)
	})
}
