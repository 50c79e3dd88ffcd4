package scan

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
)

// The files of a result's folder.
const (
	FindingsFile = "findings.ndjson"
	LedgerFile   = "ledger.ndjson"
	SummaryFile  = "summary.json"
	JournalFile  = "journal"
)

// WriteFolder writes findings, ledger and, last, the summary into a folder.
func (r *Result) WriteFolder(dir string) error {
	for _, f := range []struct {
		name  string
		write func(io.Writer) error
	}{{FindingsFile, r.WriteFindings}, {LedgerFile, r.WriteLedger}, {SummaryFile, func(w io.Writer) error {
		enc := json.NewEncoder(w)
		enc.SetIndent("", "  ")
		return enc.Encode(r.Summary)
	}}} {
		file, err := os.OpenFile(filepath.Join(dir, f.name), os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
		if err != nil {
			return err
		}
		if err := errors.Join(f.write(file), file.Close()); err != nil {
			return err
		}
	}
	return nil
}
