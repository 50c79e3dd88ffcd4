package scan

import (
	"compress/bzip2"
	"errors"
	"io"
	"math"
	"strings"

	"github.com/bodgit/sevenzip"
	"github.com/nwaples/rardecode/v2"
	"github.com/ulikunitz/xz"
)

// mostDictionary bounds the memory that a RAR archive may ask for.
const mostDictionary = 256 << 20

func (w *work) bzip2(in *input) error { return w.inner(in, "bzip2", bzip2.NewReader(in.r), -1) }

func (w *work) xz(in *input) error {
	z, err := xz.ReaderConfig{DictCap: mostDictionary}.NewReader(in.r)
	if err != nil {
		return err
	}
	return w.inner(in, "xz", z, -1)
}

// sevenZip reads a 7z archive, under the first password that opens its list and its
// first member.
func (w *work) sevenZip(in *input) error {
	at, size := in.file, in.size
	if at == nil {
		var done func()
		var err error
		if at, size, done, err = w.spool(in); err != nil {
			return err
		}
		defer done()
	}
	z, err := w.openSevenZip(at, size)
	if err != nil {
		return err
	}
	if len(z.File) > mostMembers {
		return errBudget
	}
	for _, f := range z.File {
		if f.FileInfo().IsDir() {
			continue
		}
		if f.UncompressedSize > math.MaxInt64 {
			return errBudget
		}
		r, err := f.Open()
		if err != nil {
			return err
		}
		err = w.inner(in, strings.ToValidUTF8(f.Name, "\uFFFD"), r, -1)
		r.Close()
		if err != nil {
			return err
		}
		if w.left < 0 {
			return errBudget
		}
	}
	return nil
}

func (w *work) openSevenZip(at io.ReaderAt, size int64) (*sevenzip.Reader, error) {
	locked := false
	for _, password := range append([]string{""}, w.passwords...) {
		z, err := sevenzip.NewReaderWithPassword(at, size, password)
		if err == nil {
			err = w.fits(z)
		}
		var read *sevenzip.ReadError
		switch {
		case err == nil:
			return z, nil
		case errors.Is(err, errBudget), errors.Is(err, errTime), w.ctx.Err() != nil:
			return nil, err
		case errors.As(err, &read) && read.Encrypted:
			locked = true
		case password == "" && !locked:
			return nil, err
		}
	}
	return nil, errPassword
}

// fits reads the first member that holds something, which a wrong password doesn't
// survive: its sum is another.
func (w *work) fits(z *sevenzip.Reader) error {
	for _, f := range z.File {
		if f.FileInfo().IsDir() || f.UncompressedSize == 0 {
			continue
		}
		r, err := f.Open()
		if err != nil {
			return err
		}
		defer r.Close()
		_, err = io.Copy(io.Discard, &counter{r: r, w: w})
		return err
	}
	return nil
}

// rar reads a RAR archive of one volume. A member under a password that isn't known
// is encrypted in the ledger.
func (w *work) rar(in *input) error {
	at, size := in.file, in.size
	if at == nil {
		var done func()
		var err error
		if at, size, done, err = w.spool(in); err != nil {
			return err
		}
		defer done()
	}
	err := errPassword
	for _, password := range append([]string{""}, w.passwords...) {
		options := []rardecode.Option{rardecode.MaxDictionarySize(mostDictionary)}
		if password != "" {
			options = append(options, rardecode.Password(password))
		}
		if err = w.rarMembers(in, io.NewSectionReader(at, 0, size), options, true); err == nil {
			return w.rarMembers(in, io.NewSectionReader(at, 0, size), options, false)
		}
		if !lockedRAR(err) {
			break
		}
	}
	if lockedRAR(err) {
		return errPassword
	}
	return w.rarMembers(in, io.NewSectionReader(at, 0, size), []rardecode.Option{rardecode.MaxDictionarySize(mostDictionary)}, false)
}

func lockedRAR(err error) bool {
	for _, known := range []error{rardecode.ErrArchiveEncrypted, rardecode.ErrArchivedFileEncrypted, rardecode.ErrBadPassword, rardecode.ErrBadFileChecksum} {
		if errors.Is(err, known) {
			return true
		}
	}
	return false
}

// rarMembers scans the members, or only tries the first.
func (w *work) rarMembers(in *input, r io.Reader, options []rardecode.Option, try bool) error {
	z, err := rardecode.NewReader(r, options...)
	if err != nil {
		return err
	}
	for {
		h, err := z.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		switch {
		case h.IsDir:
		case try:
			_, err := io.Copy(io.Discard, &counter{r: z, w: w})
			return err
		default:
			if err := w.inner(in, strings.ToValidUTF8(h.Name, "\uFFFD"), z, -1); err != nil {
				return err
			}
			if w.left < 0 {
				return errBudget
			}
			// What its reader left: an archive that was cut ends in a member.
			if _, err := io.Copy(io.Discard, &counter{r: z, w: w}); err != nil {
				return err
			}
		}
	}
}
