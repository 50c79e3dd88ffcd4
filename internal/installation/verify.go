package installation

import (
	"context"
	"errors"

	"azekura/auditlog"
)

// VerifyLog verifies the audit log of an installation that can't be opened
// because its log isn't what was signed. It needs no passphrase: the members of
// set events stay sealed, and only their rows are counted.
func VerifyLog(ctx context.Context, dir string, progress func(done, total int64)) (report auditlog.Report, earlier []auditlog.Earlier, err error) {
	config, err := ReadConfig(dir)
	if err != nil {
		return report, nil, err
	}
	signer, err := auditlog.OpenSigner(signerFolder(dir))
	if err != nil {
		return report, nil, err
	}
	defer func() { err = errors.Join(err, signer.Close()) }()
	d, err := config.open(ctx, dir)
	if err != nil {
		return report, nil, err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	report, earlier, err = auditlog.VerifyAll(ctx, d, config.LogID, signer, auditlog.VerifyOptions{Progress: progress})
	if err != nil || !report.OK {
		return report, earlier, err
	}
	// No head covers what lies behind the signed one; the sequencer's word does.
	err = auditlog.CheckTail(ctx, d, config.LogID, signer)
	if errors.Is(err, auditlog.ErrSigner) {
		report.OK, report.Problem, report.FirstBad, report.BadEnd = false, err.Error(), report.Size, report.Size+report.Unsigned
		err = nil
	}
	return report, earlier, err
}
