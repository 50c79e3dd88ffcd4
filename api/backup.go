package api

import (
	"context"
	"errors"
	"io"
	"net/http"

	"azekura/internal/backup"
	"azekura/internal/installation"

	"github.com/danielgtaylor/huma/v2"
)

// BackupRequest asks for a backup.
type BackupRequest struct {
	To []string `json:"to,omitempty" maxItems:"16" doc:"further age recipients"`
}

func (s *Server) addBackup(api huma.API) {
	huma.Register(api, huma.Operation{OperationID: "backup", Method: http.MethodPost, Path: "/operator/backup", MaxBodyBytes: maxBody,
		Summary: "A backup of the whole installation, encrypted; its bytes and then a mark that they are all"}, s.backup)
	post(s, api, "/operator/backup/rehearsed", "rehearsed", "Record that a backup was tried", false,
		func(ctx context.Context, in *body[installation.RehearsalNote]) (*struct{}, error) {
			return nil, s.inst.RecordRehearsal(ctx, in.Body)
		})
}

func (s *Server) backup(ctx context.Context, in *body[BackupRequest]) (*huma.StreamResponse, error) {
	if err := s.inst.Config.CheckRecipients(in.Body.To); err != nil {
		return nil, s.problem(ctx, errors.Join(errOperator, err))
	}
	return &huma.StreamResponse{Body: func(out huma.Context) {
		out.SetHeader("Content-Type", "application/octet-stream")
		w := &counter{w: out.BodyWriter()}
		_, err := s.inst.Backup(ctx, w, in.Body.To, nil)
		if err == nil {
			_, err = w.w.Write(backup.Tail(w.n))
		}
		if err != nil { // the mark's absence tells the reader
			s.logError(request(ctx), err)
		}
	}}, nil
}

type counter struct {
	w io.Writer
	n int64
}

func (c *counter) Write(b []byte) (int, error) {
	n, err := c.w.Write(b)
	c.n += int64(n)
	return n, err
}
