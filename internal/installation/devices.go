package installation

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"os"
	"path/filepath"

	"azekura/access"
	"azekura/access/device"
)

// authorityFile is the devices' authority's place in an installation's folder.
const authorityFile = "devices/authority.pem"

// startDevices opens the devices' authority, and makes one where there is none: a
// folder of an older version, or one that was restored. Devices that another
// authority vouched for enrol again.
func (i *Installation) startDevices() error {
	path := filepath.Join(i.Dir, authorityFile)
	_, err := os.Stat(path)
	if errors.Is(err, os.ErrNotExist) {
		err = device.Create(path, rand.Reader, i.Log.Now())
	}
	if err == nil {
		i.Devices, err = device.Open(path)
	}
	if !i.Config.DeviceKeys {
		i.Access.AcceptUnbound()
	}
	return err
}

// EnrolDevice enrols a new key for a device, made and kept by this process, as its
// agent would. It is for what runs beside the installation: a demo, a drill, a test.
func (i *Installation) EnrolDevice(ctx context.Context, id string) (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	request, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		return tls.Certificate{}, err
	}
	code, _, err := i.Access.NewDeviceCode(ctx, access.Operator(), id)
	if err != nil {
		return tls.Certificate{}, err
	}
	issued, _, err := i.Access.EnrolDevice(ctx, i.Devices, code, access.KindFile, request)
	return tls.Certificate{Certificate: [][]byte{issued.DER}, PrivateKey: key}, err
}
