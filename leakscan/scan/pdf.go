package scan

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"time"
)

// pdfProgram turns a PDF into text. Reading PDFs is work for a program that many
// hands have hardened, in a process of its own, whose memory and time are bounded.
const pdfProgram = "pdftotext"

const (
	pdfMemory = 1 << 20 // KiB of address space
	pdfTime   = 10 * time.Minute
)

var (
	errNoPDF   = errors.New("pdftotext isn't installed: Debian's poppler-utils and poppler-data have it")
	errPDFText = errors.New("pdftotext can't read all of it")
)

// pdf reads what pdftotext finds, in the layout of the page, so that a table's row
// stays a line. A PDF that is only pictures has no text, and says so in the ledger.
func (w *work) pdf(in *input) error {
	if _, err := exec.LookPath(pdfProgram); err != nil {
		return errNoPDF
	}
	path := in.path
	if in.file == nil {
		file, err := os.CreateTemp(w.temp, "pdf-")
		if err != nil {
			return fmt.Errorf("make room for a PDF: %w", err)
		}
		defer os.Remove(file.Name())
		_, err = io.Copy(file, in.r)
		if err = errors.Join(err, file.Close()); err != nil {
			return err
		}
		path = file.Name()
	}
	for _, password := range append([]string{""}, w.passwords...) {
		err := w.pdfText(in, path, password)
		if !errors.Is(err, errPassword) {
			return err
		}
	}
	return errPassword
}

func (w *work) pdfText(in *input, path, password string) error {
	ctx, cancel := context.WithTimeout(w.ctx, pdfTime)
	defer cancel()
	// -- after the options: a file may be called -x.
	cmd := exec.CommandContext(ctx, "/bin/sh", "-c", fmt.Sprintf(`ulimit -v %d -c 0; exec "$@"`, pdfMemory), "sh", pdfProgram, "-enc", "UTF-8", "-layout")
	if password != "" {
		cmd.Args = append(cmd.Args, "-upw", password)
	}
	cmd.Args = append(cmd.Args, "--", path, "-")
	var said tailBuffer
	cmd.Stderr = &said
	text, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return errNoPDF
	}
	first := make([]byte, 1)
	n, _ := io.ReadFull(text, first)
	if n > 0 {
		err = w.inner(in, "text", io.MultiReader(bytes.NewReader(first), text), -1)
	}
	_, _ = io.Copy(io.Discard, text) // what wasn't wanted; it is stopped by its time
	switch failed := cmd.Wait(); {
	case err != nil:
		return err
	case bytes.Contains(said.text, []byte("Incorrect password")):
		return errPassword
	case ctx.Err() != nil:
		return cmpErr(w.ctx.Err(), errTime)
	case failed != nil:
		return errPDFText
	case n == 0:
		return errNoText
	}
	return nil
}

var errNoText = errors.New("no text in it: pictures, or nothing")

// tailBuffer keeps the head of what a program says, to be compared and never shown.
type tailBuffer struct{ text []byte }

func (t *tailBuffer) Write(b []byte) (int, error) {
	t.text = append(t.text, b[:min(len(b), 4096-len(t.text))]...)
	return len(b), nil
}
