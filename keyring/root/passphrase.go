package root

import (
	"bytes"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/term"
)

// EnvPassphraseFile names the variable that names the passphrase's file.
const EnvPassphraseFile = "AZEKURA_PASSPHRASE_FILE"

const maxPassphrase = 1024

// Passphrase asks for the root key's passphrase: the first line of the file that
// AZEKURA_PASSPHRASE_FILE names, or else what is typed at the terminal, unseen.
// With confirm it is a new one: typed twice, and long enough. The caller clears it.
func Passphrase(prompt string, confirm bool) ([]byte, error) {
	return PassphraseFrom(EnvPassphraseFile, prompt, confirm)
}

// PassphraseFrom asks for another secret's passphrase likewise; variable names the
// variable that names its file.
func PassphraseFrom(variable, prompt string, confirm bool) ([]byte, error) {
	var p []byte
	var err error
	if path := os.Getenv(variable); path != "" {
		p, err = passphraseFile(variable, path)
	} else {
		p, err = passphraseTyped(variable, prompt, confirm)
	}
	if err == nil && confirm {
		err = checkNew(p)
	}
	if err != nil {
		clear(p)
		return nil, err
	}
	return p, nil
}

// NewPassphrase asks for a new passphrase: the first line of a file, or where none
// is named as Passphrase does.
func NewPassphrase(prompt, file string) ([]byte, error) {
	if file == "" {
		return Passphrase(prompt, true)
	}
	p, err := passphraseFile("--passphrase-file", file)
	if err == nil {
		err = checkNew(p)
	}
	if err != nil {
		clear(p)
		return nil, err
	}
	return p, nil
}

func passphraseFile(variable, path string) ([]byte, error) {
	text, err := readSecret(path, maxPassphrase)
	if err != nil {
		return nil, fmt.Errorf("read the passphrase (%s): %w", variable, err)
	}
	line, rest, _ := bytes.Cut(text, []byte("\n"))
	clear(rest)
	line = bytes.TrimSuffix(line, []byte("\r"))
	if len(line) == 0 {
		return nil, fmt.Errorf("read the passphrase (%s): the first line of %s is empty", variable, path)
	}
	return line, nil
}

// readSecret reads a file that only its owner may read.
func readSecret(path string, limit int) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if info.Mode().Perm()&0o077 != 0 && !credential(path) {
		return nil, fmt.Errorf("others may read %s (mode %#o): run chmod 600 on it", path, info.Mode().Perm())
	}
	text := make([]byte, limit+1)
	n, err := io.ReadFull(f, text)
	if err == nil {
		clear(text)
		return nil, fmt.Errorf("%s is longer than %d bytes: it is something else", path, limit)
	}
	if !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
		clear(text)
		return nil, err
	}
	return text[:n], nil
}

// credential tells whether systemd gave the file to this service alone
// (LoadCredential=): it may do so by an access list, which the mode's group bits
// then show.
func credential(path string) bool {
	dir := os.Getenv("CREDENTIALS_DIRECTORY")
	return dir != "" && filepath.Dir(filepath.Clean(path)) == filepath.Clean(dir)
}

func passphraseTyped(variable, prompt string, twice bool) ([]byte, error) {
	tty, err := os.OpenFile("/dev/tty", os.O_RDWR, 0)
	if err != nil {
		return nil, fmt.Errorf("there is no terminal to ask for the passphrase at: set %s to a file (mode 600) whose first line it is", variable)
	}
	defer tty.Close()
	ask := func(prompt string) ([]byte, error) {
		fmt.Fprint(tty, prompt)
		p, err := term.ReadPassword(int(tty.Fd()))
		fmt.Fprintln(tty)
		if err != nil {
			return nil, fmt.Errorf("read the passphrase: %w", err)
		}
		if len(p) > maxPassphrase {
			clear(p)
			return nil, fmt.Errorf("a passphrase has %d bytes at most", maxPassphrase)
		}
		return p, nil
	}
	p, err := ask(prompt + ": ")
	if err != nil || !twice {
		return p, err
	}
	if err := checkNew(p); err != nil {
		return p, err
	}
	again, err := ask("The same again: ")
	defer clear(again)
	if err == nil && subtle.ConstantTimeCompare(p, again) != 1 {
		err = errors.New("the two passphrases differ; nothing was changed")
	}
	return p, err
}
