package scan

import (
	"archive/tar"
	"archive/zip"
	"compress/gzip"
	"errors"
	"io"
	"slices"
	"strings"
	"sync"

	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/zstd"
)

// inner scans what a container holds.
func (w *work) inner(in *input, name string, r io.Reader, size int64) error {
	w.any(w.input(joinPath(in.path, name), r, size, in.depth+1))
	return w.ctx.Err()
}

func (w *work) gzip(in *input) error {
	z, err := gzip.NewReader(in.r)
	if err != nil {
		return err
	}
	return w.inner(in, "gzip", z, -1)
}

func (w *work) zstd(in *input) error {
	z, err := zstd.NewReader(in.r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(128<<20))
	if err != nil {
		return err
	}
	defer z.Close()
	return w.inner(in, "zstd", z, -1)
}

// tar reads members in their order. Their names are only told, never used as
// paths.
func (w *work) tar(in *input) error {
	t := tar.NewReader(in.r)
	for {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			_, err = io.Copy(io.Discard, in.r)
			return err
		}
		if err != nil {
			return err
		}
		if h.Typeflag != tar.TypeReg {
			continue
		}
		if err := w.inner(in, h.Name, t, h.Size); err != nil {
			return err
		}
		if w.left < 0 {
			return errBudget
		}
	}
}

// inflaters are those that were closed: what one has of memory is more than most members.
var inflaters sync.Pool

type inflater struct{ io.ReadCloser }

// inflate is quicker than the standard library's, on sheets above all.
func inflate(r io.Reader) io.ReadCloser {
	if used, ok := inflaters.Get().(io.ReadCloser); ok && used.(flate.Resetter).Reset(r, nil) == nil {
		return &inflater{used}
	}
	return &inflater{flate.NewReader(r)}
}

// Close is for once.
func (i *inflater) Close() error {
	if i.ReadCloser == nil {
		return nil
	}
	err := i.ReadCloser.Close()
	inflaters.Put(i.ReadCloser)
	i.ReadCloser = nil
	return err
}

// mostMembers bounds a ZIP's list.
const mostMembers = 1_000_000

func (w *work) zip(in *input) error {
	at, size := in.file, in.size
	if at == nil {
		var done func()
		var err error
		if at, size, done, err = w.spool(in); err != nil {
			return err
		}
		defer done()
	}
	z, err := zip.NewReader(at, size)
	if err != nil {
		return err
	}
	if len(z.File) > mostMembers {
		return errBudget
	}
	z.RegisterDecompressor(zip.Deflate, inflate)
	has := func(name string) bool {
		return slices.ContainsFunc(z.File, func(f *zip.File) bool { return f.Name == name })
	}
	if has("xl/workbook.xml") {
		return w.workbook(in, z)
	}
	office := has("word/document.xml") || has("ppt/presentation.xml") || has("content.xml") && has("mimetype")
	for _, f := range z.File {
		if strings.HasSuffix(f.Name, "/") || office && !officeText(f.Name) {
			continue
		}
		if err := w.member(in, f); err != nil {
			return err
		}
		if w.left < 0 {
			return errBudget
		}
	}
	return nil
}

// officeText says whether a part of an office document holds its text, or is a
// document of its own that was put in.
func officeText(name string) bool {
	for _, part := range []string{"word/document", "word/header", "word/footer", "word/footnotes", "word/endnotes", "word/comments", "ppt/slides/slide",
		"ppt/notesSlides/", "content.xml", "word/embeddings/", "ppt/embeddings/"} {
		if strings.HasPrefix(name, part) {
			return true
		}
	}
	return false
}

func (w *work) member(in *input, f *zip.File) error {
	path := joinPath(in.path, zipName(f))
	put := func(s State, why string) {
		w.ledger = append(w.ledger, Entry{Path: path, To: int64(min(f.CompressedSize64, 1<<62)), State: s, Reason: why})
	}
	if f.Flags&1 != 0 {
		r, err := w.unlock(f)
		switch {
		case errors.Is(err, errPassword):
			put(Encrypted, "takes a password")
			return nil
		case err != nil:
			return err
		}
		w.any(w.input(path, r, -1, in.depth+1))
		return w.ctx.Err()
	}
	r, err := f.Open()
	if errors.Is(err, zip.ErrAlgorithm) {
		put(Unsupported, "a way to pack that isn't known")
		return nil
	}
	if err != nil {
		put(Failed, "broken")
		return nil
	}
	defer r.Close()
	w.any(w.input(path, r, -1, in.depth+1))
	return w.ctx.Err()
}

// zipName is a member's name; old Japanese tools wrote it in CP932.
func zipName(f *zip.File) string {
	if f.NonUTF8 {
		if b, ok := cp932.append(nil, []byte(f.Name)); ok {
			return string(b)
		}
	}
	return strings.ToValidUTF8(f.Name, "\uFFFD")
}
