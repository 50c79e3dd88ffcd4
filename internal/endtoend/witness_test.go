package endtoend

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"azekura/auditlog"
	"azekura/internal/installation"
)

// outsider is a witness in a process of its own, which mirrors as well.
type outsider struct {
	dir, address string
	cmd          *exec.Cmd
}

// witnessed has an agency's log cosigned by a witness from now on.
func (a *agency) witnessed(t *testing.T) *outsider {
	t.Helper()
	o := &outsider{dir: filepath.Join(t.TempDir(), "witness"), address: "127.0.0.1:0"}
	o.run(t, "init", "--name", "witness.invalid/w1")
	o.run(t, "add-log", "--mirror", "--vkey", strings.SplitN(a.must(t, "log", "head"), "\n", 2)[0])
	o.start(t)
	vkey, err := os.ReadFile(filepath.Join(o.dir, "vkey"))
	if err != nil {
		t.Fatal(err)
	}
	a.must(t, "witness", "trust", "http://"+o.address, "--vkey", strings.TrimSpace(string(vkey)), "--mirror", "--mirror-after", "20ms")
	return o
}

func (o *outsider) run(t *testing.T, args ...string) {
	t.Helper()
	args = append([]string{"witness", args[0], "--dir", o.dir}, args[1:]...)
	if out, err := exec.Command(binary, args...).CombinedOutput(); err != nil {
		t.Fatalf("azekura %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// start starts it, at the address that it had.
func (o *outsider) start(t *testing.T) {
	t.Helper()
	o.cmd = exec.Command(binary, "witness", "serve", "--dir", o.dir, "--listen", o.address)
	o.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	o.cmd.Stderr = os.Stderr
	out, err := o.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := o.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	cmd := o.cmd
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() }) // of one that is gone already these say so, and no more
	line, err := bufio.NewReader(out).ReadString('\n')
	_, at, ok := strings.Cut(strings.TrimSpace(line), "http://")
	if !ok {
		t.Fatalf("the witness says %q: %v", line, err)
	}
	o.address = at
}

func (o *outsider) kill() {
	o.cmd.Process.Kill()
	o.cmd.Wait()
}

// head is what the witness cosigned last, and how much it mirrors.
func (o *outsider) head(t *testing.T) (size, mirrored int64) {
	t.Helper()
	out, err := exec.Command(binary, "witness", "heads", "--json", "--dir", o.dir).Output()
	var d struct {
		Logs []struct{ Size, Mirrored int64 }
	}
	if err == nil {
		err = json.Unmarshal(out, &d)
	}
	if err != nil || len(d.Logs) != 1 {
		t.Fatalf("%v: %s", err, out)
	}
	return d.Logs[0].Size, d.Logs[0].Mirrored
}

// wholeFolder copies an agency's folder, the signer's state and the witnesses'
// last word included, and the database; what it returns puts all back.
func (a *agency) wholeFolder(t *testing.T) (putBack func()) {
	t.Helper()
	database := a.copyDatabase(t, "early")
	to := filepath.Join(t.TempDir(), "folder")
	copyAll := func(from, to string) {
		t.Helper()
		if out, err := exec.Command("cp", "-a", from, to).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	copyAll(filepath.Join(a.dir, "signer"), to)
	return func() {
		t.Helper()
		if err := os.RemoveAll(filepath.Join(a.dir, "signer")); err != nil {
			t.Fatal(err)
		}
		copyAll(to, filepath.Join(a.dir, "signer"))
		a.putBack(t, database)
	}
}

// refusedAtStart wants the server to say that a witness saw another history.
func (a *agency) refusedAtStart(t *testing.T) {
	t.Helper()
	start := time.Now()
	out, errs, status := a.try(t, "serve", "--listen", "127.0.0.1:0")
	if status != 1 || out != "" || !strings.Contains(errs, "a witness saw another history of this log") || !strings.Contains(errs, "witness.invalid/w1") {
		t.Errorf("exit status %d\n%s%s", status, out, errs)
	}
	t.Logf("refused after %s: %s", time.Since(start).Round(time.Millisecond), strings.TrimSpace(errs))
}

// TestFolderPutBack puts the whole folder back to an earlier state, database,
// signer's state and all. Without a witness nobody could tell.
func TestFolderPutBack(t *testing.T) {
	eachEngine(t, 50, func(t *testing.T, a *agency) {
		o := a.witnessed(t)
		token := a.token(t, 0)
		a.work(t, token, 20)
		putBack := a.wholeFolder(t)
		a.work(t, token, 20)
		if size, _ := o.head(t); size != a.size(t) {
			t.Fatalf("the witness cosigned %d events of %d", size, a.size(t))
		}
		putBack()
		a.refusedAtStart(t)

		// While no witness answers it opens, for as long as the settings bear; and
		// grows past what the witness knows.
		o.kill()
		s := a.serve(t)
		c := a.client(t, token)
		for n := range 60 {
			if status, err := c.read(t.Context(), s, a.people[n%len(a.people)].Ref, "name"); status != http.StatusOK {
				t.Fatalf("read: %d, %v\n%s", status, err, s.stderr())
			}
		}
		o.start(t)
		eventually(t, "the witness's answer stops the reads", func() bool {
			status, _ := c.read(t.Context(), s, a.people[0].Ref, "name")
			return status == http.StatusServiceUnavailable
		})
		t.Cleanup(func() {
			if t.Failed() {
				t.Log(s.stderr())
			}
		})
		eventually(t, "the server says why", func() bool { return strings.Contains(s.stderr(), "a witness saw another history of this log") })
		s.kill()
		a.refusedAtStart(t)
	})
}

// TestStolenKey rewrites the whole log and signs it with its own key, in a shorter
// and a longer form: each row, tile and head of it is in order, and the witness
// tells.
func TestStolenKey(t *testing.T) {
	eachEngine(t, 20, func(t *testing.T, a *agency) {
		o := a.witnessed(t)
		a.work(t, a.token(t, 0), 40)
		cosigned, _ := o.head(t)
		if cosigned != a.size(t) {
			t.Fatalf("the witness cosigned %d events of %d", cosigned, a.size(t))
		}
		for _, events := range []int64{5, cosigned, cosigned + 100} {
			t.Run(fmt.Sprint(events), func(t *testing.T) {
				a.rewrite(t, int(events))
				a.refusedAtStart(t)
				if out, errs, status := a.try(t, "log", "verify"); status != 1 || !strings.Contains(errs, "a witness saw another history of this log") {
					t.Errorf("log verify: exit status %d\n%s%s", status, out, errs)
				}
			})
		}
	})
}

// rewrite makes another log of so many events in the place of an agency's, with
// its own key, from the first event on.
func (a *agency) rewrite(t *testing.T, events int) {
	t.Helper()
	signer := filepath.Join(a.dir, "signer")
	config, err := installation.ReadConfig(a.dir)
	fatal(t, err)
	blank := filepath.Join(t.TempDir(), "signer")
	fatal(t, auditlog.CreateSigner(blank, config.Origin))
	state, err := os.ReadFile(filepath.Join(blank, "state"))
	fatal(t, err)
	fatal(t, os.WriteFile(filepath.Join(signer, "state"), state, 0o600))
	fatal(t, os.RemoveAll(filepath.Join(signer, "cosigned")))
	d := a.open(t)
	defer d.Close()
	for _, table := range []string{"log_head", "log_event", "log_tile", "log_set_block"} {
		_, err := d.Exec(t.Context(), "DELETE FROM "+table)
		fatal(t, err)
	}
	stolen, err := auditlog.OpenSigner(signer)
	fatal(t, err)
	defer stolen.Close()
	log, err := auditlog.Open(context.WithoutCancel(t.Context()), d, auditlog.Options{ID: 1, Signer: stolen, Now: time.Now, Rand: rand.Reader})
	fatal(t, err)
	for n := range events {
		_, err := log.RecordOne(t.Context(), auditlog.Event{Action: auditlog.Search, Outcome: "none", Purpose: "enquiry", Case: fmt.Sprint("C-", n), Staff: "s-2"})
		fatal(t, err)
	}
	fatal(t, log.Close())
	size, root := stolen.Head()
	report, err := auditlog.Verify(t.Context(), d, 1, size, root, auditlog.VerifyOptions{Edge: stolen.Edge()})
	if err != nil || !report.OK || size != int64(events) {
		t.Fatalf("the rewritten log isn't in order by itself: %v, %+v", err, report)
	}
}

func fatal(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestMirrorSurvivesKills kills the witness and the server at random moments, and
// then the refill: the log's tables come back from the mirror all the same.
func TestMirrorSurvivesKills(t *testing.T) {
	eachEngine(t, 300, func(t *testing.T, a *agency) {
		rnd := chance(t)
		o := a.witnessed(t)
		token := a.token(t, 0)
		for range rounds(3) {
			s := a.serve(t)
			c := a.client(t, token)
			dead := make(chan struct{})
			go func() {
				defer close(dead)
				time.Sleep(time.Duration(rnd.IntN(150)) * time.Millisecond)
				o.kill()
			}()
			for n := range 80 {
				if status, err := c.read(t.Context(), s, a.people[n%len(a.people)].Ref, "name"); status != http.StatusOK {
					t.Fatalf("read: %d, %v\n%s", status, err, s.stderr())
				}
			}
			<-dead
			o.start(t)
			s.kill()
		}
		a.work(t, token, 1)
		size := a.size(t)
		eventually(t, "the mirror holds the log", func() bool {
			cosigned, mirrored := o.head(t)
			if cosigned == size && mirrored == size {
				return true
			}
			a.must(t, "witness", "status") // opens it, and feeds what is left
			return false
		})
		want := a.must(t, "log", "head")
		d := a.open(t)
		for _, table := range []string{"log_head", "log_event", "log_tile", "log_set_block"} {
			_, err := d.Exec(t.Context(), "DELETE FROM "+table)
			fatal(t, err)
		}
		d.Close()
		refill := []string{"log", "refill", "--from", "http://" + o.address, "--identity", filepath.Join(a.dir, "incident.key"), "--json"}
		for range rounds(3) {
			cmd := a.command(refill...)
			fatal(t, cmd.Start())
			time.Sleep(time.Duration(rnd.IntN(60)) * time.Millisecond)
			cmd.Process.Kill()
			cmd.Wait()
		}
		var done installation.Refilled
		fatal(t, json.Unmarshal([]byte(a.must(t, refill...)), &done))
		if done.To != size && done.To != size+1 || done.Missing != 0 || len(done.Changes) != 0 {
			t.Errorf("%d events were signed, and the refill says %+v\n%s", size, done, want)
		}
		a.verified(t)
		a.work(t, token, 5)
	})
}
