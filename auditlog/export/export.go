// Package export hands the audit log's events on in the forms that other systems
// read: OCSF 1.3 (class 6005, Datastore Activity), FHIR R4 AuditEvent after the
// IHE BALP profiles, and CSV.
//
// It promises that an export is itself an event, recorded before the first byte
// goes out, with its format, its range and its count; that only a session of an
// auditor gets one, and that a refusal is recorded too; that every line was
// compared with its leaf in the log's tiles; and that memory doesn't grow with
// what is exported. It knows pseudonyms and codes, and no code that can reach
// personal data.
//
// What it doesn't do: an export isn't evidence by itself. Its rows name the
// event's index; azekura log prove shows that one is in the signed log, and
// azekura log complete that none is missing.
package export

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"azekura/access"
	"azekura/auditlog"
	"azekura/auditlog/complete"
	"azekura/register/field"
)

var (
	// ErrDenied means that the session's role gets no export; that is recorded.
	ErrDenied = errors.New("refused")
	// ErrInvalid means that the query isn't of the form it must have.
	ErrInvalid = errors.New("invalid export")
)

// Formats are those that there are.
var Formats = []string{"ocsf", "fhir", "csv"}

// mayExport are the roles that get one.
var mayExport = []string{"auditor"}

// Query says what to export.
type Query struct {
	Log          int64 // a log that this one continues; 0 is this one
	Format       string
	Since, Until time.Time // the first moment that counts, and the first that doesn't; zero is open
	Participant  auditlog.ID
	Session      auditlog.Session
	Staff        string
	// ExpandSets writes a row for each member of a set event, beside the event's.
	// With a participant, sets that hold them are found as well.
	ExpandSets bool
	Request    string
}

// Source is what an export reads.
type Source struct {
	Log *auditlog.Log
	// OpenMembers opens a block of a set event's members: the keyring's.
	OpenMembers func(setID, block int64, sealed []byte) ([]byte, error)
}

// Ready is an export that is recorded and not written yet.
type Ready struct {
	Event int64 // of the export, in the log
	Rows  int64
	src   Source
	from  auditlog.History
	q     Query
	size  int64
}

// ContentType is the export's media type.
func (r *Ready) ContentType() string {
	if r.q.Format == "csv" {
		return "text/csv; charset=utf-8"
	}
	return "application/x-ndjson"
}

// Allowed records a refusal to whoever isn't an auditor.
func Allowed(ctx context.Context, log *auditlog.Log, s access.Session, request string) error {
	if !s.Live() {
		return access.ErrNoSession
	}
	if slices.Contains(mayExport, s.Role()) {
		return nil
	}
	event := s.Stamp(auditlog.Event{Action: auditlog.Deny, Outcome: "role", Purpose: "audit", Request: request, Detail: []byte(`{"asked":"export"}`)})
	if _, err := log.RecordOne(ctx, event); err != nil {
		return err
	}
	return fmt.Errorf("%w: the role %s gets no events; an auditor does", ErrDenied, s.Role())
}

// asked is the detail of an export's event.
type asked struct {
	Log         int64      `json:"log,omitempty"` // that one, where it isn't the event's own
	Format      string     `json:"format"`
	From        int64      `json:"from"` // the log's events from one index
	To          int64      `json:"to"`   // up to another, without it
	Since       *time.Time `json:"since,omitempty"`
	Until       *time.Time `json:"until,omitempty"`
	Participant string     `json:"participant,omitempty"`
	Session     string     `json:"session,omitempty"`
	Staff       string     `json:"staff,omitempty"`
	ExpandSets  bool       `json:"expand_sets,omitempty"`
	Count       int64      `json:"count"` // rows
}

// Prepare counts what an export will hold and records that it is made. It reads
// the log once for that, and Write reads it again.
func Prepare(ctx context.Context, src Source, s access.Session, q Query) (*Ready, error) {
	if err := Allowed(ctx, src.Log, s, q.Request); err != nil {
		return nil, err
	}
	if !slices.Contains(Formats, q.Format) {
		return nil, fmt.Errorf("%w: the formats are ocsf, fhir and csv", ErrInvalid)
	}
	if !q.Since.IsZero() && !q.Until.IsZero() && !q.Since.Before(q.Until) {
		return nil, fmt.Errorf("%w: since must be before until", ErrInvalid)
	}
	from, err := src.Log.History(q.Log)
	if err != nil {
		return nil, err
	}
	r := &Ready{src: src, from: from, q: q, size: from.Signed()}
	if err := r.each(ctx, func(row) error { r.Rows++; return nil }); err != nil {
		return nil, err
	}
	detail, err := json.Marshal(r.asked())
	if err != nil {
		return nil, err
	}
	receipt, err := src.Log.RecordOne(ctx, s.Stamp(auditlog.Event{Action: auditlog.Export, Outcome: "ok", Purpose: "audit",
		Participant: q.Participant, Request: q.Request, Detail: detail}))
	r.Event = receipt.Index()
	return r, err
}

func (r *Ready) asked() asked {
	a := asked{Log: r.q.Log, Format: r.q.Format, To: r.size, Staff: r.q.Staff, ExpandSets: r.q.ExpandSets, Count: r.Rows}
	if !r.q.Since.IsZero() {
		since := r.q.Since.UTC()
		a.Since = &since
	}
	if !r.q.Until.IsZero() {
		until := r.q.Until.UTC()
		a.Until = &until
	}
	if r.q.Participant != (auditlog.ID{}) {
		a.Participant = r.q.Participant.String()
	}
	if r.q.Session != 0 {
		a.Session = r.q.Session.String()
	}
	return a
}

// Write writes the export.
func (r *Ready) Write(ctx context.Context, to io.Writer) error {
	w := newWriter(r.q.Format, r.from.Origin, to)
	if err := r.each(ctx, w.row); err != nil {
		return fmt.Errorf("export: %w", err)
	}
	return w.flush()
}

// row is an event, or one member of a set event that is expanded.
type row struct {
	*auditlog.Event
	member *auditlog.Member
	place  int64 // of the member in its set
}

// each calls f with every row of the export.
func (r *Ready) each(ctx context.Context, f func(row) error) error {
	anyone := r.q.Participant == (auditlog.ID{})
	return r.from.TrueLines(ctx, 0, r.size, func(index int64, line []byte) error {
		if index%1024 == 0 {
			if err := ctx.Err(); err != nil {
				return err
			}
		}
		e, err := auditlog.ParseLine(line)
		if err != nil {
			return fmt.Errorf("event %d: %w; run azekura log verify", index, err)
		}
		if !r.q.wants(&e) {
			return nil
		}
		if anyone || e.Participant == r.q.Participant {
			if err := f(row{Event: &e}); err != nil {
				return err
			}
		}
		if e.Set == nil || !r.q.ExpandSets {
			return nil
		}
		if err := r.expand(ctx, &e, f); err != nil {
			return fmt.Errorf("expand set event %d: %w", index, err)
		}
		return nil
	})
}

// wants tells whether an event is of the query, but for its participant.
func (q *Query) wants(e *auditlog.Event) bool {
	at := time.UnixMicro(e.Time)
	return (q.Since.IsZero() || !at.Before(q.Since)) && (q.Until.IsZero() || at.Before(q.Until)) &&
		(q.Session == 0 || e.Session == q.Session) && (q.Staff == "" || e.Staff == q.Staff)
}

// expand calls f with the members of a set, and refuses them if they aren't those
// of its event.
func (r *Ready) expand(ctx context.Context, e *auditlog.Event, f func(row) error) error {
	check, place := auditlog.NewCheckSet(), int64(0)
	for block, left := int64(0), e.Set.Count; left > 0; block++ {
		var encoded []byte
		// One block a query: none of the database's connections is held while f runs.
		err := r.from.SetBlocks(ctx, e.Set.ID, block, block+1, func(_ int64, sealed []byte) (err error) {
			encoded, err = r.src.OpenMembers(e.Set.ID, block, sealed)
			return err
		})
		if err != nil {
			return err
		}
		check.Add(encoded)
		members, err := auditlog.DecodeMembers(encoded)
		if err != nil {
			return err
		}
		if len(members) == 0 {
			return errors.New("a block of its members is empty; run azekura log verify")
		}
		for i := range members {
			if r.q.Participant == (auditlog.ID{}) || members[i].ID == r.q.Participant {
				if err := f(row{Event: e, member: &members[i], place: place}); err != nil {
					return err
				}
			}
			place++
		}
		left -= int64(len(members))
	}
	if !check.Agrees(e.Set) {
		return errors.New("its members aren't those of its event; run azekura log verify")
	}
	return nil
}

// participant is whom a row is about, or the zero ID.
func (r row) participant() auditlog.ID {
	if r.member != nil {
		return r.member.ID
	}
	return r.Participant
}

// fields are the fields of a row with the version of each.
func (r row) fields() []auditlog.FieldVersion {
	if r.member == nil {
		return r.Fields
	}
	var list []auditlog.FieldVersion
	for _, f := range r.member.Fields.Fields() {
		list = append(list, auditlog.FieldVersion{Field: f, Version: r.member.Version})
	}
	return list
}

// opened tells whether the row shows something of its participant.
func (r row) opened() field.Set {
	if r.member != nil && r.Set.Opens {
		return r.member.Fields
	}
	return r.Event.Opened()
}

// writer writes rows in one of the forms.
type writer interface {
	row(row) error
	flush() error
}

func newWriter(format, origin string, to io.Writer) writer {
	switch format {
	case "ocsf":
		return newLines(to, func(r row) any { return ocsfEvent(origin, r) })
	case "fhir":
		return newLines(to, func(r row) any { return fhirEvent(origin, r) })
	}
	return newCSV(to)
}

// Proof records that a proof of completeness is made for an auditor.
func Proof(ctx context.Context, log *auditlog.Log, s access.Session, subject complete.Subject, of int64, from, to, request string) error {
	detail, err := json.Marshal(struct {
		Log    int64  `json:"log,omitempty"`
		Format string `json:"format"`
		Kind   string `json:"kind"`
		ID     string `json:"id"`
		From   string `json:"from,omitempty"`
		To     string `json:"to,omitempty"`
	}{of, "complete", subject.Kind, subject.ID, from, to})
	if err != nil {
		return err
	}
	_, err = log.RecordOne(ctx, s.Stamp(auditlog.Event{Action: auditlog.Export, Outcome: "ok", Purpose: "audit", Request: request, Detail: detail}))
	return err
}
