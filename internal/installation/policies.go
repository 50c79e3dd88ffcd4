package installation

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"azekura/access/policy"
	"azekura/approval"
)

// setPolicy is the setting of the policies in force. What is signed holds the text in
// its words, and beside them the hash, which stands for the text and what it may ask.
type setPolicy struct {
	log, hash, instead, text string
}

func (a setPolicy) Kind() string { return policy.Purpose }

// MarshalJSON leaves the text out: the words hold it whole.
func (a setPolicy) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Log     string `json:"log"`
		Hash    string `json:"hash"`
		Instead string `json:"instead,omitempty"`
	}{a.log, a.hash, a.instead})
}

// Words show the text itself, so that both read what they sign.
func (a setPolicy) Words() string {
	text := "| " + strings.ReplaceAll(strings.TrimSuffix(a.text, "\n"), "\n", "\n| ")
	return fmt.Sprintf("These policies, hash %s, decide at %s what staff may open, instead of those in force (%s).\n", a.hash, a.log, a.instead) +
		fmt.Sprintf("以後 %s では、次の方針（ハッシュ %s）により職員の閲覧の可否を決定します（現行：%s）。\n\n%s\n", a.log, a.hash, a.instead, text)
}

// setting is the act of setting a text, on what is in force now.
func (i *Installation) setting(text string) (setPolicy, error) {
	s, err := policy.Fit([]byte(text))
	if err != nil {
		return setPolicy{}, fmt.Errorf("%w: %w", ErrDraft, err)
	}
	a := setPolicy{log: i.Config.Origin, hash: s.Hash(), instead: "none", text: text}
	if now := i.Policies.Now(); now != nil {
		a.instead = now.Hash
	}
	return a, nil
}

// SetPolicy puts policies in force, by two people, from its event's place in the log.
func (i *Installation) SetPolicy(ctx context.Context, proposal, text string) (*policy.Text, error) {
	a, err := i.setting(text)
	if err != nil {
		return nil, err
	}
	err = i.decided(ctx, proposal, a, func(ctx context.Context, by approval.Approved) error {
		event, err := policy.Event([]byte(text), by.Note())
		if err == nil {
			_, err = i.Log.RecordOne(ctx, event) // which has them heard of
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return i.Policies.Now(), nil
}
