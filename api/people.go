package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"azekura/access"
	"azekura/access/signin"
	"azekura/auditlog"

	"github.com/danielgtaylor/huma/v2"
)

// OfStaff names a staff member.
type OfStaff struct {
	Staff string `json:"staff" maxLength:"32"`
}

// NewRoles are all the roles that a staff member is to have.
type NewRoles struct {
	OfStaff
	Roles []string `json:"roles" minItems:"1" maxItems:"6"`
}

// NewDeputy names who stands in for whom.
type NewDeputy struct {
	OfStaff
	For    string    `json:"for" maxLength:"32" doc:"the staff member who is stood in for"`
	Role   string    `json:"role" maxLength:"32"`
	From   time.Time `json:"from,omitzero" doc:"absent is now"`
	Until  time.Time `json:"until" doc:"at most 31 days after from"`
	Reason string    `json:"reason" maxLength:"200" doc:"one line, without anybody's data"`
}

// EndedDeputy names a deputy's grant.
type EndedDeputy struct {
	Event int64 `json:"event" minimum:"0" doc:"the grant's index in the audit log"`
}

// NewCode is an enrolment code, which is shown this once.
type NewCode struct {
	Staff   string    `json:"staff"`
	Code    string    `json:"code"`
	Expires time.Time `json:"expires"`
}

// Vouched says that a passkey is a staff member's.
type Vouched struct {
	OfStaff
	Print string `json:"print" maxLength:"32" doc:"the fingerprint on their screen"`
}

// EndedSession names a session.
type EndedSession struct {
	Session string `json:"session" maxLength:"32"`
}

// addPeople adds what officers do about staff: for sessions under /v1, and on the
// operator's socket for the operator.
func (s *Server) addPeople(api huma.API) {
	withAuth(s, api, "roles", "Give a staff member these roles and no others", func(ctx context.Context, o access.Officer, in NewRoles) (access.Staff, error) {
		return s.inst.Access.SetRoles(ctx, o, in.Staff, in.Roles)
	})
	withAuth(s, api, "remove", "Take a staff member's roles, passkeys and sessions", func(ctx context.Context, o access.Officer, in OfStaff) (access.Staff, error) {
		return s.inst.Access.RemoveStaff(ctx, o, in.Staff)
	})
	withAuth(s, api, "deputy", "Let one staff member stand in for another", func(ctx context.Context, o access.Officer, in NewDeputy) (access.Deputy, error) {
		return s.inst.Access.Deputise(ctx, o, access.Deputy{Staff: in.Staff, For: in.For, Role: in.Role, From: in.From, Until: in.Until, Reason: in.Reason})
	})
	withAuth(s, api, "deputy-end", "End a deputy's standing before its time", func(ctx context.Context, o access.Officer, in EndedDeputy) (access.Deputy, error) {
		return s.inst.Access.EndDeputy(ctx, o, in.Event)
	})
	withAuth(s, api, "code", "Make a one-time code with which a staff member enrols a passkey", func(ctx context.Context, o access.Officer, in OfStaff) (NewCode, error) {
		code, expires, err := s.inst.Access.NewCode(ctx, o, in.Staff)
		return NewCode{in.Staff, code, expires}, err
	})
	withAuth(s, api, "vouch", "Vouch for a passkey that was enrolled", func(ctx context.Context, o access.Officer, in Vouched) (access.Passkey, error) {
		return s.inst.Access.Vouch(ctx, o, in.Staff, in.Print)
	})
	withAuth(s, api, "reset", "Take all of a staff member's passkeys, and end their sessions", func(ctx context.Context, o access.Officer, in OfStaff) (OfStaff, error) {
		return in, s.inst.Access.RemovePasskeys(ctx, o, in.Staff)
	})
	withAuth(s, api, "close-session", "End a session: one's own, or as a security officer any", func(ctx context.Context, o access.Officer, in EndedSession) (access.SessionInfo, error) {
		id, err := auditlog.ParseSession(in.Session)
		if err != nil {
			return access.SessionInfo{}, fmt.Errorf("%w: %w", access.ErrInvalid, err)
		}
		return s.inst.Access.End(ctx, o, id)
	})
	get(s, api, "/v1/people/sessions", "people-sessions", "One's own sessions; all of them for a security officer", true, func(ctx context.Context, in *Auth) (*body[[]access.SessionInfo], error) {
		session, err := s.session(ctx, *in)
		if err != nil {
			return nil, err
		}
		if session.Role() == "security-officer" {
			return &body[[]access.SessionInfo]{s.inst.Access.Sessions()}, nil
		}
		return &body[[]access.SessionInfo]{s.inst.Access.SessionsOf(session.Staff())}, nil
	})
	officers(s, api, "deputies", "Who stands in for whom", s.inst.Access.Deputies)
	officers(s, api, "passkeys", "The passkeys, and who vouched for them", func() []access.Passkey { return s.inst.Access.Passkeys("") })
	officers(s, api, "staff", "The staff", s.inst.Access.Staff)
}

// addPeopleOperator adds the same for the operator.
func (s *Server) addPeopleOperator(api huma.API) {
	type none struct{}
	get(s, api, "/operator/people/deputies", "operator-deputies", "Who stands in for whom", false, func(context.Context, *none) (*body[[]access.Deputy], error) {
		return &body[[]access.Deputy]{s.inst.Access.Deputies()}, nil
	})
	get(s, api, "/operator/people/passkeys", "operator-passkeys", "The passkeys, and who vouched for them", false, func(context.Context, *none) (*body[[]access.Passkey], error) {
		return &body[[]access.Passkey]{s.inst.Access.Passkeys("")}, nil
	})
	operator(s, api, "roles", "Give a staff member these roles and no others", func(ctx context.Context, in NewRoles) (access.Staff, error) {
		return s.inst.Access.SetRoles(ctx, access.Operator(), in.Staff, in.Roles)
	})
	operator(s, api, "remove", "Take a staff member's roles, passkeys and sessions", func(ctx context.Context, in OfStaff) (access.Staff, error) {
		return s.inst.Access.RemoveStaff(ctx, access.Operator(), in.Staff)
	})
	operator(s, api, "code", "Make a first officer's enrolment code", func(ctx context.Context, in OfStaff) (NewCode, error) {
		code, expires, err := s.inst.Access.NewCode(ctx, access.Operator(), in.Staff)
		return NewCode{in.Staff, code, expires}, err
	})
	operator(s, api, "vouch", "Vouch for a first officer's passkey", func(ctx context.Context, in Vouched) (access.Passkey, error) {
		return s.inst.Access.Vouch(ctx, access.Operator(), in.Staff, in.Print)
	})
	operator(s, api, "deputy", "Let one staff member stand in for another", func(ctx context.Context, in NewDeputy) (access.Deputy, error) {
		return s.inst.Access.Deputise(ctx, access.Operator(), access.Deputy{Staff: in.Staff, For: in.For, Role: in.Role, From: in.From, Until: in.Until, Reason: in.Reason})
	})
	operator(s, api, "deputy-end", "End a deputy's standing before its time", func(ctx context.Context, in EndedDeputy) (access.Deputy, error) {
		return s.inst.Access.EndDeputy(ctx, access.Operator(), in.Event)
	})
}

func operator[In, Out any](s *Server, api huma.API, name, summary string, f func(context.Context, In) (Out, error)) {
	post(s, api, "/operator/people/"+name, "operator-"+name, summary, false, seenThrough(s, func(ctx context.Context, in *body[In]) (*body[Out], error) {
		out, err := f(ctx, in.Body)
		return &body[Out]{out}, err
	}))
}

func withAuth[In, Out any](s *Server, api huma.API, name, summary string, f func(context.Context, access.Officer, In) (Out, error)) {
	post(s, api, "/v1/people/"+name, "people-"+name, summary, true, seenThrough(s, func(ctx context.Context, in *staffInput[In]) (*body[Out], error) {
		session, err := s.session(ctx, in.Auth)
		if err != nil {
			return nil, err
		}
		out, err := f(ctx, session.Officer(), in.Body)
		return &body[Out]{out}, err
	}))
}

// officers lists something to those who grant, vouch and audit.
func officers[T any](s *Server, api huma.API, name, summary string, f func() []T) {
	get(s, api, "/v1/people/"+name, "people-"+name, summary, true, func(ctx context.Context, in *Auth) (*body[[]T], error) {
		session, err := s.session(ctx, *in)
		if err != nil {
			return nil, err
		}
		switch session.Role() {
		case "administrator", "security-officer", "supervisor", "auditor":
			return &body[[]T]{f()}, nil
		}
		return nil, fmt.Errorf("%w: it takes an administrator, a security officer, a supervisor or an auditor to see this", access.ErrRefused)
	})
}

// addSignIn adds the sign-in's pages, where the settings have it.
func (s *Server) addSignIn(mux *http.ServeMux) {
	if s.signIn != nil {
		s.signIn.Handle(mux)
	}
}

// startSignIn makes the sign-in ready; without settings for it there is none.
func (s *Server) startSignIn() {
	if s.inst.Config.SignIn == nil {
		return
	}
	var err error
	s.signIn, err = signin.New(*s.inst.Config.SignIn, s.inst.Access, s.peer, func(err error) { s.logError("-", err) })
	if err != nil {
		s.logError("-", fmt.Errorf("nobody can sign in until azekura.json is mended: %w", err))
	}
}

var errOtherSite = errors.New("another site sent this request; it isn't done")

// sameSite refuses what a browser sends at another site's wish (Sec-Fetch-Site, or
// else Origin), whatever cookie it carries.
func (s *Server) sameSite(h http.Handler) http.Handler {
	p := http.NewCrossOriginProtection()
	p.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		writeProblem(w, http.StatusForbidden, errOtherSite.Error())
	}))
	return p.Handler(h)
}
