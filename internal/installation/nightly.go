package installation

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"sync/atomic"
	"time"

	"azekura/auditlog"
	"azekura/register"

	"github.com/riverqueue/river"
)

// Nightly says when a server verifies the whole installation by itself, once a day.
type Nightly struct {
	Hour int  `json:"hour"` // of the machine's clock, 0 to 23
	Off  bool `json:"off,omitempty"`
}

// defaultHour is before anybody comes to the office.
const defaultHour = 3

// Whole is what was found of everything: the log against its signed head, what
// grants against the signer's sum, the register and its index against the log.
type Whole struct {
	OK        bool               `json:"ok"`
	Log       auditlog.Report    `json:"log"`
	Earlier   []auditlog.Earlier `json:"earlier,omitempty"`
	Authority string             `json:"authority,omitempty"`
	Register  register.Verified  `json:"register"`
}

// purposeVerify is of the event that says that everything was verified.
const purposeVerify = "verify"

// VerifyAll goes through everything, and goes on where something is wrong. Each
// thing that is wrong is an alarm, and the end an event. progress may hold it up.
func (i *Installation) VerifyAll(ctx context.Context, progress func(done, total int64)) (w Whole, err error) {
	w.Log, w.Earlier, err = auditlog.VerifyAll(ctx, i.DB, i.Log.ID(), i.Signer, auditlog.VerifyOptions{Progress: progress, OpenMembers: i.Gate.OpenMembers})
	if err != nil {
		return w, err
	}
	if !w.Log.OK {
		key := "-"
		if w.Log.FirstBad >= 0 {
			key = strconv.FormatInt(w.Log.FirstBad, 10)
		}
		if err := i.Log.Raise(ctx, auditlog.Tampering{Table: "log_event", Key: key, Kind: w.Log.Problem}); err != nil {
			return w, err
		}
	}
	if err := i.CheckAuthority(ctx); errors.Is(err, auditlog.ErrAuthority) {
		w.Authority = err.Error()
	} else if err != nil {
		return w, err
	}
	if w.Register, err = i.Gate.VerifyRegister(ctx, func(done int64) { progress(done, 0) }); err != nil {
		return w, err
	}
	w.OK = w.Log.OK && w.Authority == "" && w.Register.OK
	detail, err := json.Marshal(map[string]any{"ok": w.OK, "events": w.Log.Size, "participants": w.Register.Participants,
		"problems": int64(len(w.Register.Problems)) + w.Register.More})
	if err != nil {
		return w, err
	}
	_, err = i.Log.RecordOne(context.WithoutCancel(ctx), auditlog.Event{Action: auditlog.System, Outcome: "ok", Purpose: purposeVerify, Detail: detail})
	i.verified.Store(i.Log.Now().UnixMicro())
	return w, err
}

// verifiedAt is when everything was verified last, by the log's own word.
type verifiedAt struct{ atomic.Int64 }

// Replay hears of one event of authority.
func (v *verifiedAt) Replay(e auditlog.Event) error {
	if e.Action == auditlog.System && e.Purpose == purposeVerify {
		v.Store(e.Time)
	}
	return nil
}

// VerifyArgs is the job of the daily verification.
type VerifyArgs struct{}

// Kind names the job.
func (VerifyArgs) Kind() string { return "verify" }

// hourly is the schedule: each day at an hour of the machine's clock.
type hourly int

// Next is the first such moment behind one.
func (h hourly) Next(now time.Time) time.Time {
	at := time.Date(now.Year(), now.Month(), now.Day(), int(h), 0, 0, 0, now.Location())
	if !at.After(now) {
		at = time.Date(now.Year(), now.Month(), now.Day()+1, int(h), 0, 0, 0, now.Location())
	}
	return at
}

// missed tells whether the hour has come since a moment.
func (h hourly) missed(since, now time.Time) bool {
	return !h.Next(since.In(now.Location())).After(now)
}

// VerifyDaily lets a server verify everything once a day, and at once where the hour
// went by while none ran. Jobs must be started.
func (i *Installation) VerifyDaily() error {
	n := Nightly{Hour: defaultHour}
	if i.Config.Verify != nil {
		n = *i.Config.Verify
	}
	if n.Off {
		i.tell(errors.New("the settings turn the daily verification off: run azekura verify yourself"))
		return nil
	}
	if n.Hour < 0 || n.Hour > 23 {
		return fmt.Errorf("%s: the hour of the daily verification is 0 to 23, and not %d", configFile, n.Hour)
	}
	at := hourly(n.Hour)
	return i.Jobs.Daily(purposeVerify, at, func() river.JobArgs {
		since := i.Config.Created
		if last := i.verified.Load(); last > 0 {
			since = time.UnixMicro(last)
		}
		if !at.missed(since, time.Now()) {
			return nil
		}
		return VerifyArgs{}
	})
}

// rest is how many times as long as it works the daily verification waits in
// between, so that reads have the machine; longestRest bounds one wait.
const (
	rest        = 3
	longestRest = 2 * time.Second
)

func (i *Installation) runVerify(ctx context.Context) error {
	if _, atWork := i.atWork.LoadOrStore(purposeVerify, true); atWork {
		return nil
	}
	defer i.atWork.Delete(purposeVerify)
	began := time.Now()
	w, err := i.VerifyAll(ctx, func(int64, int64) {
		pause := time.NewTimer(min(rest*time.Since(began), longestRest))
		defer pause.Stop()
		select {
		case <-pause.C:
		case <-ctx.Done():
		}
		began = time.Now()
	})
	switch {
	case err != nil && ctx.Err() != nil:
		return river.JobSnooze(0) // the process is ending; it begins anew
	case err != nil:
		return fmt.Errorf("the daily verification didn't come to its end: %w", err) // the job's end is told
	case !w.OK:
		i.tell(w.alarm())
	}
	return nil
}

// alarm says what is wrong in one line.
func (w *Whole) alarm() error {
	what := w.Log.Problem
	if what == "" {
		what = w.Authority
	}
	if n := len(w.Register.Problems); what == "" && n > 0 {
		what = fmt.Sprintf("%s (%d rows)", w.Register.Problems[0], int64(n)+w.Register.More)
	}
	return fmt.Errorf("ALARM: the daily verification found that the database isn't what was written: %s; run azekura verify, and see azekura log alarms and doc/operations.md, “When verify fails”", what)
}
