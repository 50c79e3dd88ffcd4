package api

import (
	"context"
	"crypto/ecdsa"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"azekura/access/device/browser"
	"azekura/internal/slotfile"
)

// Install says where an agent puts each certificate beside its own folder.
type Install struct {
	// Browsers are the folders of the NSS databases of the PC's browsers. They take a key
	// in a file alone.
	Browsers []string
	// After is a command of the administrator's, which the shell runs; empty for none. It
	// finds the paths of the certificate in AZEKURA_CERT and, for a key in a file, of a
	// PKCS #12 file in AZEKURA_P12.
	After string
	// Says has what the command says; nil for nowhere.
	Says io.Writer
}

// afterPatience is how long the administrator's command may take.
const afterPatience = 5 * time.Minute

// Install puts the certificate where it was asked for. What is there already stays as
// it is; the command runs each time, so that after a kill it has run for the newest.
func (a *Agent) Install(ctx context.Context) error {
	var errs []error
	for _, db := range a.browsers {
		errs = append(errs, db.Install(ctx, filepath.Join(a.dir, agentP12), a.cert))
	}
	return errors.Join(append(errs, a.after(ctx))...)
}

// Installed is Install, again each minute until it is done or the certificate is due to
// be renewed; failed hears of each attempt that wasn't.
func (a *Agent) Installed(ctx context.Context, failed func(error)) {
	for {
		err := a.Install(ctx)
		if err == nil || ctx.Err() != nil {
			return
		}
		failed(err)
		if time.Now().Add(agentPause).After(a.due()) {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(agentPause):
		}
	}
}

func (a *Agent) after(ctx context.Context) error {
	if a.put.After == "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, afterPatience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "/bin/sh", "-c", a.put.After)
	cmd.Env = append(os.Environ(), "AZEKURA_CERT="+a.path(agentCert), "AZEKURA_P12=")
	if _, file := a.key.(*ecdsa.PrivateKey); file {
		cmd.Env = append(cmd.Env, "AZEKURA_P12="+a.path(agentP12))
	}
	cmd.Stdout, cmd.Stderr, cmd.WaitDelay = a.put.Says, a.put.Says, time.Second
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("run the command after a renewal: %w", errors.Join(err, ctx.Err()))
	}
	return nil
}

// path is where the folder has a file, for programs that stand elsewhere.
func (a *Agent) path(name string) string {
	path, err := filepath.Abs(filepath.Join(a.dir, name))
	if err != nil { // there is no current folder: as it was given
		return filepath.Join(a.dir, name)
	}
	return path
}

func (a *Agent) openBrowsers(ctx context.Context) error {
	for _, dir := range a.put.Browsers {
		db, err := browser.Open(ctx, dir)
		if err != nil {
			return err
		}
		a.browsers = append(a.browsers, db)
	}
	return nil
}

// forBrowser refuses a key that a browser's database can't have, before anything is
// kept or asked of the server.
func (a *Agent) forBrowser() error {
	if len(a.browsers) == 0 || a.at.TPM == "" {
		return nil
	}
	return fmt.Errorf("the key of this device is in the TPM %s, which gives it to no browser's database; leave --browser out and let the browser use the TPM by PKCS #11 (Debian's libtpm2-pkcs11-1), or enrol with --tpm off and an empty folder for a key in a file, which can be copied", a.at.TPM)
}

// writeP12 has a key in a file, with its certificate, beside it in the form that
// browsers and systems import: whole, and only where it isn't there already.
func (a *Agent) writeP12() error {
	key, file := a.key.(*ecdsa.PrivateKey)
	if !file {
		return nil
	}
	path := filepath.Join(a.dir, agentP12)
	if raw, err := os.ReadFile(path); err == nil && browser.InP12(raw, a.cert) {
		return nil
	}
	raw, err := browser.P12(key, a.cert)
	if err == nil {
		err = slotfile.Replace(path, raw)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}
