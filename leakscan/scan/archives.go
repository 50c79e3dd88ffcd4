package scan

import (
	"bufio"
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

// errVolume is what becomes of an archive that others go on with.
var errVolume = errors.New("one volume of several: unpack them together, and scan what they hold")

// rar reads a RAR archive of one volume. A member under a password that isn't known
// is encrypted in the ledger, and the others are read.
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
	read := func(password string, member rarMember) error {
		options := []rardecode.Option{rardecode.MaxDictionarySize(mostDictionary)}
		if password != "" {
			options = append(options, rardecode.Password(password))
		}
		return eachRAR(io.NewSectionReader(at, 0, size), options, member)
	}
	fitting := ""
	for _, password := range w.passwords {
		// A wrong one doesn't survive the first member that takes one: it can't be unpacked, or
		// its sum is another.
		err := read(password, func(h *rardecode.FileHeader, z io.Reader) error {
			if !h.Encrypted {
				return nil
			}
			if _, err := io.Copy(io.Discard, &counter{r: z, w: w}); err != nil {
				return err
			}
			return errFits
		})
		if stop := w.stopped(err); stop != nil {
			return stop
		}
		if errors.Is(err, errFits) {
			fitting = password
			break
		}
	}
	err := read(fitting, func(h *rardecode.FileHeader, z io.Reader) error { return w.rarMember(in, h, z) })
	switch {
	case errors.Is(err, rardecode.ErrArchiveEncrypted), errors.Is(err, rardecode.ErrBadPassword):
		return errPassword
	case errors.Is(err, rardecode.ErrMultiVolume), errors.Is(err, rardecode.ErrBadVolumeNumber), errors.Is(err, rardecode.ErrInvalidFileBlock):
		return errVolume
	}
	return err
}

// errFits ends the trying of passwords.
var errFits = errors.New("this password fits")

// stopped is why a scan must end, if it must.
func (w *work) stopped(err error) error {
	for _, known := range []error{errBudget, errTime} {
		if errors.Is(err, known) {
			return known
		}
	}
	return w.ctx.Err()
}

func lockedRAR(err error) bool {
	for _, known := range []error{rardecode.ErrArchiveEncrypted, rardecode.ErrArchivedFileEncrypted, rardecode.ErrBadPassword, rardecode.ErrBadFileChecksum} {
		if errors.Is(err, known) {
			return true
		}
	}
	return false
}

// rarMember does something with a member and its content.
type rarMember func(*rardecode.FileHeader, io.Reader) error

func eachRAR(r io.Reader, options []rardecode.Option, member rarMember) error {
	z, err := rardecode.NewReader(r, options...)
	if err != nil {
		return err
	}
	for {
		h, err := z.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil && !h.IsDir {
			err = member(h, z)
		}
		if err != nil {
			return err
		}
	}
}

// rarMember scans a member.
func (w *work) rarMember(in *input, h *rardecode.FileHeader, z io.Reader) error {
	name := strings.ToValidUTF8(h.Name, "\uFFFD")
	put := func(e Entry) error {
		e.Path = joinPath(in.path, name)
		w.ledger = append(w.ledger, e)
		return nil
	}
	if h.LinkType != rardecode.LinkTypeNone {
		return put(Entry{State: Parsed, Format: "link"}) // what it leads to is a member of its own, or isn't in here
	}
	first := bufio.NewReader(z)
	if _, err := first.Peek(1); h.Encrypted && lockedRAR(err) {
		return put(Entry{To: h.PackedSize, State: Encrypted, Reason: "takes a password"})
	}
	if err := w.inner(in, name, first, -1); err != nil {
		return err
	}
	if w.left < 0 {
		return errBudget
	}
	// What its reader left: an archive that was cut ends in a member.
	_, err := io.Copy(io.Discard, &counter{r: first, w: w})
	return err
}
