package cases

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
)

// Bounds of a salt: 128 random bits in base64url have 22 characters.
const (
	leastSalt = 22
	mostSalt  = 64
)

// Seek is the hash of a search that a case is opened for: SHA-256, in base64url without
// padding, of a salt of the asker's, by what is searched, the text and the date of birth as
// they are sent, each but the last followed by a line feed. The asker draws the salt and
// keeps it until they search, so the hash, which stands in the log, tells nobody whom.
func Seek(salt, by, text, birth string) (string, error) {
	if len(salt) < leastSalt || len(salt) > mostSalt || strings.Contains(salt+by+text, "\n") {
		return "", fmt.Errorf("%w: a search's salt is %d to %d characters, drawn at random", ErrInvalid, leastSalt, mostSalt)
	}
	sum := sha256.Sum256([]byte(salt + "\n" + by + "\n" + text + "\n" + birth))
	return base64.RawURLEncoding.EncodeToString(sum[:]), nil
}

// checkSeek refuses what isn't a list of such hashes for a case of a kind.
func checkSeek(kind Kind, searches []string) error {
	if len(searches) > kinds[kind].people {
		return fmt.Errorf("%w: a %s is opened for %d searches at most, one for each whom it can be about", ErrInvalid, kind, kinds[kind].people)
	}
	for _, hash := range searches {
		if raw, err := base64.RawURLEncoding.DecodeString(hash); err != nil || len(raw) != sha256.Size {
			return fmt.Errorf("%w: what a case is opened for is the hash of a search, 43 characters of base64url", ErrInvalid)
		}
	}
	return nil
}

// Bound tells whether whoever opened the case touched their key for just the search, or
// searches, that are made in it.
func (g Ground) Bound() bool { return g.Touched && len(g.searches) > 0 }

// MaySearch refuses a search once the case knows whom it is about, and another one than a
// bound case was opened for.
func (g Ground) MaySearch(salt, by, text, birth string) error {
	words := ""
	if !g.Free() {
		words = "the case knows already whom it is about; for somebody else open another"
	} else if hash, err := Seek(salt, by, text, birth); g.Bound() && (err != nil || !slices.Contains(g.searches, hash)) {
		words = "the case was opened for another search; for this one open another case"
	}
	if words == "" {
		return nil
	}
	return &Refusal{Reason: Others, Words: words, beyond: g.Bound()}
}

// MustFind refuses a check of whom the search of a bound case didn't find.
func (g Ground) MustFind(found bool) error {
	if g.Bound() && !found {
		return refuse(Others, "the search that the case was opened for didn't find them, or was made before the server was started again; search, or open another case")
	}
	return nil
}
