package desk

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"azekura/access"
	"azekura/approval"
	"azekura/auditlog"
)

// Submit takes a signed file: the proposal, under its proposer's signature, or the
// consent, under both.
func (d *Desk) Submit(ctx context.Context, s access.Session, file []byte) (Item, error) {
	if !s.Live() {
		return Item{}, access.ErrNoSession
	}
	defer d.roll.Hold()()
	p, signed, err := d.roll.Signers(file)
	if err != nil {
		return Item{}, err
	}
	d.steps.Lock()
	defer d.steps.Unlock()
	who := s.Stamp(auditlog.Event{})
	d.mu.Lock()
	item, known := d.items[p.Nonce]
	next := step{Step: Proposed, Proposal: p.Nonce, File: string(file)}
	if known {
		next.Step = Consented
		err = d.mayConsent(*item, p, signed, who, file)
	} else {
		err = d.mayPropose(p, signed)
	}
	d.mu.Unlock()
	if err != nil {
		return Item{}, d.denied(ctx, s, next, err)
	}
	return d.record(ctx, s, next)
}

// mayPropose; mu is held.
func (d *Desk) mayPropose(p approval.Proposal, signed []string) error {
	now, open := d.log.Now(), 0
	for _, item := range d.items {
		if state := d.shown(item).State; state == Proposed || state == Consented {
			open++
		}
	}
	_, used := d.used[p.Nonce]
	switch {
	case len(signed) != 1:
		return fmt.Errorf("%w: it comes under its proposer's signature alone; the consent comes from another device", ErrRefused)
	case p.Log != d.origin:
		return fmt.Errorf("%w: it is for another log, %s", ErrRefused, p.Log)
	case !now.Before(p.Expires) || p.Made.After(now.Add(approval.MaxLife)):
		return fmt.Errorf("%w: it has expired; make it anew", ErrRefused)
	case used:
		return fmt.Errorf("%w: it was used already", ErrRefused)
	case open >= MaxOpen:
		return fmt.Errorf("%w: %d proposals wait already; withdraw some", ErrRefused, MaxOpen)
	}
	return nil
}

// mayConsent: the same bytes, another key, another staff member, another device.
func (d *Desk) mayConsent(item Item, p approval.Proposal, signed []string, who auditlog.Event, file []byte) error {
	old, _, err := approval.Read([]byte(item.File))
	if err != nil {
		return err
	}
	state := d.shown(&item).State
	switch {
	case state != Proposed:
		return fmt.Errorf("%w: it is %s already", ErrRefused, state)
	case !bytes.Equal(old.Text(), p.Text()):
		return fmt.Errorf("%w: these aren't the bytes that were proposed", ErrRefused)
	case len(signed) != approval.Needed || !slices.Contains(signed, item.Signed[0]):
		return fmt.Errorf("%w: a consent bears the proposer's signature and one other approver's", ErrRefused)
	case who.Staff == item.Staff:
		return fmt.Errorf("%w: who proposed it can't bring the consent", ErrRefused)
	case who.Device == item.Device:
		return fmt.Errorf("%w: the consent must come from another device than the proposal", ErrRefused)
	}
	_, err = d.roll.Check(file, d.log.Now())
	return err
}

// Withdraw takes a proposal back; who brought it may.
func (d *Desk) Withdraw(ctx context.Context, s access.Session, id string) (Item, error) {
	return d.end(ctx, s, step{Step: Withdrawn, Proposal: id}, func(item Item, who auditlog.Event) error {
		if who.Staff != item.Staff {
			return fmt.Errorf("%w: who proposed it withdraws it; another refuses it", ErrRefused)
		}
		return nil
	})
}

// mayRefuse are the roles that may end another's proposal.
var mayRefuse = []string{"supervisor", "security-officer", "administrator"}

// Refuse ends another's proposal.
func (d *Desk) Refuse(ctx context.Context, s access.Session, id string) (Item, error) {
	return d.end(ctx, s, step{Step: Refused, Proposal: id}, func(item Item, who auditlog.Event) error {
		switch {
		case who.Staff == item.Staff:
			return fmt.Errorf("%w: who proposed it withdraws it", ErrRefused)
		case !slices.Contains(mayRefuse, who.Role):
			return fmt.Errorf("%w: refusing takes a supervisor, a security officer or an administrator", ErrRefused)
		}
		return nil
	})
}

func (d *Desk) end(ctx context.Context, s access.Session, last step, may func(Item, auditlog.Event) error) (Item, error) {
	if !s.Live() {
		return Item{}, access.ErrNoSession
	}
	d.steps.Lock()
	defer d.steps.Unlock()
	d.mu.Lock()
	item, held := d.items[last.Proposal], d.held[last.Proposal]
	if item == nil {
		d.mu.Unlock()
		return Item{}, ErrNotFound
	}
	now := d.shown(item)
	// No act may begin with it while its end is being recorded.
	free := !held && (now.State == Proposed || now.State == Consented)
	err := may(now, s.Stamp(auditlog.Event{}))
	if free && err == nil {
		d.held[last.Proposal] = true
	}
	d.mu.Unlock()
	if !free {
		return Item{}, fmt.Errorf("%w: it is %s, or being carried out", ErrRefused, now.State)
	}
	if err != nil {
		return Item{}, d.denied(ctx, s, last, err)
	}
	defer func() {
		d.mu.Lock()
		delete(d.held, last.Proposal)
		d.mu.Unlock()
	}()
	return d.record(ctx, s, last)
}

// record writes a step's event and takes it in by the code that replays it.
func (d *Desk) record(ctx context.Context, s access.Session, next step) (Item, error) {
	detail, err := json.Marshal(next)
	if err != nil {
		return Item{}, fmt.Errorf("record the proposal's step: %w", err)
	}
	event := s.Stamp(auditlog.Event{Action: auditlog.System, Outcome: "ok", Purpose: Purpose, Detail: detail})
	// Once queued it is seen through: memory must be what the log says.
	r, err := d.log.RecordOne(context.WithoutCancel(ctx), event)
	if err != nil {
		return Item{}, fmt.Errorf("record the proposal's step: %w", err)
	}
	event.Index, event.Time = r.Index(), r.Time()
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.replayStep(event); err != nil {
		return Item{}, err
	}
	return d.shown(d.items[next.Proposal]), nil
}

// denied records a refused step before it is told.
func (d *Desk) denied(ctx context.Context, s access.Session, next step, why error) error {
	next.File = ""
	detail, err := json.Marshal(next)
	if err == nil {
		_, err = d.log.RecordOne(ctx, s.Stamp(auditlog.Event{Action: auditlog.Deny, Outcome: "refused", Purpose: Purpose, Detail: detail}))
	}
	if err != nil {
		return errors.Join(why, err)
	}
	return why
}
