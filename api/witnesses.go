package api

import (
	"context"

	"azekura/witness/client"

	"github.com/danielgtaylor/huma/v2"
)

// addWitnesses adds what the operator sees of the witnesses.
func (s *Server) addWitnesses(api huma.API) {
	get(s, api, "/operator/witnesses", "show-witnesses", "How the log's cosigning stands", false, func(context.Context, *struct{}) (*body[client.Status], error) {
		if s.inst.Witnesses == nil {
			return &body[client.Status]{}, nil
		}
		return &body[client.Status]{s.inst.Witnesses.Status()}, nil
	})
}
