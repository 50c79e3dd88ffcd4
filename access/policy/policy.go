// Package policy decides by Cedar policies whether a staff member may open what they
// ask for. It guards that a text loads only whole: bounded in size and depth, valid
// against the schema, each policy with an id and words in both languages. A policy
// that fails while it is evaluated refuses.
//
// Which text is in force the log says: an event of authority holds it whole, as two
// people signed it. Before the first such event no policy is asked (see InForce).
package policy

import (
	"bytes"
	"crypto/sha256"
	_ "embed" // the policies are files that people read
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"sync"

	"github.com/cedar-policy/cedar-go"
	"github.com/cedar-policy/cedar-go/x/exp/ast"
	"github.com/cedar-policy/cedar-go/x/exp/schema"
	"github.com/cedar-policy/cedar-go/x/exp/schema/validate"
)

//go:embed schema.cedarschema
var schemaText []byte

//go:embed strict.cedar
var strictText []byte

// Strict is the text that is shipped: an agency's own begins with it.
func Strict() []byte { return bytes.Clone(strictText) }

// The bounds of a text.
const (
	MaxText     = 64 << 10
	MaxPolicies = 200
	maxDepth    = 64
	maxChain    = 16 // dots in a row: the time that a check of a has b.c.d takes grows with the third power
)

// ErrInvalid is a text that doesn't load.
var ErrInvalid = errors.New("the policies don't load")

var goodID = regexp.MustCompile(`^[a-z][a-z0-9-]{0,63}$`)

// Words say what a policy means.
type Words struct {
	ID string `json:"id"`
	Ja string `json:"ja"`
	En string `json:"en"`
}

// Set is a text, loaded. It doesn't change but for what it remembers of its answers,
// and is safe for many callers.
type Set struct {
	hash  string
	set   *cedar.PolicySet
	words map[cedar.PolicyID]Words

	holidays map[string]bool
	tests    []test

	mu   sync.Mutex
	seen map[key]Decision
}

// Hash is the SHA-256 of the schema's and the policies' own hashes, in hex.
func (s *Set) Hash() string { return s.hash }

// Load reads a text of policies and holds it against the schema.
func Load(text []byte) (*Set, error) {
	switch {
	case len(text) > MaxText:
		return nil, fmt.Errorf("%w: the text is longer than %d bytes", ErrInvalid, MaxText)
	case tooDeep(text):
		return nil, fmt.Errorf("%w: brackets or operators stand more than %d deep, or names in a row more than %d", ErrInvalid, maxDepth, maxChain)
	}
	list, err := cedar.NewPolicyListFromBytes("policies", text)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	if len(list) == 0 || len(list) > MaxPolicies {
		return nil, fmt.Errorf("%w: there are %d policies; write 1 to %d", ErrInvalid, len(list), MaxPolicies)
	}
	v, err := validator()
	if err != nil {
		return nil, err
	}
	a, b := sha256.Sum256(schemaText), sha256.Sum256(text)
	whole := sha256.Sum256(append(a[:], b[:]...))
	s := &Set{hash: hex.EncodeToString(whole[:]), set: cedar.NewPolicySet(), words: map[cedar.PolicyID]Words{}, holidays: map[string]bool{}, seen: map[key]Decision{}}
	for _, p := range list {
		if err := s.add(v, p); err != nil {
			return nil, fmt.Errorf("%w: line %d: %w", ErrInvalid, p.Position().Line, err)
		}
	}
	if err := s.read(text); err != nil {
		return nil, err
	}
	return s, nil
}

func id(name string) cedar.PolicyID { return cedar.PolicyID(name) }

func validator() (*validate.Validator, error) {
	var sc schema.Schema
	if err := sc.UnmarshalCedar(schemaText); err != nil {
		return nil, fmt.Errorf("read the schema: %w", err)
	}
	resolved, err := sc.Resolve()
	if err != nil {
		return nil, fmt.Errorf("resolve the schema: %w", err)
	}
	return validate.New(resolved), nil
}

func (s *Set) add(v *validate.Validator, p *cedar.Policy) error {
	notes := p.Annotations()
	w := Words{ID: string(notes["id"]), Ja: string(notes["ja"]), En: string(notes["en"])}
	switch {
	case !goodID.MatchString(w.ID):
		return errors.New("a policy has no @id of small letters, digits and hyphens")
	case w.Ja == "" || w.En == "":
		return fmt.Errorf("policy %s doesn't say what it means; write @ja and @en", w.ID)
	case s.set.Get(cedar.PolicyID(w.ID)) != nil:
		return fmt.Errorf("two policies have the id %s", w.ID)
	}
	if err := v.Policy(w.ID, (*ast.Policy)(p.AST())); err != nil {
		return fmt.Errorf("policy %s doesn't fit the schema: %w", w.ID, err)
	}
	s.set.Add(cedar.PolicyID(w.ID), p)
	s.words[cedar.PolicyID(w.ID)] = w
	return nil
}

// tooDeep bounds what the parser would recurse into, brackets and runs of ! and -, and
// what it unfolds, a.b.c.
// It counts within strings and comments too, which refuses more than it must.
func tooDeep(text []byte) bool {
	depth, run, chain := 0, 0, 0
	for _, c := range text {
		switch {
		case c == '.':
			chain++
		case c != '_' && c != ' ' && c != '\t' && c != '\n' && c != '\r' && (c|0x20 < 'a' || c|0x20 > 'z') && (c < '0' || c > '9'):
			chain = 0
		}
		switch c {
		case '(', '[', '{':
			depth++
		case ')', ']', '}':
			depth = max(depth-1, 0)
		}
		switch c {
		case '!', '-':
			run++
		case ' ', '\t', '\r', '\n':
		default:
			run = 0
		}
		if depth > maxDepth || run > maxDepth || chain > maxChain {
			return true
		}
	}
	return bytes.Count(text, []byte("if ")) > 8*maxDepth
}

// sorted returns the words of policies in the order of their ids.
func (s *Set) sorted(ids []cedar.PolicyID) (words []Words) {
	slices.Sort(ids)
	for _, id := range slices.Compact(ids) {
		words = append(words, s.words[id])
	}
	return words
}

// Words say what each policy means, in the order of their ids.
func (s *Set) Words() []Words { return s.sorted(slices.Collect(maps.Keys(s.words))) }
