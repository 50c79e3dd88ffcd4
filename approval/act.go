package approval

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"

	"golang.org/x/mod/sumdb/note"
)

// Act is what two people decide on: a body that names all of it, and the words,
// in English and in Japanese, that are made from the body alone. The signed bytes
// hold both languages, so that whoever reads one signs the other too.
type Act interface {
	Kind() string
	Words() string
}

// Propose makes a proposal for an act.
func Propose(a Act, log string, size int64, by string, now time.Time, life time.Duration) (Proposal, error) {
	return New(a.Kind(), log, size, by, a.Words(), a, now, life)
}

// Covers refuses unless an act, as it is to be done now, is to the byte what both
// approved, on this log. An act's body names the state that it is done on, so an
// approval that was made on another state covers nothing.
func (a Approved) Covers(log string, act Act) error {
	if !a.ok {
		return ErrNotApproved
	}
	body, err := json.Marshal(act)
	if err != nil {
		return fmt.Errorf("compare what was approved: %w", err)
	}
	p := &a.proposal
	switch {
	case p.Kind != act.Kind():
		return fmt.Errorf("%w: what they approved is %q and not %q", ErrNotApproved, p.Kind, act.Kind())
	case p.Log != log:
		return fmt.Errorf("%w: they approved it for another log, %s; make the proposal anew", ErrNotApproved, p.Log)
	case !bytes.Equal(p.Body, body) || p.Words != act.Words():
		return fmt.Errorf("%w: what they approved isn't what is to be done now, or things have changed since; make the proposal anew", ErrNotApproved)
	}
	return nil
}

// Signers reads a proposal's file and names who of those enrolled signed it, in
// the order of their signatures. It refuses one that bears any other signature.
func Signers(file []byte, enrolled []string) (Proposal, []string, error) {
	if len(file) > maxSize {
		return Proposal{}, nil, errProposal
	}
	list, err := verifiers(enrolled)
	if err != nil {
		return Proposal{}, nil, err
	}
	n, err := note.Open(file, note.VerifierList(list...))
	if err != nil || len(n.UnverifiedSigs) > 0 {
		return Proposal{}, nil, fmt.Errorf("%w: it must bear enrolled approvers' signatures and no other; azekura approve signs it", ErrNotApproved)
	}
	p, err := Parse([]byte(n.Text))
	if err != nil {
		return Proposal{}, nil, err
	}
	var names []string
	for _, s := range n.Sigs { // Open drops a second signature of one key
		names = append(names, s.Name)
	}
	return p, names, nil
}
