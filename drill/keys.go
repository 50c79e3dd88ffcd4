package drill

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"

	"azekura/api"
	"azekura/internal/installation"
	"azekura/internal/slotfile"
)

// enrolled is a PC's key and certificate, in files: as copyable as its agent's.
type enrolled struct {
	tls.Certificate
	cert, key string
}

// enrol gives each PC at which somebody works a key. The certificate is good for a
// day of the drill's; each morning the PC renews it.
func (d *drill) enrol(ctx context.Context, inst *installation.Installation) error {
	for _, m := range d.days.keyed() {
		cert, err := inst.EnrolDevice(ctx, m.device)
		if err != nil {
			return fmt.Errorf("enrol the PCs: %w", err)
		}
		raw, err := x509.MarshalPKCS8PrivateKey(cert.PrivateKey)
		if err != nil {
			return err
		}
		m.pc = &enrolled{cert, filepath.Join(d.scene, m.device+".cert"), filepath.Join(d.scene, m.device+".key")}
		if err := errors.Join(writePEM(m.pc.key, "PRIVATE KEY", raw), writePEM(m.pc.cert, "CERTIFICATE", cert.Certificate[0])); err != nil {
			return err
		}
	}
	return nil
}

// keyed are all who work at a PC.
func (d *days) keyed() (list []*member) {
	for _, of := range [][]member{d.team, d.officers} {
		for i := range of {
			list = append(list, &of[i])
		}
	}
	return list
}

// writePEM replaces a file in one step: a thief may be reading it.
func writePEM(path, kind string, der []byte) error {
	return slotfile.Replace(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

// renew has the server sign the PC's next certificate. ok is false for a PC that it
// doesn't renew: one that is contained.
func (d *days) renew(ctx context.Context, p *enrolled) (ok bool, err error) {
	request, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, p.PrivateKey)
	if err != nil {
		return false, err
	}
	var got api.Certificate
	status, detail, err := send(ctx, d.http, "https://"+d.address+api.RenewPath, "", api.Renewal{Request: request}, &got)
	if err != nil || status >= http.StatusInternalServerError {
		return false, errors.Join(err, fmt.Errorf("renew a PC's certificate: status %d %s", status, detail))
	}
	if status != http.StatusOK {
		return false, nil
	}
	p.Certificate.Certificate = [][]byte{got.Certificate}
	return true, writePEM(p.cert, "CERTIFICATE", got.Certificate)
}

// at is a client of a PC's: it trusts the server and shows the PC's certificate.
func (p *enrolled) at(ca string) (*http.Client, error) {
	c, err := trusting(ca)
	if err == nil {
		c.Transport.(*http.Transport).TLSClientConfig.Certificates = []tls.Certificate{p.Certificate}
	}
	return c, err
}
