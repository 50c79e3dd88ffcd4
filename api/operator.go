package api

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"time"

	"azekura/access"
	"azekura/auditlog"
	"azekura/gate"
	"azekura/register"
	"azekura/register/rowfile"

	"github.com/danielgtaylor/huma/v2"
)

// NewStaff adds a staff member.
type NewStaff struct {
	ID     string `json:"id" maxLength:"32"`
	Role   string `json:"role" maxLength:"32"`
	Office string `json:"office" maxLength:"32"`
	// Machine makes it a program's account.
	Machine bool `json:"machine,omitempty" doc:"a program's account, whose sessions the operator opens; nobody signs in to it"`
}

// NewDevice adds a device.
type NewDevice struct {
	ID     string `json:"id" maxLength:"32"`
	Office string `json:"office" maxLength:"32"`
}

// NewSession opens a session.
type NewSession struct {
	Staff   string `json:"staff" maxLength:"32"`
	Device  string `json:"device" maxLength:"32"`
	Minutes int64  `json:"minutes" minimum:"1" maximum:"720"`
}

// OpenedSession is a session and its token, which is shown this once.
type OpenedSession struct {
	access.SessionInfo
	Token string `json:"token"`
}

// NewImport names a file on the server's machine.
type NewImport struct {
	Path     string `json:"path" maxLength:"4096" doc:"an absolute path on the server's machine"`
	Format   string `json:"format,omitempty" enum:"auto,csv,ndjson,"`
	Encoding string `json:"encoding,omitempty" enum:"auto,utf-8,cp932,"`
	// Canaries is a share of those whom the import makes.
	Canaries float64 `json:"canaries,omitempty" minimum:"0" maximum:"0.2" doc:"how many canaries to plant for each participant who is new, 0 to 0.2; a dry run plants none"`
}

func (n NewImport) options() rowfile.Options {
	return rowfile.Options{Format: n.Format, Encoding: n.Encoding}
}

// ImportAnswer is how far an import is.
type ImportAnswer struct {
	register.Import
	RejectsFile string `json:"rejects_file,omitempty" doc:"the rejected rows, encrypted to the operator"`
}

// RejectsAnswer is a page of an import's rejected rows.
type RejectsAnswer struct {
	Rejects []register.Reject `json:"rejects"`
}

// ShredRequest destroys a participant's data key.
type ShredRequest struct {
	Whom
	Reason
	Proposal string `json:"proposal,omitempty" maxLength:"32" doc:"the proposal that two people approved, which names the participant by id"`
	Confirm  string `json:"confirm" maxLength:"64" doc:"the word destroy: it can't be undone"`
}

// ShredAnswer tells what can still open the participant.
type ShredAnswer struct {
	ChangeAnswer
	Remains  string `json:"remains,omitempty" doc:"why the destroyed key's bytes may still lie in the database's files"`
	KeyEpoch int64  `json:"key_epoch" doc:"a backup made before now holds the data key, wrapped under the data domain's key of this epoch; it opens until that key is destroyed"`
}

// LogHead is the log's last signed head.
type LogHead struct {
	Size       int64  `json:"size"`
	Root       string `json:"root"`
	Checkpoint string `json:"checkpoint"`
	Key        string `json:"key" doc:"the log's public key, as a vkey"`
}

func (s *Server) addOperator(api huma.API) {
	type none struct{}
	post(s, api, "/operator/staff", "add-staff", "Add a staff member", false, seenThrough(s, func(ctx context.Context, in *body[NewStaff]) (*body[access.Staff], error) {
		add := s.inst.Access.AddStaff
		if in.Body.Machine {
			add = s.inst.Access.AddMachine
		}
		added, err := add(ctx, in.Body.ID, in.Body.Role, in.Body.Office)
		return &body[access.Staff]{added}, err
	}))
	get(s, api, "/operator/staff", "list-staff", "List the staff", false, func(context.Context, *none) (*body[[]access.Staff], error) {
		return &body[[]access.Staff]{s.inst.Access.Staff()}, nil
	})
	post(s, api, "/operator/sessions", "open-session", "Open a session", false, seenThrough(s, s.openSession))
	get(s, api, "/operator/sessions", "list-sessions", "List the sessions", false, func(context.Context, *none) (*body[[]access.SessionInfo], error) {
		return &body[[]access.SessionInfo]{s.inst.Access.Sessions()}, nil
	})
	post(s, api, "/operator/sessions/{id}/close", "close-session", "Close a session", false, seenThrough(s, s.closeSession))
	post(s, api, "/operator/imports", "start-import", "Import participants from a file", false, s.startImport)
	get(s, api, "/operator/imports/{id}", "show-import", "How far an import is", false, s.showImport)
	get(s, api, "/operator/imports/{id}/rejects", "list-rejects", "An import's rejected rows", false, s.listRejects)
	post(s, api, "/operator/shred", "shred", "Destroy a participant's data key", true, s.shred)
	post(s, api, "/operator/cases/require", "require-cases", "Let every opening take a case that exists, for good", false,
		seenThrough(s, func(ctx context.Context, _ *body[none]) (*body[none], error) {
			return &body[none]{}, s.inst.Cases.Require(ctx)
		}))
	get(s, api, "/operator/log", "log-head", "The log's last signed head", false, s.logHead)
}

// openSession opens one that nobody signs in to. Once staff sign in, the operator
// opens it for a program's account only: a person's would be the person's act.
func (s *Server) openSession(ctx context.Context, in *body[NewSession]) (*body[OpenedSession], error) {
	if s.inst.Config.SignIn != nil && !s.inst.Access.IsMachine(in.Body.Staff) {
		return nil, fmt.Errorf("%w: staff sign in themselves here; a session that the operator opens is for a program's account (azekura staff add --machine)", errOperator)
	}
	info, token, err := s.inst.Access.OpenSession(ctx, in.Body.Staff, in.Body.Device, time.Duration(in.Body.Minutes)*time.Minute)
	return &body[OpenedSession]{OpenedSession{info, token}}, err
}

type byID struct {
	ID string `path:"id" maxLength:"32"`
}

func (s *Server) closeSession(ctx context.Context, in *byID) (*body[access.SessionInfo], error) {
	id, err := auditlog.ParseSession(in.ID)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errOperator, err)
	}
	info, err := s.inst.Access.CloseSession(ctx, id)
	return &body[access.SessionInfo]{info}, err
}

func (s *Server) startImport(ctx context.Context, in *body[NewImport]) (*body[ImportAnswer], error) {
	if !filepath.IsAbs(in.Body.Path) {
		return nil, fmt.Errorf("%w: the path must be absolute", errOperator)
	}
	at, err := s.inst.StartPlanting(ctx, in.Body.Path, in.Body.options(), in.Body.Canaries)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errOperator, err)
	}
	return s.importAnswer(at), nil
}

func (s *Server) importAnswer(at register.Import) *body[ImportAnswer] {
	a := ImportAnswer{Import: at}
	if at.Finished && at.Rejected > 0 {
		a.RejectsFile = s.inst.RejectsFile(at.Name)
	}
	return &body[ImportAnswer]{a}
}

func importID(name string) (int64, error) {
	id, err := strconv.ParseUint(name, 16, 63)
	if err != nil {
		return 0, fmt.Errorf("%w: an import's id has 16 hexadecimal digits", errOperator)
	}
	return int64(id), nil
}

func (s *Server) showImport(ctx context.Context, in *byID) (*body[ImportAnswer], error) {
	id, err := importID(in.ID)
	if err != nil {
		return nil, err
	}
	at, err := s.inst.Register.Import(ctx, id)
	if err != nil {
		return nil, err
	}
	return s.importAnswer(at), nil
}

type rejectsInput struct {
	ID    string `path:"id" maxLength:"32"`
	After int64  `query:"after" doc:"only rows after this one"`
	Limit int    `query:"limit" minimum:"1" maximum:"1000" default:"100"`
}

func (s *Server) listRejects(ctx context.Context, in *rejectsInput) (*body[RejectsAnswer], error) {
	id, err := importID(in.ID)
	if err != nil {
		return nil, err
	}
	list, err := s.inst.Register.Rejects(ctx, id, in.After, in.Limit)
	return &body[RejectsAnswer]{RejectsAnswer{list}}, err
}

func (s *Server) shred(ctx context.Context, in *staffInput[ShredRequest]) (*body[ShredAnswer], error) {
	session, err := s.session(ctx, in.Auth)
	if err != nil {
		return nil, err
	}
	if in.Body.Confirm != "destroy" {
		return nil, fmt.Errorf("%w: confirm must be the word destroy; what is destroyed can't be had back", gate.ErrInvalid)
	}
	who, err := in.Body.who()
	if err != nil {
		return nil, err
	}
	c, err := s.inst.Shred(ctx, session, in.Body.Proposal, who, in.Body.why(ctx))
	if err != nil && !errors.Is(err, register.ErrRemains) {
		return nil, err
	}
	a := ShredAnswer{ChangeAnswer: ChangeAnswer{c.Participant.String(), c.Version, c.Event}, KeyEpoch: s.inst.Ring.Epoch()}
	if err != nil {
		a.Remains = err.Error()
	}
	return &body[ShredAnswer]{a}, nil
}

func (s *Server) logHead(context.Context, *struct{}) (*body[LogHead], error) {
	size, root := s.inst.Signer.Head()
	return &body[LogHead]{LogHead{Size: size, Root: root.String(), Checkpoint: string(s.inst.Log.Checkpoint()), Key: s.inst.Signer.VerifierKey()}}, nil
}
