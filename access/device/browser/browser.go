// Package browser hands a device's key and certificate to the browsers of its PC: as
// a PKCS #12 file, and in the NSS database that Chromium and Firefox have on Linux.
//
// It promises that after Install the database holds exactly one certificate of the
// device from a devices' authority, which is the given one with its key, and that
// whoever was killed in the midst of it comes there by the next. Other certificates
// and keys it leaves alone. For a moment in between, the database has none; the key
// stays, so a browser that is open goes on. The work is NSS's own tools' (certutil and
// pk12util), since the form of the database is theirs.
//
// What it writes guards nothing: the file's password is a known word, the database has
// none, and whoever reads either has the key. It is no place for a key of worth, and a
// key in a TPM can't be handed over.
package browser

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/sha1"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"azekura/access/device"

	pkcs12 "software.sslmate.com/src/go-pkcs12"
)

// Password is a PKCS #12 file's. Programs that import one insist on a password; beside
// a key that lies there in the clear, a secret one would add nothing.
const Password = pkcs12.DefaultPassword

// ErrNoTools means that NSS's tools aren't there.
var ErrNoTools = errors.New("certutil and pk12util of NSS aren't both in PATH; install them (Debian's package is libnss3-tools)")

// How long one of the tools may take, and how much it may say, in bytes.
const (
	patience = time.Minute
	mostSaid = 16 << 20
)

// P12 puts a key and its certificate into a PKCS #12 file's bytes. Its ciphers are old
// ones, which Windows, macOS, NSS and OpenSSL all read: under a known password they are
// a form, and not a protection.
func P12(key *ecdsa.PrivateKey, cert *x509.Certificate) ([]byte, error) {
	return pkcs12.LegacyDES.Encode(key, cert, nil, Password)
}

// InP12 tells whether a PKCS #12 file's bytes are of a certificate.
func InP12(raw []byte, cert *x509.Certificate) bool {
	_, has, err := pkcs12.Decode(raw, Password)
	return err == nil && has.Equal(cert)
}

// Database is an NSS database without a password.
type Database struct {
	dir, certutil, pk12util string
}

// Open takes up the database in a folder, such as $HOME/.pki/nssdb or a Firefox
// profile, and makes one where there is none.
func Open(ctx context.Context, dir string) (*Database, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	d := &Database{dir: dir}
	var errs [2]error
	d.certutil, errs[0] = exec.LookPath("certutil")
	d.pk12util, errs[1] = exec.LookPath("pk12util")
	if errors.Join(errs[:]...) != nil {
		return nil, ErrNoTools
	}
	if err := d.create(ctx); err != nil {
		return nil, fmt.Errorf("make the browser's database %s: %w", dir, err)
	}
	// Opened for writing (-X), it mends what a killed tool left half written; later ones only read.
	said, err := d.run(ctx, d.certutil, "-K", "-X", "-d", d.at(), "-f", os.DevNull)
	switch {
	case strings.Contains(said, "SEC_ERROR_BAD_PASSWORD"):
		return nil, fmt.Errorf("the browser's database %s has a password (Firefox calls it the primary password), which the agent isn't told; take it away there, or give the browser another profile", dir)
	case err != nil && !strings.Contains(said, "no keys found"):
		return nil, fmt.Errorf("open the browser's database %s: %w", dir, err)
	}
	return d, nil
}

// create makes the database aside and moves its keys' part last: that one being there
// is what tells a database from a beginning of one.
func (d *Database) create(ctx context.Context) error {
	const keys, certs = "key4.db", "cert9.db"
	if _, err := os.Stat(filepath.Join(d.dir, keys)); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	aside := filepath.Join(d.dir, "azekura.new")
	if err := errors.Join(os.RemoveAll(aside), os.MkdirAll(aside, 0o700)); err != nil {
		return err
	}
	if _, err := d.run(ctx, d.certutil, "-N", "-d", "sql:"+aside, "-f", os.DevNull, "--empty-password"); err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(d.dir, certs)); errors.Is(err, fs.ErrNotExist) {
		if err := os.Rename(filepath.Join(aside, certs), filepath.Join(d.dir, certs)); err != nil {
			return err
		}
	}
	if err := os.Rename(filepath.Join(aside, keys), filepath.Join(d.dir, keys)); err != nil {
		return err
	}
	return os.RemoveAll(aside) // with a pkcs11.txt that names the wrong folder; the tools write another
}

func (d *Database) at() string { return "sql:" + d.dir }

// Install puts the certificate and the key of a PKCS #12 file that P12 made into the
// database, and removes those that the device had before.
func (d *Database) Install(ctx context.Context, p12 string, cert *x509.Certificate) error {
	done, err := d.install(ctx, p12, cert)
	if err == nil && !done {
		err = errors.New("the tools say that it is done, and it isn't there; is another agent at work there, or a device of the same name?")
	}
	if err != nil {
		return fmt.Errorf("install the certificate in the browser's database %s: %w", d.dir, err)
	}
	return nil
}

func (d *Database) install(ctx context.Context, p12 string, cert *x509.Certificate) (bool, error) {
	had, err := d.of(ctx, cert)
	if err != nil || only(had, cert) {
		return err == nil, err
	}
	for _, e := range had {
		if err := d.remove(ctx, e, cert); err != nil {
			return false, err
		}
	}
	if err := d.sweep(ctx, cert); err != nil {
		return false, err
	}
	if _, err := d.run(ctx, d.pk12util, "-i", p12, "-d", d.at(), "-k", os.DevNull, "-W", Password); err != nil {
		return false, err
	}
	has, err := d.of(ctx, cert)
	return err == nil && only(has, cert), err
}

// entry are a device's certificates under one nickname.
type entry struct {
	nickname string
	certs    []*x509.Certificate
	keyed    bool // their key is there
	shared   bool // with certificates that aren't ours
}

func only(had []entry, cert *x509.Certificate) bool {
	return len(had) == 1 && len(had[0].certs) == 1 && had[0].keyed && had[0].certs[0].Equal(cert)
}

// listed is a line of certutil -L: a nickname, and how it is trusted.
var listed = regexp.MustCompile(`(?m)^(.*\S) +([A-Za-z]*,[A-Za-z]*,[A-Za-z]*) *$`)

// of finds what the database has of a certificate's device, under whatever nickname:
// NSS gives a subject's second certificate that of the first, which a person may have
// brought in under another.
func (d *Database) of(ctx context.Context, cert *x509.Certificate) ([]entry, error) {
	var found []entry
	err := d.each(ctx, func(nickname, trust string, certs []*x509.Certificate) {
		e := entry{nickname: nickname, keyed: strings.Contains(trust, "u")}
		for _, c := range certs {
			if c != nil && bytes.Equal(c.RawSubject, cert.RawSubject) && bytes.Equal(c.RawIssuer, cert.RawIssuer) && device.Named(c) {
				e.certs = append(e.certs, c)
			} else {
				e.shared = true
			}
		}
		if len(e.certs) > 0 {
			found = append(found, e)
		}
	})
	return found, err
}

// each tells of the certificates under each nickname; one that isn't understood is nil.
func (d *Database) each(ctx context.Context, f func(nickname, trust string, certs []*x509.Certificate)) error {
	list, err := d.run(ctx, d.certutil, "-L", "-d", d.at())
	if err != nil {
		return err
	}
	seen := map[string]bool{}
	for _, line := range listed.FindAllStringSubmatch(list, -1) {
		if seen[line[1]] {
			continue
		}
		seen[line[1]] = true
		text, err := d.run(ctx, d.certutil, "-L", "-d", d.at(), "-n", line[1], "-a")
		if err != nil {
			continue // what its own list can't name isn't a certificate of ours
		}
		var certs []*x509.Certificate
		for block, rest := pem.Decode([]byte(text)); block != nil; block, rest = pem.Decode(rest) {
			c, err := x509.ParseCertificate(block.Bytes)
			if err != nil {
				c = nil
			}
			certs = append(certs, c)
		}
		f(line[1], line[2], certs)
	}
	return nil
}

// remove takes an entry's certificates out, one by one as certutil does, and their keys
// where they aren't the new certificate's: an open browser may be signing with that.
func (d *Database) remove(ctx context.Context, e entry, cert *x509.Certificate) error {
	if e.shared {
		return fmt.Errorf("%q there is also the name of a certificate that isn't Azekura's; remove one of them, or give another database", e.nickname)
	}
	how := []string{"-D", "-d", d.at(), "-n", e.nickname}
	for _, c := range e.certs {
		if !bytes.Equal(c.RawSubjectPublicKeyInfo, cert.RawSubjectPublicKeyInfo) && e.keyed {
			how = []string{"-F", "-d", d.at(), "-n", e.nickname, "-f", os.DevNull}
		}
	}
	for range e.certs {
		if _, err := d.run(ctx, d.certutil, how...); err != nil {
			return err
		}
	}
	return nil
}

// held is a line of certutil -K: a key's id, and its label.
var held = regexp.MustCompile(`(?m)^< *[0-9]+> +ec +([0-9a-f]{40}) +(.*\S) *$`)

// sweep removes keys with the device's name whose certificate is gone: certutil takes the
// certificate out first, and may have been killed then. A key of any certificate stays.
func (d *Database) sweep(ctx context.Context, cert *x509.Certificate) error {
	said, err := d.run(ctx, d.certutil, "-K", "-d", d.at(), "-f", os.DevNull)
	if err != nil && !strings.Contains(said, "no keys found") {
		return err
	}
	owned := map[string]bool{keyID(cert): true}
	unknown := false
	if err := d.each(ctx, func(_, _ string, certs []*x509.Certificate) {
		for _, c := range certs {
			if unknown = unknown || c == nil; c != nil {
				owned[keyID(c)] = true
			}
		}
	}); err != nil || unknown {
		return err
	}
	for _, key := range held.FindAllStringSubmatch(said, -1) {
		if key[2] != cert.Subject.CommonName || owned[key[1]] {
			continue
		}
		if _, err := d.run(ctx, d.certutil, "-F", "-d", d.at(), "-k", key[1], "-f", os.DevNull); err != nil {
			return err
		}
	}
	return nil
}

// keyID is what NSS names the key of a certificate by: the SHA-1 of its point.
func keyID(cert *x509.Certificate) string {
	public, ok := cert.PublicKey.(*ecdsa.PublicKey)
	if !ok {
		return ""
	}
	point, err := public.Bytes()
	if err != nil {
		return ""
	}
	return fmt.Sprintf("%x", sha1.Sum(point))
}

// run has a tool do its work and returns what it said. It is asked nothing: what a tool
// wants of a person is in its arguments, or it fails.
func (d *Database) run(ctx context.Context, tool string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, tool, args...)
	cmd.WaitDelay = time.Second
	var said limited
	cmd.Stdout, cmd.Stderr = &said, &said
	err := cmd.Run()
	if err != nil {
		err = fmt.Errorf("%s %s: %w: %s", filepath.Base(tool), args[0], err, said.short())
	}
	return said.String(), err
}

// limited keeps what a tool says, up to mostSaid: one that asks for a password without
// end is ended.
type limited struct{ bytes.Buffer }

func (l *limited) Write(p []byte) (int, error) {
	if l.Len()+len(p) > mostSaid {
		return 0, errors.New("it says too much")
	}
	return l.Buffer.Write(p)
}

// short is the end of what was said, in one line.
func (l *limited) short() string {
	lines := strings.Fields(l.String())
	text := strings.Join(lines, " ")
	return text[max(0, len(text)-300):]
}
