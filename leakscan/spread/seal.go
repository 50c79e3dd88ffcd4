package spread

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/gob"
	"errors"
	"fmt"
)

// sealer seals what the database keeps: AES-256-GCM with random nonces, of which
// one key takes 2^32, and the row's name as associated data.
type sealer struct{ aead cipher.AEAD }

func newSealer(key []byte) (sealer, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return sealer{}, err
	}
	aead, err := cipher.NewGCM(block)
	return sealer{aead}, err
}

// errSealed refuses a row that nobody with this case's key wrote.
var errSealed = errors.New("a row of the scan's database wasn't written with this case's key, or belongs elsewhere; begin with an empty database")

func (s share) label(what string) string {
	return fmt.Sprintf("%s %d %d %d", what, s.Scan, s.Share, s.Stretch)
}

func (s sealer) bytes(plain []byte, label string) []byte {
	nonce := make([]byte, s.aead.NonceSize(), s.aead.NonceSize()+len(plain)+s.aead.Overhead())
	_, _ = rand.Read(nonce) // never fails
	return s.aead.Seal(nonce, nonce, plain, []byte(label))
}

func (s sealer) unseal(sealed []byte, label string) ([]byte, error) {
	n := s.aead.NonceSize()
	if len(sealed) < n {
		return nil, errSealed
	}
	plain, err := s.aead.Open(nil, sealed[:n], sealed[n:], []byte(label))
	if err != nil {
		return nil, errSealed
	}
	return plain, nil
}

func (s sealer) close(v any, label string) ([]byte, error) {
	var b bytes.Buffer
	if err := gob.NewEncoder(&b).Encode(v); err != nil {
		return nil, fmt.Errorf("write a share: %w", err)
	}
	return s.bytes(b.Bytes(), label), nil
}

func (s sealer) open(sealed []byte, label string, v any) error {
	plain, err := s.unseal(sealed, label)
	if err != nil {
		return err
	}
	if err := gob.NewDecoder(bytes.NewReader(plain)).Decode(v); err != nil {
		return fmt.Errorf("read a share: %w", err)
	}
	return nil
}

// chunkSize keeps a row small enough for any database.
const chunkSize = 4 << 20

// chunks are an outcome, sealed in pieces, each of which says its place.
func (s sealer) chunks(came outcome, of share) ([][]byte, error) {
	var b bytes.Buffer
	if err := gob.NewEncoder(&b).Encode(came); err != nil {
		return nil, fmt.Errorf("write what came of a share: %w", err)
	}
	var list [][]byte
	for n := 0; b.Len() > 0; n++ {
		list = append(list, s.bytes(b.Next(chunkSize), of.label(fmt.Sprintf("came %d of", n))))
	}
	return list, nil
}
