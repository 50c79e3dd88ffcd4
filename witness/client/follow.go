package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"azekura/auditlog"
	"azekura/witness"

	"golang.org/x/mod/sumdb/note"
)

// follow takes a witness from the log or key that it knows to those of today: at
// each place where a key handed on it has that key's last head cosigned, under
// which the event stands that names the next, and then shows the event. It says
// whether the witness followed anything. One of another make knows no such request:
// its people have to be told.
func (a *asked) follow(ctx context.Context) (followed bool, err error) {
	list, err := a.handovers(ctx)
	if err != nil {
		return false, err
	}
	var errs []error
	for _, one := range list {
		switch err := a.handOver(ctx, one); {
		case err == nil:
			followed = true
		case !errors.Is(err, errUnknown) && !errors.Is(err, errPassed): // it comes in further on
			errs = append(errs, fmt.Errorf("show it who goes on after %s: %w", one.Origin, err))
		}
	}
	return followed, errors.Join(errs...)
}

func (a *asked) handOver(ctx context.Context, one auditlog.Handover) error {
	c, err := witness.ParseCheckpoint(one.Checkpoint)
	if err != nil {
		return err
	}
	last := head{c, one.Checkpoint}
	key, err := note.NewVerifier(one.Key)
	if err != nil {
		return err
	}
	before := &asked{Witness: a.Witness, keys: a.keys, http: a.http, hashes: one.Tree.Hashes, log: key, dispute: a.dispute, former: true,
		newest: func() (head, error) { return last, nil }}
	if _, err := before.request(ctx, last); err != nil {
		return err
	}
	body, err := json.Marshal(one.Step)
	if err != nil {
		return err
	}
	status, _, answer, err := a.post(ctx, "logs/"+witness.LogName(one.Origin)+"/successor", body)
	if err != nil || status == http.StatusOK {
		return err
	}
	if status == http.StatusNotFound {
		return errors.New("it is of a make that follows nothing: have its people add the key of today, which azekura log head prints")
	}
	return fmt.Errorf("it answers %d: %.300s", status, strings.TrimSpace(string(answer)))
}
