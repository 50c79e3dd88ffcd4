package client

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"
	"time"

	"azekura/witness"

	cosign "github.com/transparency-dev/formats/note"
	"golang.org/x/mod/sumdb/note"
)

// The bounds of the lag where the settings name none.
const (
	DefaultBulkAfter   = time.Minute
	DefaultReadAfter   = 15 * time.Minute
	DefaultMirrorAfter = 10 * time.Second
)

// Duration is a time.Duration, written as in 1m30s.
type Duration time.Duration

// MarshalText writes it.
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// UnmarshalText reads it.
func (d *Duration) UnmarshalText(text []byte) error {
	n, err := time.ParseDuration(string(text))
	if err == nil && n < 0 {
		err = errors.New("a duration below 0")
	}
	*d = Duration(n)
	return err
}

// Settings are what an installation's settings say of witnesses.
type Settings struct {
	Witnesses []Witness `json:"list"`
	// Need is k: how many must cosign a head. 0 is more than half.
	Need int `json:"k,omitempty"`
	// Past these lags bulk work waits and single openings are refused; 0 is never.
	BulkAfter Duration `json:"bulk_after"`
	ReadAfter Duration `json:"read_after"`
	// MirrorAfter is how long an event waits for others before it is mirrored.
	MirrorAfter Duration `json:"mirror_after"`
}

// Witness is one that is trusted.
type Witness struct {
	URL    string   `json:"url"`
	Keys   []string `json:"keys"` // vkeys; a cosignature by any of them counts
	Mirror bool     `json:"mirror,omitempty"`
}

// Name is that of the witness's keys.
func (w Witness) Name() string {
	if len(w.Keys) == 0 {
		return ""
	}
	name, _, _ := strings.Cut(w.Keys[0], "+")
	return name
}

func (w Witness) verifiers() ([]note.Verifier, error) {
	u, err := url.Parse(w.URL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, errors.New("a witness's URL begins with https://, or with http:// on this machine")
	}
	if u.Scheme == "http" && !loopback(u.Hostname()) {
		return nil, fmt.Errorf("the witness %s is named with http://, and not on this machine: whoever is on the way could stop the log; name it with https://", w.Name())
	}
	if len(w.Keys) == 0 {
		return nil, errors.New("a witness needs a public key, its vkey")
	}
	list := make([]note.Verifier, len(w.Keys))
	for i, key := range w.Keys {
		if list[i], err = cosign.NewVerifierForCosignatureV1(key); err != nil {
			return nil, fmt.Errorf("read a witness's public key: %w", err)
		}
		if list[i].Name() != w.Name() {
			return nil, errors.New("a witness's keys have one name")
		}
	}
	return list, nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// Quorum is how many witnesses must cosign.
func (s Settings) Quorum() int {
	if s.Need > 0 {
		return s.Need
	}
	return len(s.Witnesses)/2 + 1
}

// Vouched counts the witnesses that cosigned a head, each once whatever keys it has.
func (s Settings) Vouched(signed []byte) (witness.Checkpoint, int, error) {
	c, err := witness.ParseCheckpoint(signed)
	if err != nil {
		return c, 0, err
	}
	got := 0
	for _, w := range s.Witnesses {
		keys, err := w.verifiers()
		if err != nil {
			return c, 0, err
		}
		if _, err := c.Verified(signed, keys); err == nil {
			got++
		}
	}
	return c, got, nil
}

// Check refuses settings that can't work.
func (s Settings) Check() error {
	names := map[string]bool{}
	for _, w := range s.Witnesses {
		if _, err := w.verifiers(); err != nil {
			return err
		}
		if names[w.Name()] {
			return fmt.Errorf("the witness %s is named twice: it would count twice", w.Name())
		}
		names[w.Name()] = true
	}
	if s.Quorum() > len(s.Witnesses) || s.Need < 0 {
		return fmt.Errorf("%d of %d witnesses can't be had", s.Quorum(), len(s.Witnesses))
	}
	return nil
}

// Trust adds a witness, or replaces the one of its name.
func (s Settings) Trust(w Witness) Settings {
	s.Witnesses = slices.DeleteFunc(slices.Clone(s.Witnesses), func(have Witness) bool { return have.Name() == w.Name() })
	s.Witnesses = append(s.Witnesses, w)
	return s
}

// Forget takes a witness off the list.
func (s Settings) Forget(name string) (Settings, error) {
	left := slices.DeleteFunc(slices.Clone(s.Witnesses), func(have Witness) bool { return have.Name() == name })
	if len(left) == len(s.Witnesses) {
		return s, fmt.Errorf("no witness is named %s", name)
	}
	s.Witnesses = left
	s.Need = min(s.Need, len(left))
	return s, nil
}

// Defaults are the settings before any witness is trusted.
func Defaults() Settings {
	return Settings{BulkAfter: Duration(DefaultBulkAfter), ReadAfter: Duration(DefaultReadAfter), MirrorAfter: Duration(DefaultMirrorAfter)}
}
