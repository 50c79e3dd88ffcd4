package scan

import (
	"archive/zip"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/sha1"
	"encoding/binary"
	"errors"
	"hash"
	"hash/crc32"
	"io"

	"github.com/klauspost/compress/flate"
)

// The two ways in which ZIP archives are locked: PKWARE's own of 1990 (APPNOTE 6.1),
// which Windows and most tools here write, and WinZip's AES (AE-1 and AE-2).

// unlock opens a locked member with the first password that fits all of it; a
// password that only seems to fit is found out by the sum at the end.
func (w *work) unlock(f *zip.File) (io.Reader, error) {
	for _, password := range w.passwords {
		r, err := unlocked(f, password)
		if err == nil {
			_, err = io.Copy(io.Discard, &counter{r: r, w: w})
		}
		switch {
		case err == nil:
			return unlocked(f, password)
		case errors.Is(err, errBudget), errors.Is(err, errTime), w.ctx.Err() != nil:
			return nil, err
		}
	}
	return nil, errPassword
}

var errWrong = errors.New("another password")

func unlocked(f *zip.File, password string) (io.Reader, error) {
	raw, err := f.OpenRaw()
	if err != nil {
		return nil, err
	}
	if f.Method == 99 {
		return unlockAES(f, raw, password)
	}
	keys := newPKWARE(password)
	var head [12]byte
	if _, err := io.ReadFull(raw, head[:]); err != nil {
		return nil, err
	}
	for i, c := range head {
		head[i] = keys.open(c)
	}
	check := byte(f.CRC32 >> 24)
	if f.Flags&8 != 0 { // the sum stood behind the data: the time is checked instead
		check = byte(f.ModifiedTime >> 8) //nolint:staticcheck // the field as it is written
	}
	if head[11] != check {
		return nil, errWrong
	}
	return unpacked(f.Method, &pkwareReader{keys, raw}, f.CRC32, true)
}

// unpacked undoes a member's compression and checks its sum.
func unpacked(method uint16, r io.Reader, sum uint32, check bool) (io.Reader, error) {
	switch method {
	case zip.Store:
	case zip.Deflate:
		r = flate.NewReader(r)
	default:
		return nil, zip.ErrAlgorithm
	}
	if !check {
		return r, nil
	}
	return &summed{r: r, sum: crc32.NewIEEE(), want: sum}, nil
}

type summed struct {
	r    io.Reader
	sum  hash.Hash32
	want uint32
}

func (s *summed) Read(b []byte) (int, error) {
	n, err := s.r.Read(b)
	s.sum.Write(b[:n])
	if errors.Is(err, io.EOF) && s.sum.Sum32() != s.want {
		err = errWrong
	}
	return n, err
}

// pkware is the stream cipher of APPNOTE 6.1. It is broken, which is nothing to us:
// we have the password.
type pkware [3]uint32

func newPKWARE(password string) *pkware {
	k := &pkware{0x12345678, 0x23456789, 0x34567890}
	for i := range len(password) {
		k.update(password[i])
	}
	return k
}

func crc(c uint32, b byte) uint32 { return crc32.IEEETable[byte(c)^b] ^ c>>8 }

func (k *pkware) update(b byte) {
	k[0] = crc(k[0], b)
	k[1] = (k[1]+k[0]&0xFF)*134775813 + 1
	k[2] = crc(k[2], byte(k[1]>>24))
}

func (k *pkware) open(c byte) byte {
	t := k[2] | 2
	b := c ^ byte(t*(t^1)>>8)
	k.update(b)
	return b
}

type pkwareReader struct {
	keys *pkware
	r    io.Reader
}

func (p *pkwareReader) Read(b []byte) (int, error) {
	n, err := p.r.Read(b)
	for i, c := range b[:n] {
		b[i] = p.keys.open(c)
	}
	return n, err
}

// unlockAES opens a member by WinZip's AES: salt, two bytes that tell a wrong
// password early, the data under CTR with a counter that counts from 1 and from its
// lowest byte, and ten bytes of HMAC-SHA-1.
func unlockAES(f *zip.File, raw io.Reader, password string) (io.Reader, error) {
	version, strength, method, ok := aesExtra(f.Extra)
	if !ok {
		return nil, zip.ErrAlgorithm
	}
	keySize := 8 + 8*int(strength)
	salt := make([]byte, keySize/2)
	var check [2]byte
	if _, err := io.ReadFull(raw, salt); err != nil {
		return nil, err
	}
	if _, err := io.ReadFull(raw, check[:]); err != nil {
		return nil, err
	}
	keys, err := pbkdf2.Key(sha1.New, password, salt, 1000, 2*keySize+2)
	if err != nil {
		return nil, err
	}
	if [2]byte(keys[2*keySize:]) != check {
		return nil, errWrong
	}
	block, err := aes.NewCipher(keys[:keySize])
	if err != nil {
		return nil, err
	}
	size := int64(f.CompressedSize64) - int64(len(salt)) - 2 - 10
	if size < 0 {
		return nil, io.ErrUnexpectedEOF
	}
	mac := hmac.New(sha1.New, keys[keySize:2*keySize])
	data := &aesReader{block: block, raw: raw, left: size, mac: mac, used: aes.BlockSize}
	return unpacked(method, data, f.CRC32, version == 1)
}

// aesExtra reads the extra field 0x9901.
func aesExtra(extra []byte) (version uint16, strength byte, method uint16, ok bool) {
	le := binary.LittleEndian
	for len(extra) >= 4 {
		id, size := le.Uint16(extra), int(le.Uint16(extra[2:]))
		if extra = extra[4:]; size > len(extra) {
			break
		}
		if id == 0x9901 && size >= 7 && extra[4] >= 1 && extra[4] <= 3 {
			return le.Uint16(extra), extra[4], le.Uint16(extra[5:]), true
		}
		extra = extra[size:]
	}
	return 0, 0, 0, false
}

type aesReader struct {
	block   cipher.Block
	raw     io.Reader
	left    int64
	mac     hash.Hash
	counter uint64
	stream  [aes.BlockSize]byte
	used    int
}

func (a *aesReader) Read(b []byte) (int, error) {
	if a.left == 0 {
		var end [10]byte
		if _, err := io.ReadFull(a.raw, end[:]); err != nil || !hmac.Equal(end[:], a.mac.Sum(nil)[:10]) {
			return 0, errWrong
		}
		return 0, io.EOF
	}
	n, err := a.raw.Read(b[:min(int64(len(b)), a.left)])
	a.left -= int64(n)
	a.mac.Write(b[:n])
	for i := range b[:n] {
		if a.used == aes.BlockSize {
			a.counter++
			var at [aes.BlockSize]byte
			binary.LittleEndian.PutUint64(at[:], a.counter)
			a.block.Encrypt(a.stream[:], at[:])
			a.used = 0
		}
		b[i] ^= a.stream[a.used]
		a.used++
	}
	if errors.Is(err, io.EOF) {
		if err = nil; a.left > 0 {
			err = io.ErrUnexpectedEOF
		}
	}
	return n, err
}
