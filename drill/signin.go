package drill

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"

	"azekura/access/signin"
	"azekura/api"
)

// ceremony is one of the sign-in's, as a staff member's browser goes through it: it
// begins, the authenticator answers the challenge, it is finished. token is the
// session's, of a touch. refused says in the server's words why it came to nothing.
type ceremony struct {
	path   string // "passkey", "touch" or "enrol"
	token  string
	begin  any
	answer func(challenge) (credential, error)
}

func (d *days) ceremony(ctx context.Context, pc *http.Client, c ceremony, out any) (token, refused string, err error) {
	var options challenge
	b := browser{d.address, pc, map[string]string{}}
	if c.token != "" {
		b.cookies[signin.SessionCookie] = c.token
	}
	if refused, err = b.post(ctx, c.path+"/begin", c.begin, &options); err != nil || refused != "" {
		return "", refused, err
	}
	proof, err := c.answer(options)
	if err != nil {
		return "", "", err
	}
	refused, err = b.post(ctx, c.path+"/finish", proof, out)
	return b.cookies[signin.SessionCookie], refused, err
}

// browser keeps what cookies it is given.
type browser struct {
	address string
	http    *http.Client
	cookies map[string]string
}

func (b *browser) post(ctx context.Context, path string, in, out any) (refused string, err error) {
	raw, err := json.Marshal(in)
	if err != nil {
		return "", err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://"+b.address+"/signin/"+path, bytes.NewReader(raw))
	if err != nil {
		return "", err
	}
	r.Header.Set("Content-Type", "application/json")
	for name, value := range b.cookies {
		r.AddCookie(&http.Cookie{Name: name, Value: value})
	}
	answer, err := b.http.Do(r)
	if err != nil {
		return "", fmt.Errorf("ask the server: %w", err)
	}
	defer answer.Body.Close()
	for _, c := range answer.Cookies() {
		b.cookies[c.Name] = c.Value
	}
	body := io.LimitReader(answer.Body, 1<<20)
	if answer.StatusCode == http.StatusOK {
		if out != nil {
			err = json.NewDecoder(body).Decode(out)
		}
		_, _ = io.Copy(io.Discard, body)
		return "", err
	}
	var problem struct{ Detail string }
	_ = json.NewDecoder(body).Decode(&problem) // an answer without one is told by its status
	_, _ = io.Copy(io.Discard, body)
	if answer.StatusCode >= http.StatusInternalServerError {
		return "", fmt.Errorf("the server answered %s with %d: %s", path, answer.StatusCode, problem.Detail)
	}
	return fmt.Sprintf("%d: %s", answer.StatusCode, problem.Detail), nil
}

// must has a ceremony that nothing may refuse.
func must(token, refused string, err error) (string, error) {
	if err == nil && refused != "" {
		err = errors.New(refused)
	}
	return token, err
}

// enrolKeys gives everybody a passkey, as an agency does: the operator enrols the first
// administrator and the first security officer; the administrator makes the others'
// codes, each enrols at their PC, and the security officer vouches.
func (d *days) enrolKeys(ctx context.Context) error {
	by := func(name string, in, out any) error {
		return d.operator.Do(ctx, http.MethodPost, "/operator/people/"+name, in, out)
	}
	var tokens []string
	for i := range d.officers {
		o := &d.officers[i]
		if err := d.enrolKey(ctx, o, by, by); err != nil {
			return err
		}
		token, err := d.enter(ctx, o)
		if err != nil {
			return err
		}
		tokens = append(tokens, token)
	}
	code, vouch := d.asOfficer(ctx, &d.officers[0], tokens[0]), d.asOfficer(ctx, &d.officers[1], tokens[1])
	for i := range d.team {
		if err := d.enrolKey(ctx, &d.team[i], code, vouch); err != nil {
			return err
		}
	}
	return nil
}

type officers func(name string, in, out any) error

// asOfficer asks in an officer's session, at their PC.
func (d *days) asOfficer(ctx context.Context, o *member, token string) officers {
	return func(name string, in, out any) error {
		pc, err := o.pc.at(api.CertFile(d.dir))
		if err != nil {
			return err
		}
		defer pc.CloseIdleConnections()
		status, detail, err := send(ctx, pc, "https://"+d.address+"/v1/people/"+name, token, in, out)
		if err == nil && status != http.StatusOK {
			err = fmt.Errorf("status %d: %s", status, detail)
		}
		return err
	}
}

func (d *days) enrolKey(ctx context.Context, m *member, code, vouch officers) error {
	var made api.NewCode
	if err := code("code", api.OfStaff{Staff: m.staff}, &made); err != nil {
		return fmt.Errorf("make a code for %s: %w", m.staff, err)
	}
	key, err := newPasskey(m.staff)
	if err != nil {
		return err
	}
	pc, err := m.pc.at(api.CertFile(d.dir))
	if err != nil {
		return err
	}
	defer pc.CloseIdleConnections()
	var enrolled struct {
		Print string `json:"print"`
	}
	c := ceremony{path: "enrol", begin: map[string]string{"code": made.Code}, answer: key.enrol}
	if _, err := must(d.ceremony(ctx, pc, c, &enrolled)); err != nil {
		return fmt.Errorf("enrol a passkey of %s: %w", m.staff, err)
	}
	if err := vouch("vouch", api.Vouched{OfStaff: api.OfStaff{Staff: m.staff}, Print: enrolled.Print}, nil); err != nil {
		return fmt.Errorf("vouch for the passkey of %s: %w", m.staff, err)
	}
	m.key = key
	return nil
}

// enter signs an officer in.
func (d *days) enter(ctx context.Context, m *member) (string, error) {
	pc, err := m.pc.at(api.CertFile(d.dir))
	if err != nil {
		return "", err
	}
	defer pc.CloseIdleConnections()
	token, err := must(d.ceremony(ctx, pc, ceremony{path: "passkey", begin: struct{}{}, answer: m.key.touch}, nil))
	if err != nil {
		return "", fmt.Errorf("sign %s in: %w", m.staff, err)
	}
	return token, nil
}
