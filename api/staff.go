package api

import (
	"context"
	"errors"
	"fmt"

	"azekura/access"
	"azekura/access/budget"
	"azekura/gate"
	"azekura/register/field"
	"azekura/register/value"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"
)

// Whom names a participant: one of the two.
type Whom struct {
	Participant string `json:"participant,omitempty" maxLength:"36" doc:"the participant's pseudonym"`
	Ref         string `json:"ref,omitempty" maxLength:"64" doc:"the agency's own key"`
}

func (w Whom) who() (gate.Who, error) {
	if (w.Participant == "") == (w.Ref == "") {
		return gate.Who{}, fmt.Errorf("%w: name the participant by participant or by ref, one of the two", gate.ErrInvalid)
	}
	if w.Ref != "" {
		return gate.Who{Ref: w.Ref}, nil
	}
	id, err := uuid.Parse(w.Participant)
	if err != nil || id == (uuid.UUID{}) {
		return gate.Who{}, fmt.Errorf("%w: a participant's pseudonym is a UUID", gate.ErrInvalid)
	}
	return gate.Who{Participant: id}, nil
}

// Reason is why a record is opened.
type Reason struct {
	Purpose string `json:"purpose" maxLength:"32" doc:"enquiry, application, change, visit, letter, death, review or audit"`
	Case    string `json:"case" maxLength:"64" doc:"the case's code"`
}

func (r Reason) why(ctx context.Context) gate.Why {
	return gate.Why{Purpose: r.Purpose, Case: r.Case, Request: request(ctx)}
}

// Address is a postal code and a text.
type Address struct {
	PostalCode string `json:"postal_code,omitempty"`
	Text       string `json:"text"`
}

// Account is a payee account.
type Account struct {
	Bank   string `json:"bank_code"`
	Branch string `json:"branch_code"`
	Type   string `json:"account_type"`
	Number string `json:"account_number"`
	Holder string `json:"account_holder"`
}

// Values are a participant's fields; those that weren't asked for, or that the
// record doesn't have, are absent.
type Values struct {
	Number  string   `json:"number,omitempty"`
	Name    string   `json:"name,omitempty"`
	Kana    string   `json:"kana,omitempty"`
	Romaji  string   `json:"romaji,omitempty"`
	Birth   string   `json:"birth,omitempty"`
	Sex     string   `json:"sex,omitempty"`
	Address *Address `json:"address,omitempty"`
	Phone   string   `json:"phone,omitempty"`
	Email   string   `json:"email,omitempty"`
	Account *Account `json:"account,omitempty"`
	Ref     string   `json:"ref,omitempty"`
}

func values(from map[field.Field]string) Values {
	v := Values{Number: from[field.Number], Name: from[field.Name], Kana: from[field.Kana], Romaji: from[field.Romaji],
		Birth: from[field.Birth], Sex: from[field.Sex], Phone: from[field.Phone], Email: from[field.Email], Ref: from[field.Ref]}
	if postal, text, ok := value.SplitAddress(from[field.Address]); ok {
		v.Address = &Address{postal, text}
	}
	if bank, branch, kind, number, holder, ok := value.SplitAccount(from[field.Account]); ok {
		v.Account = &Account{bank, branch, kind, number, holder}
	}
	return v
}

// texts is the way back: canonical or typed texts by field.
func (v *Values) texts() map[field.Field]string {
	m := map[field.Field]string{}
	for f, text := range map[field.Field]string{field.Number: v.Number, field.Name: v.Name, field.Kana: v.Kana, field.Romaji: v.Romaji,
		field.Birth: v.Birth, field.Sex: v.Sex, field.Phone: v.Phone, field.Email: v.Email, field.Ref: v.Ref} {
		if text != "" {
			m[f] = text
		}
	}
	if v.Address != nil {
		m[field.Address] = value.JoinAddress(v.Address.PostalCode, v.Address.Text)
	}
	if v.Account != nil {
		m[field.Account] = value.JoinAccount(v.Account.Bank, v.Account.Branch, v.Account.Type, v.Account.Number, v.Account.Holder)
	}
	return m
}

// ReadRequest asks for fields of one participant.
type ReadRequest struct {
	Whom
	Reason
	Fields  []string `json:"fields" minItems:"1" maxItems:"11" doc:"number, name, kana, romaji, birth, sex, address, phone, email, account, ref"`
	Version int64    `json:"version,omitempty" minimum:"0" doc:"an earlier version of the record; absent is the newest"`
	Touch
}

// ReadAnswer is what a read released.
type ReadAnswer struct {
	Participant string `json:"participant"`
	Version     int64  `json:"version"`
	Event       int64  `json:"event" doc:"the opening's index in the audit log"`
	Values      Values `json:"values"`
	// Budget is there when less than a fifth is left.
	Budget *budget.Left `json:"budget,omitempty" doc:"what is left of the budget that is nearest its end, when less than a fifth is"`
}

// CheckRequest asks whether a field is what a caller says.
type CheckRequest struct {
	Whom
	Reason
	Field string `json:"field" maxLength:"16" doc:"any but sex: of two that it can be, no tells it as well as yes"`
	Claim string `json:"claim" maxLength:"1024" doc:"what the caller says"`
}

// CheckAnswer says yes or no.
type CheckAnswer struct {
	Match bool `json:"match"`
}

// SearchRequest asks who matches.
type SearchRequest struct {
	Reason
	By    string `json:"by" maxLength:"16" doc:"number, ref, kana_birth, name_birth, postal_birth or phone"`
	Value string `json:"value" maxLength:"1024" doc:"the number, ref, kana, name, postal code or telephone number"`
	Birth string `json:"birth,omitempty" maxLength:"32" doc:"the date of birth; every search takes it"`
	Salt  string `json:"salt,omitempty" maxLength:"64" doc:"where the case was opened for this search: the salt of its hash"`
}

// Candidate is one match, masked.
type Candidate struct {
	Participant string `json:"participant"`
	Name        string `json:"name,omitempty"`
	Birth       string `json:"birth,omitempty" doc:"the year"`
	Address     string `json:"address,omitempty" doc:"the prefecture"`
	Event       int64  `json:"event" doc:"the opening's index in the audit log"`
}

// SearchAnswer lists the matches.
type SearchAnswer struct {
	Candidates []Candidate `json:"candidates"`
}

// ChangeRequest sets fields of one participant.
type ChangeRequest struct {
	Whom
	Reason
	Values Values   `json:"values"`
	Clear  []string `json:"clear,omitempty" maxItems:"11" doc:"fields to empty"`
}

// ChangeAnswer tells what a change made.
type ChangeAnswer struct {
	Participant string `json:"participant"`
	Version     int64  `json:"version"`
	Event       int64  `json:"event" doc:"the change's index in the audit log"`
}

type body[T any] struct{ Body T }

type staffInput[T any] struct {
	Auth
	Body T
}

func (s *Server) addStaff(api huma.API) {
	post(s, api, "/v1/read", "read", "Open fields of one participant", true, s.read)
	post(s, api, "/v1/check", "check", "Compare what a caller says with a field", true, s.check)
	post(s, api, "/v1/search", "search", "Find participants; candidates come masked", true, s.search)
	post(s, api, "/v1/change", "change", "Make a new version of a participant", true, s.change)
}

func (s *Server) read(ctx context.Context, in *staffInput[ReadRequest]) (*body[ReadAnswer], error) {
	session, err := s.session(ctx, in.Auth)
	if err != nil {
		return nil, err
	}
	r := gate.ReadRequest{Why: in.Body.why(ctx), Version: in.Body.Version}
	if r.Who, err = in.Body.who(); err != nil {
		return nil, err
	}
	if r.Fields, err = fields(in.Body.Fields); err != nil {
		return nil, err
	}
	if r.Touched, err = s.inst.Access.UseTouch(ctx, session, in.Body.Touch.Touch, access.ReadFields(r.Case, r.Fields)); err != nil {
		return nil, err
	}
	a, err := s.inst.Gate.Read(ctx, session, r)
	if err != nil {
		return nil, err
	}
	return &body[ReadAnswer]{ReadAnswer{Participant: a.Participant.String(), Version: a.Version, Event: a.Event, Values: values(a.Values),
		Budget: s.inst.Budgets.Near(session.Staff(), session.Role(), session.Device(), in.Body.Purpose, s.inst.Log.Now())}}, nil
}

func fields(names []string) (field.Set, error) {
	var set field.Set
	for _, name := range names {
		f, err := field.Parse(name)
		if err != nil {
			return 0, fmt.Errorf("%w: %w", gate.ErrInvalid, err)
		}
		set |= field.SetOf(f)
	}
	return set, nil
}

func (s *Server) check(ctx context.Context, in *staffInput[CheckRequest]) (*body[CheckAnswer], error) {
	session, err := s.session(ctx, in.Auth)
	if err != nil {
		return nil, err
	}
	r := gate.CheckRequest{Why: in.Body.why(ctx), Claim: in.Body.Claim}
	if r.Who, err = in.Body.who(); err != nil {
		return nil, err
	}
	if r.Field, err = field.Parse(in.Body.Field); err != nil {
		return nil, fmt.Errorf("%w: %w", gate.ErrInvalid, err)
	}
	yes, err := s.inst.Gate.Check(ctx, session, r)
	if err != nil {
		return nil, err
	}
	return &body[CheckAnswer]{CheckAnswer{yes}}, nil
}

func (s *Server) search(ctx context.Context, in *staffInput[SearchRequest]) (*body[SearchAnswer], error) {
	session, err := s.session(ctx, in.Auth)
	if err != nil {
		return nil, err
	}
	r := gate.SearchRequest{Why: in.Body.why(ctx), First: in.Body.Value, Second: in.Body.Birth, Salt: in.Body.Salt}
	for _, kind := range value.Kinds() {
		if kind.String() == in.Body.By {
			r.By = kind
		}
	}
	if r.By == 0 {
		return nil, fmt.Errorf("%w: a search is by one of %v", gate.ErrInvalid, value.Kinds())
	}
	found, err := s.inst.Gate.Search(ctx, session, r)
	if err != nil {
		return nil, err
	}
	answer := SearchAnswer{Candidates: make([]Candidate, len(found))}
	for i, c := range found {
		answer.Candidates[i] = Candidate{Participant: c.Participant.String(), Name: c.Mask[field.Name], Birth: c.Mask[field.Birth],
			Address: c.Mask[field.Address], Event: c.Event}
	}
	return &body[SearchAnswer]{answer}, nil
}

func (s *Server) change(ctx context.Context, in *staffInput[ChangeRequest]) (*body[ChangeAnswer], error) {
	session, err := s.session(ctx, in.Auth)
	if err != nil {
		return nil, err
	}
	r := gate.ChangeRequest{Why: in.Body.why(ctx), Values: in.Body.Values.texts()}
	if r.Who, err = in.Body.who(); err != nil {
		return nil, err
	}
	cleared, err := fields(in.Body.Clear)
	if err != nil {
		return nil, err
	}
	for _, f := range cleared.Fields() {
		if _, both := r.Values[f]; both {
			return nil, fmt.Errorf("%w: %s is both set and cleared", gate.ErrInvalid, f)
		}
		r.Values[f] = ""
	}
	c, err := s.inst.Gate.Change(ctx, session, r)
	if err != nil {
		return nil, err
	}
	return &body[ChangeAnswer]{ChangeAnswer{Participant: c.Participant.String(), Version: c.Version, Event: c.Event}}, nil
}

// errOperator marks what an operator did wrong and may be told.
var errOperator = errors.New("can't be done")
