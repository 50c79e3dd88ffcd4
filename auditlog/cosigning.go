package auditlog

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"azekura/internal/db"

	"golang.org/x/mod/sumdb/note"
)

var (
	// ErrUncosigned means that the witnesses of the log haven't cosigned its heads
	// for longer than the settings bear. It passes when they answer.
	ErrUncosigned = errors.New("the audit log's witnesses haven't cosigned in time, so nothing is opened; see azekura witness status")
	// ErrDisputed means that a witness says that it saw another history, and shows
	// no head of it that this log signed. It passes when that witness cosigns.
	ErrDisputed = errors.New("a witness says that it saw another history of this log and doesn't prove it, so nothing is opened until it cosigns; see doc/operations.md, “A witness that saw another history”")
	// ErrOtherHistory means that a head is shown, with this log's own signature,
	// which this log doesn't extend, or that a quorum of witnesses, two or more, says
	// so: the whole folder was put back from an earlier copy, the signer's
	// state included, or the log was rewritten and signed again with its key.
	ErrOtherHistory = errors.New("a witness saw another history of this log, so nothing is opened; see doc/operations.md, “A witness that saw another history”")
)

// Cosigning bounds how far the log may run ahead of its witnesses. The witnesses'
// client is one.
type Cosigning interface {
	// MayOpen refuses single openings past their bound.
	MayOpen() error
	// WaitBulk waits until bulk work may go on, and refuses what waiting can't mend.
	WaitBulk(ctx context.Context) error
}

// SetCosigning says who cosigns. A log without witnesses is never held up.
func (l *Log) SetCosigning(c Cosigning) { l.cosigning.Store(&c) }

// MayOpen is asked by every door before it opens anything: it refuses a log that
// has stopped, or that its witnesses have lost sight of for too long.
func (l *Log) MayOpen() error {
	if err := l.Err(); err != nil {
		return err
	}
	if c := l.cosigning.Load(); c != nil {
		return (*c).MayOpen()
	}
	return nil
}

// WaitBulk is asked by bulk work before it begins and between its steps.
func (l *Log) WaitBulk(ctx context.Context) error {
	if err := l.Err(); err != nil {
		return err
	}
	if c := l.cosigning.Load(); c != nil {
		return (*c).WaitBulk(ctx)
	}
	return nil
}

// Refuse stops the log for good in this process.
func (l *Log) Refuse(why error) { l.stop(why) }

// Lines calls f with the committed lines from one index up to another, in order,
// and refuses a gap. It holds one of the database's connections while f runs.
func (l *Log) Lines(ctx context.Context, from, to int64, f func(index int64, line []byte) error) error {
	if from < 0 || to > l.Committed() {
		return ErrBeyond
	}
	return eachLine(ctx, l.db, l.id, from, to, f)
}

// Blocks calls f with the sealed blocks of a set from one number up to another,
// and refuses a gap.
func (l *Log) Blocks(ctx context.Context, setID, from, to int64, f func(block int64, sealed []byte) error) error {
	return eachBlock(ctx, l.db, l.id, setID, from, to, f)
}

func eachBlock(ctx context.Context, q db.Querier, logID, setID, from, to int64, f func(block int64, sealed []byte) error) error {
	rows, err := q.Query(ctx, "SELECT block, sealed FROM log_set_block WHERE log_id = $1 AND set_id = $2 AND block >= $3 AND block < $4 ORDER BY block",
		logID, setID, from, to)
	if err != nil {
		return err
	}
	defer rows.Close()
	want := from
	for ; rows.Next(); want++ {
		var block int64
		var sealed []byte
		if err := rows.Scan(&block, &sealed); err != nil {
			return err
		}
		if block != want {
			break
		}
		if err := f(block, sealed); err != nil {
			return err
		}
	}
	if err := rows.Err(); err != nil {
		return err
	}
	if want != to {
		return fmt.Errorf("%w: block %d of a set is missing; run azekura log verify", ErrSigner, want)
	}
	return nil
}

// SignUpload signs what the log sends to a mirror. Its text begins with a line
// that no log may have for its origin, so that it can't pass for a head.
func (s *Signer) SignUpload(text string) ([]byte, error) {
	const first = "azekura mirror upload 1"
	if s.origin == first || !strings.HasPrefix(text, first+"\n"+s.origin+"\n") {
		return nil, errors.New("the signer signs heads and uploads of its own log, and this is neither")
	}
	return note.Sign(&note.Note{Text: text}, s.key)
}
