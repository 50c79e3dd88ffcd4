package auditlog

import (
	"context"
	"fmt"

	"golang.org/x/mod/sumdb/tlog"
)

// Place is a point in a chain of logs: behind the first Size events of a log.
type Place struct{ Log, Size int64 }

// Place is where the signed head of the log is.
func (l *Log) Place() Place {
	size, _ := l.signer.Head()
	return Place{l.id, size}
}

// Since calls f with the lines of the signed events from a place on, through all
// logs of the chain, in their order. What f made of them counts only if the answer
// is nil: then they are all, and as they were signed. For the hashes before the
// place, which the database gives, and those of the lines together make the signed
// root, and no others would. A line is f's only until f returns.
func (l *Log) Since(ctx context.Context, from Place, f func(log, index int64, line []byte) error) error {
	size, root := l.signer.Head()
	for _, of := range append(l.signer.Past(), Past{LogID: l.id, Size: size, Root: root}) {
		if of.LogID < from.Log {
			continue
		}
		start := int64(0)
		if of.LogID == from.Log {
			start = from.Size
		}
		if err := l.sinceIn(ctx, of, start, f); err != nil {
			return err
		}
	}
	return nil
}

func (l *Log) sinceIn(ctx context.Context, of Past, start int64, f func(log, index int64, line []byte) error) error {
	if start < 0 || start > of.Size {
		return fmt.Errorf("%w: log %d has no place behind %d events, of which %d count", ErrSigner, of.LogID, start, of.Size)
	}
	t, err := loadTree(ctx, l.db, of.LogID, start)
	if err != nil {
		return err
	}
	err = eachLine(ctx, l.db, of.LogID, start, of.Size, func(index int64, line []byte) error {
		t.append(tlog.RecordHash(line))
		t.full = nil
		return f(of.LogID, index, line)
	})
	if err != nil {
		return fmt.Errorf("read log %d from event %d on: %w", of.LogID, start, err)
	}
	if t.root() != of.Root {
		return fmt.Errorf("%w: the events of log %d from %d on aren't those that were signed; run azekura log verify", ErrSigner, of.LogID, start)
	}
	return nil
}
