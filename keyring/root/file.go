package root

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"unicode/utf8"

	"azekura/internal/slotfile"

	"filippo.io/age"
	wrapping "github.com/hashicorp/go-kms-wrapping/v2"
	"github.com/hashicorp/go-kms-wrapping/v2/aead"
)

const (
	// FileName is the root key under the passphrase (C2SP age, scrypt).
	FileName = "root.age"
	// RecoveryName is the root key under the recovery key.
	RecoveryName = "root.recovery.age"
	// MinPassphrase is the least number of characters of a new passphrase.
	MinPassphrase = 12

	keySize = 32
	// maxFile bounds what is read: a file of ours has some 200 bytes, 2 KB
	// under a post-quantum recovery key.
	maxFile = 16 << 10
	// The work factor's limits: below, guessing is cheap; above, age itself
	// refuses to open.
	minWork, defaultWork, maxWork = 10, 18, 22
)

// FileOptions are how a root key's file is written.
type FileOptions struct {
	Passphrase []byte
	// Recovery is an age recipient (age1…), whose identity lies in a safe.
	// Without it a lost passphrase is a lost register.
	Recovery string
	// WorkFactor is scrypt's, as a power of two; 0 is 18, about a second.
	WorkFactor int
}

// CreateFile makes a root key and keeps it in dir. It replaces nothing: where a
// root key is, it fails and leaves it.
func CreateFile(dir string, o FileOptions) error { return createFile(dir, FileName, RecoveryName, o) }

func createFile(dir, name, recoveryName string, o FileOptions) error {
	to, err := o.recipient()
	if err != nil {
		return err
	}
	key := make([]byte, keySize)
	defer clear(key)
	_, _ = rand.Read(key) // never fails: the program ends instead
	sealed, err := seal(key, to)
	if err != nil {
		return err
	}
	// The recovery copy comes first: where root.age is, all is there.
	written := []string{}
	undo := func(err error) error {
		for _, path := range written {
			err = errors.Join(err, os.Remove(path))
		}
		return err
	}
	if o.Recovery != "" {
		to, err := recovery(o.Recovery)
		if err != nil {
			return err
		}
		copied, err := seal(key, to)
		if err != nil {
			return err
		}
		path := filepath.Join(dir, recoveryName)
		if err := writeNew(path, copied); err != nil {
			return err
		}
		written = append(written, path)
	}
	if err := writeNew(filepath.Join(dir, name), sealed); err != nil {
		return undo(err)
	}
	return nil
}

// OpenFile opens the root key in dir.
func OpenFile(dir string, passphrase []byte) (wrapping.Wrapper, error) {
	return openFile(filepath.Join(dir, FileName), passphrase)
}

// Recover opens the recovery copy with an age identity and puts the same root
// key under a new passphrase. Until the new file is whole on the disk, the old
// one stays. o.Recovery, if not empty, makes a new recovery copy as well, as after
// a recovery key that others have seen.
func Recover(dir string, identities io.Reader, o FileOptions) error {
	to, err := o.recipient()
	if err != nil {
		return err
	}
	found, err := age.ParseIdentities(io.LimitReader(identities, maxFile))
	if err != nil {
		return fmt.Errorf("read the recovery key: it isn't an age identity file: %w", err)
	}
	err = recoverFile(dir, RecoveryName, FileName, found, to, o.Recovery)
	if _, staged, serr := Staged(dir); serr != nil || !staged {
		return errors.Join(err, serr)
	}
	// A change of the root key was cut short: the keyring may be under either.
	if nerr := recoverFile(dir, nextRecoveryName, nextFileName, found, to, o.Recovery); nerr == nil {
		return nil
	}
	return err
}

func recoverFile(dir, from, into string, identities []age.Identity, to age.Recipient, recipient string) error {
	path := filepath.Join(dir, from)
	key, err := unseal(path, identities...)
	if errors.Is(err, age.ErrIncorrectIdentity) {
		return fmt.Errorf("the recovery key is not the one that %s was made for", path)
	}
	if err != nil {
		return err
	}
	defer clear(key)
	if err := replaceSealed(filepath.Join(dir, into), key, to); err != nil || recipient == "" {
		return err
	}
	again, err := recovery(recipient)
	if err != nil {
		return err
	}
	return replaceSealed(path, key, again)
}

// recipient checks what the caller wants before anything is written.
func (o FileOptions) recipient() (age.Recipient, error) {
	if err := checkNew(o.Passphrase); err != nil {
		return nil, err
	}
	work := o.WorkFactor
	if work == 0 {
		work = defaultWork
	}
	if work < minWork || work > maxWork {
		return nil, fmt.Errorf("a work factor of %d is not between %d and %d", work, minWork, maxWork)
	}
	if o.Recovery != "" {
		if _, err := recovery(o.Recovery); err != nil {
			return nil, err
		}
	}
	r, err := age.NewScryptRecipient(string(o.Passphrase))
	if err != nil {
		return nil, err
	}
	r.SetWorkFactor(work)
	return r, nil
}

// recovery reads one recipient. Its error doesn't show the text: it may be a
// secret key by mistake.
func recovery(text string) (age.Recipient, error) {
	if found, err := age.ParseRecipients(strings.NewReader(text)); err == nil && len(found) == 1 {
		return found[0], nil
	}
	return nil, errors.New("the recovery recipient is not one age public key (age1…); age-keygen makes a pair")
}

func checkNew(passphrase []byte) error {
	if utf8.RuneCount(passphrase) < MinPassphrase {
		return fmt.Errorf("a new passphrase needs %d characters or more: it is all that protects the root key's file; five random words are good", MinPassphrase)
	}
	return nil
}

func seal(key []byte, to age.Recipient) ([]byte, error) {
	var out bytes.Buffer
	w, err := age.Encrypt(&out, to)
	if err == nil {
		_, err = w.Write(key)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		return nil, fmt.Errorf("encrypt the root key: %w", err)
	}
	return out.Bytes(), nil
}

func unseal(path string, with ...age.Identity) ([]byte, error) {
	sealed, err := readBounded(path, maxFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("there is no root key at %s: %w", path, fs.ErrNotExist)
	}
	if err != nil {
		return nil, fmt.Errorf("read the root key: %w", err)
	}
	r, err := age.Decrypt(bytes.NewReader(sealed), with...)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	key := make([]byte, keySize+1)
	n, err := io.ReadFull(r, key)
	if n != keySize || !errors.Is(err, io.ErrUnexpectedEOF) {
		clear(key)
		return nil, fmt.Errorf("%s holds no root key, or is damaged: put it back from a copy", path)
	}
	return key[:keySize], nil
}

func readBounded(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(data)) > limit {
		err = fmt.Errorf("%s is longer than %d bytes: it is something else", path, limit)
	}
	return data, err
}

func writeNew(path string, data []byte) error {
	err := slotfile.WriteNew(path, data)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s is there already and is not replaced: it may be all that opens a register: %w", path, fs.ErrExist)
	}
	if err != nil {
		return fmt.Errorf("write the root key: %w", err)
	}
	return nil
}

// replaceSealed puts a new file in an old one's place, so that a crash leaves
// one or the other.
func replaceSealed(path string, key []byte, to age.Recipient) error {
	sealed, err := seal(key, to)
	if err == nil {
		err = slotfile.Replace(path, sealed)
	}
	if err != nil {
		return fmt.Errorf("write the root key: %w", err)
	}
	return nil
}

// local is a root key in memory.
type local struct {
	owned
	aead *aead.Wrapper
}

var _ wrapping.Wrapper = local{}

func newLocal(key []byte) (wrapping.Wrapper, error) {
	// The id is public: it lies beside every key that was wrapped.
	id, err := hkdf.Key(sha256.New, key, nil, "azekura root key id 1", 16)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		return nil, err
	}
	l := local{owned{"file:" + hex.EncodeToString(id)}, aead.NewWrapper()}
	if _, err := l.aead.SetConfig(context.Background(), wrapping.WithKeyId(l.id)); err != nil {
		return nil, err
	}
	// Not SetAesGcmKeyBytes, which would keep the key and give it to whoever asks.
	l.aead.SetAead(gcm)
	return l, nil
}

func (l local) Type(ctx context.Context) (wrapping.WrapperType, error) { return l.aead.Type(ctx) }

func (l local) Encrypt(ctx context.Context, plaintext []byte, o ...wrapping.Option) (*wrapping.BlobInfo, error) {
	return l.aead.Encrypt(ctx, plaintext, o...)
}

func (l local) Decrypt(ctx context.Context, in *wrapping.BlobInfo, o ...wrapping.Option) ([]byte, error) {
	if err := l.check(in); err != nil {
		return nil, err
	}
	if len(in.Ciphertext) < nonceSize { // the library would panic
		return nil, errors.New("the wrapped key is cut short")
	}
	return l.aead.Decrypt(ctx, in, o...)
}
