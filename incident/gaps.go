package incident

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"azekura/internal/db"
)

// GapKind is how an answer is incomplete.
type GapKind string

// The kinds of gap.
const (
	// Missing are numbers of a session to which no event belongs.
	Missing GapKind = "missing"
	// Repeated is a number that several events of a session bear, or that
	// stands before 1.
	Repeated GapKind = "repeated"
	// Unknown is a session without any event. Opening a session is one, so
	// either it never was or all of it is gone.
	Unknown GapKind = "unknown"
	// Cut are indexes below the signed head, after the last event of one of
	// the sessions, at which the log holds no event: any of them may have been
	// an opening of that session.
	Cut GapKind = "cut"
	// Lost are events of an earlier log that were signed and are gone, as the
	// first event of the log after it says; without To nobody knows how many.
	Lost GapKind = "lost"
)

// Gap is something that the answer lacks, so that it is not complete. From and
// To are a session's numbers or the log's indexes, both included.
type Gap struct {
	Kind    GapKind `json:"kind"`
	Session string  `json:"session,omitempty"`
	Log     int64   `json:"log,omitzero"` // an earlier log's number; otherwise the current log
	From    int64   `json:"from,omitzero"`
	To      int64   `json:"to,omitzero"`
}

// String says what is missing.
func (g Gap) String() string { return g.in(English) }

// in says it in a language. The sentences take a session and numbers, and not
// all of them use each.
func (g Gap) in(l Language) string {
	log := ""
	if g.Log != 0 {
		log = strings.ReplaceAll(l.words().log, "{log}", strconv.FormatInt(g.Log, 10))
	}
	return log + strings.NewReplacer("{session}", g.Session, "{numbers}", g.numbers(l.words().to)).
		Replace(l.words().gaps[g.Kind])
}

func (g Gap) numbers(to string) string {
	text := strconv.FormatInt(g.From, 10)
	if g.To > g.From {
		text += to + strconv.FormatInt(g.To, 10)
	}
	return text
}

// maxGaps bounds the list: where a thousand gaps are, nobody reads on.
const maxGaps = 1000

type gaps struct {
	list     []Gap
	unlisted int64
}

func (g *gaps) add(gap Gap) {
	if len(g.list) < maxGaps {
		g.list = append(g.list, gap)
	} else {
		g.unlisted++
	}
}

// of says which earlier log the gaps are in.
func (g *gaps) of(log int64) {
	for i := range g.list {
		g.list[i].Log = log
	}
}

func (g *gaps) merge(other gaps) {
	for _, gap := range other.list {
		g.add(gap)
	}
	g.unlisted += other.unlisted
}

const countEvents = "SELECT count(*) FROM log_event WHERE log_id = $1 AND idx >= $2 AND idx < $3"

// findCuts looks for indexes in [from, to) that have no event. It counts, and
// halves what doesn't come out until it is all missing or all there.
func (g *gaps) findCuts(ctx context.Context, q db.Querier, logID, from, to int64) error {
	if from >= to || len(g.list) >= maxGaps {
		return ctx.Err()
	}
	var n int64
	if err := q.QueryRow(ctx, countEvents, []any{logID, from, to}, &n); err != nil {
		return fmt.Errorf("count the log's events: %w", err)
	}
	switch {
	case n == to-from:
		return nil
	case n == 0:
		g.addCut(from, to-1)
		return nil
	}
	middle := from + (to-from)/2
	if err := g.findCuts(ctx, q, logID, from, middle); err != nil {
		return err
	}
	return g.findCuts(ctx, q, logID, middle, to)
}

// addCut joins a gap to the one before when they adjoin.
func (g *gaps) addCut(from, to int64) {
	if n := len(g.list); n > 0 && g.list[n-1].Kind == Cut && g.list[n-1].To == from-1 {
		g.list[n-1].To = to
		return
	}
	g.add(Gap{Kind: Cut, From: from, To: to})
}
