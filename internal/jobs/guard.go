package jobs

import (
	"bytes"
	"context"
	"crypto/hmac"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"
)

// Guard lets only those jobs be worked that this program queued: a job's row
// directs work (read this file, change that key), and whoever writes the database
// can insert or alter one.
type Guard struct {
	// MAC is the gate's word for a text.
	MAC func(text []byte) [16]byte
	// Refused hears of a job that isn't worked.
	Refused func(ctx context.Context, id int64, kind string) error
}

// ErrForged refuses a job's row that this program didn't write so.
var ErrForged = errors.New("the job's row was altered, or inserted by somebody else; it isn't worked, and azekura log alarms names it")

const macField = "mac"

// guarding is both of River's hooks: where a job is queued, and where it is worked.
type guarding struct {
	river.MiddlewareDefaults
	Guard
}

// InsertMany adds the MAC to the arguments of jobs that are queued.
func (g *guarding) InsertMany(ctx context.Context, list []*rivertype.JobInsertParams, doInner func(context.Context) ([]*rivertype.JobInsertResult, error)) ([]*rivertype.JobInsertResult, error) {
	for _, job := range list {
		args, _, err := split(job.EncodedArgs)
		if err != nil {
			return nil, err
		}
		text, err := canonical(job.Kind, args)
		if err != nil {
			return nil, err
		}
		mac := g.MAC(text)
		args[macField] = base64.StdEncoding.EncodeToString(mac[:])
		if job.EncodedArgs, err = json.Marshal(args); err != nil {
			return nil, err
		}
	}
	return doInner(ctx)
}

// Work refuses a job without its MAC.
func (g *guarding) Work(ctx context.Context, job *rivertype.JobRow, doInner func(context.Context) error) error {
	if g.genuine(job) {
		return doInner(ctx)
	}
	return river.JobCancel(errors.Join(ErrForged, g.Refused(ctx, job.ID, job.Kind)))
}

func (g *guarding) genuine(job *rivertype.JobRow) bool {
	args, mac, err := split(job.EncodedArgs)
	if err != nil {
		return false
	}
	text, err := canonical(job.Kind, args)
	want := g.MAC(text)
	return err == nil && hmac.Equal(mac, want[:])
}

// split takes the MAC out of a job's arguments.
func split(encoded []byte) (args map[string]any, mac []byte, err error) {
	d := json.NewDecoder(bytes.NewReader(encoded))
	d.UseNumber()
	if err := d.Decode(&args); err != nil || args == nil {
		return nil, nil, errors.New("a job's arguments must be a JSON object")
	}
	if text, ok := args[macField].(string); ok {
		mac, _ = base64.StdEncoding.DecodeString(text) // a damaged one is none
	}
	delete(args, macField)
	return args, mac, nil
}

// canonical is what the MAC is over, whatever order and spacing the database
// keeps the arguments in.
func canonical(kind string, args map[string]any) ([]byte, error) {
	raw, err := json.Marshal(args)
	if err != nil {
		return nil, fmt.Errorf("encode the job's arguments: %w", err)
	}
	return append(append([]byte(kind), 0), raw...), nil
}
