package approval

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strings"

	"filippo.io/age"
	"golang.org/x/mod/sumdb/note"
)

// verifiers reads the enrolled keys, and refuses two that are one: of one name, or
// one key under two names.
func verifiers(enrolled []string) ([]note.Verifier, error) {
	var list []note.Verifier
	names, keys := map[string]bool{}, map[string]bool{}
	for _, vkey := range enrolled {
		v, key, err := parseKey(vkey)
		if err != nil {
			return nil, err
		}
		if names[v.Name()] || keys[key] {
			return nil, errors.New("two enrolled approvers have one name or one key; the list in azekura.json was edited: empty it, and the next start makes it anew out of the log")
		}
		names[v.Name()], keys[key] = true, true
		list = append(list, v)
	}
	return list, nil
}

func parseKey(vkey string) (v note.Verifier, key string, err error) {
	v, err = note.NewVerifier(vkey)
	if err != nil || !code.MatchString(v.Name()) {
		return nil, "", errors.New("an approver's public key is the line that azekura approver new prints: name+hash+key")
	}
	// The name and the hash hold no plus sign, the key may. Its base64 could be
	// spelled in several ways (line ends, spare bits), and counts by its bytes.
	text := strings.SplitN(vkey, "+", 3)[2]
	raw, err := base64.StdEncoding.DecodeString(text)
	if err != nil || base64.StdEncoding.EncodeToString(raw) != text {
		return nil, "", errors.New("an approver's public key isn't spelled as azekura approver new prints it")
	}
	return v, string(raw), nil
}

// Enrol adds an approver's public key to those enrolled.
func Enrol(enrolled []string, vkey string) ([]string, error) {
	if _, _, err := parseKey(vkey); err != nil {
		return nil, err
	}
	list := append(append([]string(nil), enrolled...), vkey)
	if _, err := verifiers(list); err != nil {
		return nil, errors.New("that approver is enrolled already, or that name or key is")
	}
	return list, nil
}

// Name is the name of a public key.
func Name(vkey string) (string, error) {
	v, _, err := parseKey(vkey)
	if err != nil {
		return "", err
	}
	return v.Name(), nil
}

// NewKey makes an approver's key: the file's content, encrypted under a
// passphrase (age, scrypt) unless that is empty, and the public key. work is
// scrypt's work factor; 0 is about a second's.
func NewKey(name string, passphrase []byte, work int) (file []byte, vkey string, err error) {
	if !code.MatchString(name) {
		return nil, "", errors.New("an approver's name is 1 to 32 small letters, digits, dots, dashes or underscores")
	}
	skey, vkey, err := note.GenerateKey(rand.Reader, name)
	if err != nil {
		return nil, "", fmt.Errorf("make the approver's key: %w", err)
	}
	if len(passphrase) == 0 {
		return []byte(skey + "\n"), vkey, nil
	}
	to, err := age.NewScryptRecipient(string(passphrase))
	if err != nil {
		return nil, "", err
	}
	if work != 0 {
		to.SetWorkFactor(work)
	}
	var sealed bytes.Buffer
	w, err := age.Encrypt(&sealed, to)
	if err == nil {
		_, err = io.WriteString(w, skey+"\n")
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		return nil, "", fmt.Errorf("encrypt the approver's key: %w", err)
	}
	return sealed.Bytes(), vkey, nil
}

const maxKeyFile = 8 << 10

// OpenKey reads a key's file; passphrase is asked only for an encrypted one.
func OpenKey(file []byte, passphrase func() ([]byte, error)) (note.Signer, error) {
	if len(file) > maxKeyFile {
		return nil, errors.New("that isn't an approver's key")
	}
	if bytes.HasPrefix(file, []byte("age-encryption.org/")) {
		p, err := passphrase()
		if err != nil {
			return nil, err
		}
		defer clear(p)
		identity, err := age.NewScryptIdentity(string(p))
		if err != nil {
			return nil, errors.New("the passphrase is empty")
		}
		opened, err := age.Decrypt(bytes.NewReader(file), identity)
		if err != nil {
			return nil, errors.New("the passphrase doesn't open the approver's key")
		}
		if file, err = io.ReadAll(io.LimitReader(opened, maxKeyFile)); err != nil {
			return nil, errors.New("the approver's key is damaged")
		}
	}
	key, err := note.NewSigner(strings.TrimSpace(string(file)))
	if err != nil || !code.MatchString(key.Name()) {
		return nil, errors.New("that isn't an approver's key; azekura approver new makes one") // the text may be a key
	}
	return key, nil
}
