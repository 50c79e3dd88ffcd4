package installation

import (
	"context"
	"errors"
	"path/filepath"

	"azekura/auditlog"
	"azekura/internal/db"
)

// VerifyLog verifies the audit log of an installation that can't be opened
// because its log isn't what was signed. It needs no passphrase: the members of
// set events stay sealed, and only their rows are counted.
func VerifyLog(ctx context.Context, dir string, progress func(done, total int64)) (report auditlog.Report, err error) {
	config, err := ReadConfig(dir)
	if err != nil {
		return report, err
	}
	signer, err := auditlog.OpenSigner(filepath.Join(dir, "signer"))
	if err != nil {
		return report, err
	}
	defer func() { err = errors.Join(err, signer.Close()) }()
	d, err := db.Open(ctx, config.database(dir))
	if err != nil {
		return report, err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	size, root := signer.Head()
	return auditlog.Verify(ctx, d, config.LogID, size, root, auditlog.VerifyOptions{Progress: progress, Edge: signer.Edge()})
}
