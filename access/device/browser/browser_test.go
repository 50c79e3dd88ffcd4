package browser_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"database/sql"
	"errors"
	"fmt"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"azekura/access/device"
	"azekura/access/device/browser"

	_ "modernc.org/sqlite"
)

// TestMain lets a test's own process be an installer that is killed.
func TestMain(m *testing.M) {
	if dir := os.Getenv("AZEKURA_TEST_INSTALL"); dir != "" {
		if err := installer(dir, os.Getenv("AZEKURA_TEST_P12")); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func installer(dir, p12 string) error {
	d, err := browser.Open(context.Background(), dir)
	if err != nil {
		return err
	}
	raw, err := os.ReadFile(p12 + ".der")
	if err != nil {
		return err
	}
	cert, err := x509.ParseCertificate(raw)
	if err != nil {
		return err
	}
	return d.Install(context.Background(), p12, cert)
}

// office is a devices' authority and what it issued.
type office struct {
	t *testing.T
	a *device.Authority
}

func newOffice(t *testing.T) *office {
	t.Helper()
	path := filepath.Join(t.TempDir(), "authority.pem")
	if err := device.Create(path, rand.Reader, time.Now()); err != nil {
		t.Fatal(err)
	}
	a, err := device.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	return &office{t, a}
}

func (o *office) key() *ecdsa.PrivateKey {
	o.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		o.t.Fatal(err)
	}
	return key
}

// issued is a certificate of a key and its PKCS #12 file.
type issued struct {
	cert *x509.Certificate
	p12  string
}

func (o *office) issue(name string, key *ecdsa.PrivateKey, lasts time.Duration) issued {
	o.t.Helper()
	request, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		o.t.Fatal(err)
	}
	i, err := o.a.Issue(request, name, rand.Reader, time.Now(), lasts)
	if err != nil {
		o.t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(i.DER)
	if err != nil {
		o.t.Fatal(err)
	}
	raw, err := browser.P12(key, cert)
	if err != nil {
		o.t.Fatal(err)
	}
	path := filepath.Join(o.t.TempDir(), "client.p12")
	if err := errors.Join(os.WriteFile(path, raw, 0o600), os.WriteFile(path+".der", i.DER, 0o600)); err != nil {
		o.t.Fatal(err)
	}
	return issued{cert, path}
}

func (o *office) installs(dir string, i issued) {
	o.t.Helper()
	if err := installer(dir, i.p12); err != nil {
		o.t.Fatal(err)
	}
}

// tool runs one of NSS's or OpenSSL's, and returns what it said.
func tool(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil && !strings.Contains(string(out), "no keys found") {
		t.Fatalf("%s %q: %v\n%s", name, args, err, out)
	}
	return string(out)
}

// holds: the database has this certificate of the device's, its key, and no other of it.
func holds(t *testing.T, dir, nickname string, i issued) {
	t.Helper()
	var lines []string
	for line := range strings.Lines(tool(t, "certutil", "-L", "-d", "sql:"+dir)) {
		if strings.HasPrefix(line, nickname) {
			lines = append(lines, strings.Join(strings.Fields(line), " "))
		}
	}
	if len(lines) != 1 || lines[0] != nickname+" u,u,u" {
		t.Errorf("the database lists %q", lines)
		return
	}
	if der := tool(t, "certutil", "-L", "-d", "sql:"+dir, "-n", nickname, "-r"); der != string(i.cert.Raw) {
		t.Error("its certificate is another")
	}
	keys := tool(t, "certutil", "-K", "-d", "sql:"+dir, "-f", os.DevNull)
	if n := strings.Count(keys, "< "); n != 1 {
		t.Errorf("%d keys:\n%s", n, keys)
	}
}

// TestInstall: into no database, then renewed with the same key, then enrolled anew with
// another, one certificate and one key are there; and again changes nothing.
func TestInstall(t *testing.T) {
	o, dir := newOffice(t), filepath.Join(t.TempDir(), "pki", "nssdb")
	key, second := o.key(), o.key()
	for _, i := range []issued{o.issue("pc-9", key, time.Hour), o.issue("pc-9", key, 2*time.Hour), o.issue("pc-9", second, time.Hour)} {
		o.installs(dir, i)
		holds(t, dir, "pc-9", i)
		before, err := os.ReadFile(filepath.Join(dir, "cert9.db"))
		if err != nil {
			t.Fatal(err)
		}
		o.installs(dir, i)
		if after, err := os.ReadFile(filepath.Join(dir, "cert9.db")); err != nil || !bytes.Equal(before, after) {
			t.Errorf("installed again, it is written again: %v", err)
		}
	}
	if left, err := filepath.Glob(filepath.Join(dir, "*.new")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %q %v", left, err)
	}
}

// TestOthers: certificates of others stay, one with the device's name too, and those of
// the device go wherever a person brought them in.
func TestOthers(t *testing.T) {
	o, dir := newOffice(t), t.TempDir()
	if _, err := browser.Open(t.Context(), dir); err != nil {
		t.Fatal(err)
	}
	other, elsewhere := o.issue("pc-1", o.key(), time.Hour), filepath.Join(t.TempDir(), "other.p12")
	o.installs(dir, other)
	tool(t, "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", elsewhere+".key",
		"-out", elsewhere+".pem", "-subj", "/O=another/CN=pc-9", "-days", "2")
	tool(t, "openssl", "pkcs12", "-export", "-inkey", elsewhere+".key", "-in", elsewhere+".pem", "-name", "pc-9", "-out", elsewhere, "-passout", "pass:x")
	tool(t, "pk12util", "-i", elsewhere, "-d", "sql:"+dir, "-k", os.DevNull, "-W", "x")
	key := o.key()
	first, second := o.issue("pc-9", key, time.Hour), o.issue("pc-9", key, 2*time.Hour)
	// By hand, under a name of one's own, as was needed before.
	pem := tool(t, "openssl", "pkcs12", "-in", first.p12, "-passin", "pass:"+browser.Password, "-nodes")
	if err := os.WriteFile(first.p12+".pem", []byte(pem), 0o600); err != nil {
		t.Fatal(err)
	}
	tool(t, "openssl", "pkcs12", "-export", "-in", first.p12+".pem", "-name", "my own  PC", "-out", first.p12+".named", "-passout", "pass:x")
	tool(t, "pk12util", "-i", first.p12+".named", "-d", "sql:"+dir, "-k", os.DevNull, "-W", "x")
	o.installs(dir, second)
	list := tool(t, "certutil", "-L", "-d", "sql:"+dir)
	if n := strings.Count(list, "u,u,u"); n != 3 || strings.Contains(list, "my own") {
		t.Errorf("%d certificates:\n%s", n, list)
	}
	for name, der := range map[string][]byte{"pc-1": other.cert.Raw, "pc-9 #2": second.cert.Raw} {
		if got := tool(t, "certutil", "-L", "-d", "sql:"+dir, "-n", name, "-r"); got != string(der) {
			t.Errorf("%s is another certificate", name)
		}
	}
	if text := tool(t, "certutil", "-L", "-d", "sql:"+dir, "-n", "pc-9"); !strings.Contains(text, "O=another") {
		t.Error("somebody else's certificate with the device's name is gone")
	}
}

// TestRefused: what can't be done is said before anything is, and what to do.
func TestRefused(t *testing.T) {
	o := newOffice(t)
	t.Run("a password", func(t *testing.T) {
		dir, secret := t.TempDir(), filepath.Join(t.TempDir(), "secret")
		if err := os.WriteFile(secret, []byte("a secret\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		tool(t, "certutil", "-N", "-d", "sql:"+dir, "-f", secret)
		if _, err := browser.Open(t.Context(), dir); err == nil || !strings.Contains(err.Error(), "primary password") {
			t.Errorf("a database with a password: %v", err)
		}
	})
	t.Run("one subject of two authorities", func(t *testing.T) {
		dir, p12, key := t.TempDir(), filepath.Join(t.TempDir(), "other.p12"), o.key()
		o.installs(dir, o.issue("pc-9", o.key(), time.Hour))
		template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "pc-9"}, NotAfter: time.Now().Add(time.Hour)}
		der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
		if err != nil {
			t.Fatal(err)
		}
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		raw, err := browser.P12(key, cert)
		if err = errors.Join(err, os.WriteFile(p12, raw, 0o600)); err != nil {
			t.Fatal(err)
		}
		tool(t, "pk12util", "-i", p12, "-d", "sql:"+dir, "-k", os.DevNull, "-W", browser.Password)
		i := o.issue("pc-9", o.key(), 2*time.Hour)
		if err := installer(dir, i.p12); err == nil || !strings.Contains(err.Error(), "isn't Azekura's") {
			t.Errorf("a name that isn't ours alone: %v", err)
		}
		if list := tool(t, "certutil", "-L", "-d", "sql:"+dir); strings.Count(list, "pc-9") != 2 {
			t.Errorf("refused, and changed:\n%s", list)
		}
	})
	t.Run("not a database", func(t *testing.T) {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "key4.db"), []byte(strings.Repeat("not a database ", 1000)), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := browser.Open(t.Context(), dir); err == nil || !strings.Contains(err.Error(), dir) {
			t.Errorf("a folder with something else: %v", err)
		}
	})
	t.Run("no tools", func(t *testing.T) {
		t.Setenv("PATH", t.TempDir())
		dir := filepath.Join(t.TempDir(), "nssdb")
		if _, err := browser.Open(t.Context(), dir); !errors.Is(err, browser.ErrNoTools) || !strings.Contains(err.Error(), "libnss3-tools") {
			t.Errorf("without the tools: %v", err)
		}
		if _, err := os.Stat(dir); err == nil {
			t.Error("refused, and a folder made")
		}
	})
}

// TestP12: OpenSSL and NSS read the file under its password, and it holds the one
// certificate.
func TestP12(t *testing.T) {
	o := newOffice(t)
	key := o.key()
	i, next := o.issue("pc-9", key, time.Hour), o.issue("pc-9", key, 2*time.Hour)
	if said := tool(t, "openssl", "pkcs12", "-in", i.p12, "-passin", "pass:"+browser.Password, "-nodes"); !strings.Contains(said, "BEGIN PRIVATE KEY") || strings.Count(said, "BEGIN CERTIFICATE") != 1 {
		t.Error("OpenSSL doesn't find one key and one certificate in it")
	}
	if said := tool(t, "pk12util", "-l", i.p12, "-W", browser.Password); !strings.Contains(said, "CN=pc-9") {
		t.Error("NSS doesn't find the certificate in it")
	}
	raw, err := os.ReadFile(i.p12)
	if err != nil || !browser.InP12(raw, i.cert) || browser.InP12(raw, next.cert) || browser.InP12(raw[1:], i.cert) || browser.InP12(nil, i.cert) {
		t.Errorf("it is taken for another's: %v", err)
	}
}

// killer stands before NSS's tools in PATH: it counts their runs, and after the run
// whose turn it is kills who ran it. With a time, the tool itself dies first.
const killer = `#!/bin/sh
n=$(($(cat "$COUNT") + 1))
echo $n >"$COUNT"
if [ $n = "$KILL" ] && [ -n "$DIES" ]; then
  timeout -s KILL "$DIES" "$REAL/${0##*/}" "$@"
  rc=$?
else
  "$REAL/${0##*/}" "$@"
  rc=$?
fi
[ $n != "$KILL" ] || kill -KILL $PPID
exit $rc
`

// TestKilled: whoever was killed after any step of an installation, or in the middle of
// one of a tool's own, comes by the next run to where one comes that nobody killed.
func TestKilled(t *testing.T) {
	o, tools := newOffice(t), t.TempDir()
	real, err := exec.LookPath("certutil")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"certutil", "pk12util"} {
		if err := os.WriteFile(filepath.Join(tools, name), []byte(killer), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	key := o.key()
	old, renewed, another := o.issue("pc-9", key, time.Hour), o.issue("pc-9", key, 2*time.Hour), o.issue("pc-9", o.key(), time.Hour)
	killed := func(dir string, i issued, at int, dies string) bool {
		count := filepath.Join(t.TempDir(), "count")
		if err := os.WriteFile(count, []byte("0\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), "PATH="+tools+":"+os.Getenv("PATH"), "REAL="+filepath.Dir(real), "COUNT="+count,
			"KILL="+strconv.Itoa(at), "DIES="+dies, "AZEKURA_TEST_INSTALL="+dir, "AZEKURA_TEST_P12="+i.p12)
		out, err := cmd.CombinedOutput()
		var ended *exec.ExitError
		if err != nil && (!errors.As(err, &ended) || ended.ExitCode() != -1) {
			t.Fatalf("it wasn't killed, and failed: %v\n%s", err, out)
		}
		return err != nil
	}
	for what, c := range map[string]struct {
		first *issued
		then  issued
		dies  []string // when into its step a tool does, in seconds; empty for after it
		steps int      // at least
	}{
		"into none":     {nil, old, []string{""}, 5},
		"a renewal":     {&old, renewed, []string{""}, 7},
		"another's key": {&old, another, []string{"0.006"}, 7},
	} {
		t.Run(what, func(t *testing.T) {
			before := t.TempDir()
			if c.first != nil {
				o.installs(before, *c.first)
			}
			for _, dies := range c.dies {
				at := 1
				for ; ; at++ {
					dir := filepath.Join(t.TempDir(), "nssdb")
					if err := os.CopyFS(dir, os.DirFS(before)); err != nil {
						t.Fatal(err)
					}
					if !killed(dir, c.then, at, dies) {
						break
					}
					o.installs(dir, c.then)
					holds(t, dir, "pc-9", c.then)
					if t.Failed() {
						t.Fatalf("killed at step %d (%s)", at, dies)
					}
				}
				if at <= c.steps {
					t.Errorf("ended by itself after %d steps", at)
				}
			}
		})
	}
}

// TestKeyLeft: a key whose certificate a tool had taken out when it was killed goes with
// the next installation; the new one's own, and another device's, stay.
func TestKeyLeft(t *testing.T) {
	o, dir := newOffice(t), filepath.Join(t.TempDir(), "nssdb")
	key := o.key()
	old, other := o.issue("pc-9", o.key(), time.Hour), o.issue("pc-8", o.key(), time.Hour)
	o.installs(dir, other)
	o.installs(dir, old)
	keys := func() int { return strings.Count(tool(t, "certutil", "-K", "-d", "sql:"+dir, "-f", os.DevNull), "< ") }
	tool(t, "certutil", "-D", "-d", "sql:"+dir, "-n", "pc-9")
	if keys() != 2 {
		t.Fatalf("%d keys, and the old one's is left", keys())
	}
	o.installs(dir, o.issue("pc-9", key, time.Hour))
	if keys() != 2 {
		t.Errorf("%d keys after another key was installed", keys())
	}
	tool(t, "certutil", "-D", "-d", "sql:"+dir, "-n", "pc-9")
	o.installs(dir, o.issue("pc-9", key, 2*time.Hour))
	if keys() != 2 {
		t.Errorf("%d keys after the same key was installed", keys())
	}
	tool(t, "certutil", "-L", "-d", "sql:"+dir, "-n", "pc-8")
}

// TestHalfWritten: a database in the midst of whose writing a tool was killed, with
// SQLite's journal of what to take back beside it, is mended and installed into.
func TestHalfWritten(t *testing.T) {
	o, whole, dir := newOffice(t), t.TempDir(), t.TempDir()
	key := o.key()
	old, renewed := o.issue("pc-9", key, time.Hour), o.issue("pc-9", key, 2*time.Hour)
	o.installs(whole, old)
	pool, err := sql.Open("sqlite", filepath.Join(whole, "cert9.db")+"?_pragma=cache_size(1)&_pragma=synchronous(off)")
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	tx, err := pool.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback() }()
	for n := range 50 { // more than the cache holds
		if _, err := tx.ExecContext(t.Context(), "INSERT INTO nssPublic (id, a0) VALUES ($1, $2)", 1000+n, make([]byte, 4000)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.CopyFS(dir, os.DirFS(whole)); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("certutil", "-L", "-d", "sql:"+dir).CombinedOutput(); err == nil {
		t.Fatalf("it isn't half written:\n%s", out)
	}
	o.installs(dir, renewed)
	holds(t, dir, "pc-9", renewed)
}
