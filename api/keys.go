package api

import (
	"context"
	"fmt"

	"azekura/keyring/root"
	"azekura/keyring/rotation"

	"github.com/danielgtaylor/huma/v2"
)

// NewRotation asks for a key to be changed.
type NewRotation struct {
	Kind     string `json:"kind" enum:"root,data,index"`
	Confirm  string `json:"confirm" maxLength:"64" doc:"the word destroy: the old key is destroyed at the end"`
	Proposal string `json:"proposal,omitempty" maxLength:"32" doc:"the proposal that two people approved"`
	// Of a root key:
	Passphrase string              `json:"passphrase,omitempty" maxLength:"1024" doc:"keeps the new root key in a file"`
	Recovery   string              `json:"recovery,omitempty" maxLength:"4096" doc:"an age recipient that the new root key is escrowed to"`
	NoRecovery bool                `json:"no_recovery,omitempty" doc:"there is to be no such copy"`
	Transit    *root.TransitConfig `json:"transit,omitempty" doc:"keeps the root key at a KMS"`
}

// RotationAnswer is what was begun, or of a root key what was done.
type RotationAnswer struct {
	Rotation *rotation.Rotation   `json:"rotation,omitempty"`
	Root     *rotation.RootChange `json:"root,omitempty"`
}

func (s *Server) addKeys(api huma.API) {
	get(s, api, "/operator/keys", "list-keys", "The keys, their ages, and what is under each", false, func(ctx context.Context, _ *struct{}) (*body[rotation.Keys], error) {
		keys, err := s.inst.Rotator.Keys(ctx)
		return &body[rotation.Keys]{keys}, err
	})
	post(s, api, "/operator/keys/rotate", "rotate-key", "Change a key", false, s.rotate)
	get(s, api, "/operator/keys/rotations/{id}", "show-rotation", "How far the change of a key is", false,
		func(ctx context.Context, in *struct {
			ID int64 `path:"id"`
		}) (*body[rotation.Rotation], error) {
			at, err := s.inst.Rotator.Show(ctx, in.ID)
			return &body[rotation.Rotation]{at}, err
		})
}

func (s *Server) rotate(ctx context.Context, in *body[NewRotation]) (*body[RotationAnswer], error) {
	r := in.Body
	if r.Confirm != "destroy" {
		return nil, fmt.Errorf("%w: confirm must be the word destroy: the old key is destroyed at the end, and what only it opens is gone", rotation.ErrInvalid)
	}
	if r.Kind == "root" {
		passphrase := []byte(r.Passphrase)
		defer clear(passphrase)
		done, err := s.inst.ChangeRoot(ctx, r.Proposal, rotation.RootOptions{Transit: r.Transit, Passphrase: passphrase, Recovery: r.Recovery, NoRecovery: r.NoRecovery})
		return &body[RotationAnswer]{RotationAnswer{Root: &done}}, err
	}
	if r.Passphrase != "" || r.Recovery != "" || r.NoRecovery || r.Transit != nil {
		return nil, fmt.Errorf("%w: a passphrase, a recovery copy or a KMS is the root key's", rotation.ErrInvalid)
	}
	at, err := s.inst.StartRotation(ctx, r.Kind, r.Proposal)
	return &body[RotationAnswer]{RotationAnswer{Rotation: &at}}, err
}
