package auditlog

import (
	"context"
	"fmt"

	"azekura/internal/db"
)

// Earlier is what VerifyPast found of one log that others continue.
type Earlier struct {
	LogID  int64  `json:"log_id"`
	Origin string `json:"origin"`
	Report Report `json:"report"`
	// Lost are the events that were signed and are gone, as the next log's
	// first event says: from the report's size on, LostTo included; -1 where
	// nobody knows how many there were.
	Lost     bool  `json:"lost,omitempty"`
	LostFrom int64 `json:"lost_from,omitempty"`
	LostTo   int64 `json:"lost_to,omitempty"`
}

// VerifyAll verifies a log against its signer's last head, and every log that it
// continues. What is wrong with an earlier one makes the whole wrong.
func VerifyAll(ctx context.Context, q db.Querier, logID int64, signer *Signer, o VerifyOptions) (Report, []Earlier, error) {
	size, root := signer.Head()
	o.Edge = signer.Edge()
	r, err := Verify(ctx, q, logID, size, root, o)
	if err != nil {
		return r, nil, err
	}
	list, err := VerifyPast(ctx, q, logID, signer.Past(), o)
	for _, e := range list {
		switch {
		case e.Report.OK:
		case r.OK:
			r.OK, r.FirstBad, r.BadEnd = false, -1, -1
			r.Problem = fmt.Sprintf("in the earlier log %d, %s: %s", e.LogID, e.Origin, e.Report.Problem)
			r.More = e.Report.More
		default:
			r.More += 1 + e.Report.More
		}
	}
	return r, list, err
}

// VerifyPast verifies the logs that one continues, the newest first. Each stands
// on the first event of the log after it, which must say what the signer's folder
// does; so one signed head, the current log's, vouches for all of them. Verify the
// current log first.
func VerifyPast(ctx context.Context, q db.Querier, logID int64, past []Past, o VerifyOptions) ([]Earlier, error) {
	var list []Earlier
	o.Edge = nil // it is the current log's
	for i := len(past) - 1; i >= 0; i-- {
		p := past[i]
		said, err := followed(ctx, q, logID)
		if err != nil {
			return list, err
		}
		e := Earlier{LogID: p.LogID, Origin: p.Origin}
		if e.Report, err = Verify(ctx, q, p.LogID, p.Size, p.Root, o); err != nil {
			return list, err
		}
		if said == nil || !said.Equal(&p) {
			e.Report.OK = false
			e.Report.FirstBad, e.Report.BadEnd = -1, -1
			e.Report.Problem = fmt.Sprintf("the first event of log %d doesn't say of this log what the signer's folder says", logID)
		}
		if p.Lost() {
			e.Lost, e.LostFrom, e.LostTo = true, p.Size, p.Signed-1
			if p.Unknown {
				e.LostTo = -1
			}
		}
		list = append(list, e)
		logID = p.LogID
	}
	return list, nil
}

// followed is what a log's first event says of the one before it.
func followed(ctx context.Context, q db.Querier, logID int64) (*Past, error) {
	var line []byte
	rows, err := q.Query(ctx, "SELECT line FROM log_event WHERE log_id = $1 AND idx = 0", logID)
	if err != nil {
		return nil, fmt.Errorf("read the first event of log %d: %w", logID, err)
	}
	defer rows.Close()
	for rows.Next() {
		if err := rows.Scan(&line); err != nil {
			return nil, err
		}
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	e, err := ParseLine(line)
	if err != nil {
		return nil, nil // Verify names it
	}
	return Follows(&e), nil
}
