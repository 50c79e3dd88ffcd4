package auditlog

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"azekura/auditlog/check"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// PurposeSuccessor is of the event by which a log names who goes on: its next key,
// or the log that follows it. It holds names and keys alone, since it is shown to
// everybody, and stands right before the event that says why and by whose word. It
// names the key that hands on, so that it says nothing under a later one's head.
const PurposeSuccessor = "successor"

// Successor is that event, for a log's next key or for the next log's.
func Successor(key, next, nextKey string) (Event, error) {
	if v, err := note.NewVerifier(nextKey); err != nil || v.Name() != next {
		return Event{}, fmt.Errorf("the key that is to follow isn't one of %s", next)
	}
	detail, err := json.Marshal(map[string]string{"key": key, "next": next, "next_key": nextKey})
	return Event{Action: System, Outcome: "ok", Purpose: PurposeSuccessor, Detail: detail}, err
}

// Handover is where a key signed for the last time, and the event under that head
// that names who goes on. Whoever trusts the key can check it, a witness of the log
// too: only the history that it cosigned names the next.
type Handover struct {
	Origin     string
	Key        string // that signed for the last time
	Checkpoint []byte
	Step       check.Step
	Tree       *Reader // the log's
}

// Handovers are those of the logs that this one continues and its own, the oldest
// first. Where a log was broken off by a loss there is none: no key of it could
// name what follows.
func (l *Log) Handovers(ctx context.Context) ([]Handover, error) {
	var list []Handover
	for _, p := range append(l.Past(), Past{LogID: l.id, Origin: l.signer.origin, Keys: l.signer.Keys()}) {
		tree, keys := l.Reader, p.Keys
		if p.LogID != l.id {
			if p.Lost() {
				continue
			}
			tree, keys = l.Former(p), append(slices.Clone(keys), KeyPeriod{Key: p.Key, Until: p.Size, Checkpoint: p.Checkpoint})
		}
		for _, k := range keys {
			step, err := tree.step(ctx, k)
			if err != nil {
				return nil, fmt.Errorf("prove who goes on after %d events of %s: %w", k.Until, p.Origin, err)
			}
			if step != nil {
				list = append(list, Handover{p.Origin, k.Key, []byte(k.Checkpoint), *step, tree})
			}
		}
	}
	return list, nil
}

// lookBack is how far from a key's end the event is looked for. Nobody else writes
// while a key is changed or a log frozen.
const lookBack = 16

// step proves the event that names who goes on after a key, or is nil where the
// log has none.
func (r *Reader) step(ctx context.Context, k KeyPeriod) (*check.Step, error) {
	for at := k.Until - 1; at >= max(0, k.Until-lookBack); at-- {
		var line []byte
		if err := eachLine(ctx, r.q, r.logID, at, at+1, func(_ int64, l []byte) error {
			line = slices.Clone(l)
			return nil
		}); err != nil {
			return nil, err
		}
		e, err := ParseLine(line)
		if err != nil || e.Action != System || e.Purpose != PurposeSuccessor {
			continue
		}
		hashes, err := r.Hashes(ctx, k.Until)
		if err != nil {
			return nil, err
		}
		path, err := tlog.ProveRecord(k.Until, at, hashes)
		if err != nil {
			return nil, err
		}
		proof := check.Proof{Index: at, Path: path, Checkpoint: []byte(k.Checkpoint)}
		return &check.Step{Proof: string(proof.Format()), Line: string(line)}, nil
	}
	return nil, nil
}
