package signin

import (
	"context"
	"errors"
	"net/http"

	"azekura/access"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/webauthn"
)

// holder is a staff member as WebAuthn sees one. The user handle is their id, which
// is a code and not a name.
type holder struct {
	id   string
	keys []access.Credential
}

func (h holder) WebAuthnID() []byte          { return []byte(h.id) }
func (h holder) WebAuthnName() string        { return h.id }
func (h holder) WebAuthnDisplayName() string { return h.id }

func (h holder) WebAuthnCredentials() []webauthn.Credential {
	list := make([]webauthn.Credential, len(h.keys))
	for i, k := range h.keys {
		list[i] = webauthn.Credential{ID: k.ID, PublicKey: k.Public, Flags: webauthn.NewCredentialFlags(protocol.AuthenticatorFlags(k.Flags)),
			Authenticator: webauthn.Authenticator{SignCount: k.Count}}
	}
	return list
}

func (s *Server) holder(staff string) holder { return holder{staff, s.dir.Credentials(staff)} }

var (
	errPasskey = errors.New("the passkey wasn't accepted: it isn't enrolled here, or nobody vouched for it yet, or it didn't verify you; if it is lost, ask the administrator for a reset")
	errClone   = errors.New("this passkey was used elsewhere since: there may be a copy of it; tell the security officer")
)

func (s *Server) beginPasskey(w http.ResponseWriter, r *http.Request) (any, error) {
	if _, err := s.peer(r); err != nil {
		return nil, err
	}
	options, web, err := s.web.BeginDiscoverableLogin()
	if err != nil {
		return nil, err
	}
	return options, s.begin(w, ceremonyCookie, ceremony{what: "passkey", web: *web})
}

func (s *Server) finishPasskey(w http.ResponseWriter, r *http.Request) (any, error) {
	c, err := s.take(w, r, ceremonyCookie, "passkey")
	if err != nil {
		return nil, err
	}
	p, err := s.prove(w, r, c, "")
	if err != nil {
		return nil, err
	}
	return struct{}{}, s.enter(w, r, p)
}

// prove checks an assertion, and says whose it is. A staff member that it must be of
// is named; else it may be anybody's who has a passkey.
func (s *Server) prove(w http.ResponseWriter, r *http.Request, c ceremony, staff string) (access.Proof, error) {
	peer, err := s.peer(r)
	if err != nil {
		return access.Proof{}, err
	}
	raw, err := body(w, r)
	if err != nil {
		return access.Proof{}, errBody
	}
	parsed, err := protocol.ParseCredentialRequestResponseBytes(raw)
	if err != nil {
		return access.Proof{}, errBody
	}
	var key *webauthn.Credential
	if staff != "" {
		key, err = s.web.ValidateLogin(s.holder(staff), c.web, parsed)
	} else {
		_, key, err = s.web.ValidatePasskeyLogin(func(_, handle []byte) (webauthn.User, error) {
			staff = string(handle)
			return s.holder(staff), nil
		}, c.web, parsed)
	}
	if err != nil {
		return access.Proof{}, s.deny(r.Context(), staff, peer.Device(), access.ViaPasskey, "assertion", errPasskey)
	}
	if key.Authenticator.CloneWarning {
		return access.Proof{}, s.deny(r.Context(), staff, peer.Device(), access.ViaPasskey, "counter", errClone)
	}
	return access.Proof{Staff: staff, Via: access.ViaPasskey, Key: key.ID, Count: key.Authenticator.SignCount, Peer: peer}, nil
}

func (s *Server) beginTouch(w http.ResponseWriter, r *http.Request) (any, error) {
	session, err := s.session(r)
	if err != nil {
		return nil, err
	}
	var in struct{ For access.Act }
	if err := read(w, r, &in); err != nil {
		return nil, err
	}
	if in.For != "" {
		if err := access.CheckAct(in.For); err != nil {
			return nil, err
		}
	}
	of := s.holder(session.Staff())
	if len(of.keys) == 0 {
		return nil, errPasskey
	}
	options, web, err := s.web.BeginLogin(of)
	if err != nil {
		return nil, err
	}
	return options, s.begin(w, ceremonyCookie, ceremony{what: "touch", web: *web, session: session, act: in.For})
}

func (s *Server) finishTouch(w http.ResponseWriter, r *http.Request) (any, error) {
	c, err := s.take(w, r, ceremonyCookie, "touch")
	if err != nil {
		return nil, err
	}
	// The session of the beginning and that of now must be one.
	session, err := s.session(r)
	if err != nil || session.ID() != c.session.ID() {
		return nil, access.ErrNoSession
	}
	p, err := s.prove(w, r, c, session.Staff())
	if err != nil {
		return nil, err
	}
	if c.act == "" {
		return touched{}, s.dir.Touch(context.WithoutCancel(r.Context()), session, p)
	}
	code, err := s.dir.TouchFor(context.WithoutCancel(r.Context()), session, p, c.act)
	return touched{code}, err
}

// touched has the code by which the act is done that the touch was for.
type touched struct {
	Touch string `json:"touch,omitempty"`
}

func (s *Server) beginEnrol(w http.ResponseWriter, r *http.Request) (any, error) {
	var in struct{ Code string }
	if err := read(w, r, &in); err != nil {
		return nil, err
	}
	if _, err := s.peer(r); err != nil {
		return nil, err
	}
	of, err := s.dir.CodeFor(in.Code)
	if err != nil {
		return nil, err
	}
	h := s.holder(of.ID)
	options, web, err := s.web.BeginRegistration(h, webauthn.WithExclusions(webauthn.Credentials(h.WebAuthnCredentials()).CredentialDescriptors()))
	if err != nil {
		return nil, err
	}
	return options, s.begin(w, ceremonyCookie, ceremony{what: "enrol", web: *web, code: in.Code})
}

// enrolled is what who enrolled shows to who vouches.
type enrolled struct {
	Staff string `json:"staff"`
	Print string `json:"print"`
}

func (s *Server) finishEnrol(w http.ResponseWriter, r *http.Request) (any, error) {
	c, err := s.take(w, r, ceremonyCookie, "enrol")
	if err != nil {
		return nil, err
	}
	peer, err := s.peer(r)
	if err != nil {
		return nil, err
	}
	of, err := s.dir.CodeFor(c.code)
	if err != nil {
		return nil, err
	}
	raw, err := body(w, r)
	if err != nil {
		return nil, errBody
	}
	parsed, err := protocol.ParseCredentialCreationResponseBytes(raw)
	if err != nil {
		return nil, errBody
	}
	key, err := s.web.CreateCredential(holder{id: of.ID}, c.web, parsed)
	if err != nil {
		return nil, s.deny(r.Context(), of.ID, peer.Device(), access.ViaPasskey, "enrolment", errPasskey)
	}
	added, err := s.dir.Enrol(context.WithoutCancel(r.Context()), c.code, peer.Device(), access.Credential{ID: key.ID, Public: key.PublicKey,
		Flags: uint8(key.Flags.ProtocolValue()), Count: key.Authenticator.SignCount})
	return enrolled{added.Staff, added.Print}, err
}
