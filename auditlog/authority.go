package auditlog

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"

	"azekura/internal/db"

	"golang.org/x/mod/sumdb/tlog"
)

// ErrAuthority means that the events that grant, contain or destroy, as the
// database gives them, aren't those that were signed. Nothing is granted on them.
var ErrAuthority = errors.New("the events that grant aren't what was signed")

// Authority is whether the action grants or directs, so that what stands on it
// is rebuilt from the log and from nothing else. Alarms are among them: they are
// what somebody who tampers would hide.
func (a Action) Authority() bool {
	switch a {
	case Grant, Contain, Shred, System, Alarm:
		return true
	}
	return false
}

// Leaf is a leaf of the tree, and whether its event is one of authority.
type Leaf struct {
	Hash      Hash
	Authority bool
}

// Authority sums up a log's events of authority, in their order: how many there
// are, and digest n = SHA-256(digest n-1, leaf hash n), from zero. Who has it
// from the signer knows of a list of such events that none is missing, altered
// or added.
type Authority struct {
	Count  int64 `json:"count"`
	Digest Hash  `json:"digest"`
}

// Add counts one more event.
func (a *Authority) Add(leaf Hash) {
	h := sha256.New()
	h.Write(a.Digest[:])
	h.Write(leaf[:])
	h.Sum(a.Digest[:0])
	a.Count++
}

// leafOf hashes a line, and reads in it whether it is one of authority.
func leafOf(index int64, line []byte) (Leaf, error) {
	var e Event
	if !e.parse(line, "") {
		return Leaf{}, fmt.Errorf("%w: event %d isn't a line that this log writes; run azekura log verify", ErrSigner, index)
	}
	return Leaf{tlog.RecordHash(line), e.Action.Authority()}, nil
}

// The condition is the index log_event_authority's own, to the letter: SQLite
// takes a partial index for no other.
const selectAuthority = `SELECT idx, line FROM log_event
	WHERE log_id = $1 AND idx < $2 AND action IN (9, 10, 11, 12, 14) ORDER BY idx`

// Authority calls f with the events of authority under the signed head, in
// order. What f made of them counts only if the answer is nil: then they are
// all, and as they were signed. Otherwise every line is read, to name what is
// wrong.
func (l *Log) Authority(ctx context.Context, f func(Event) error) error {
	size, root, want := l.signer.Authority()
	var got Authority
	var failed error
	for _, of := range append(l.signer.Past(), Past{LogID: l.id, Size: size}) {
		var each func(Event)
		if f != nil {
			each = func(e Event) {
				if failed == nil {
					failed = f(e)
				}
			}
		}
		if err := l.eachAuthority(ctx, of.LogID, of.Size, &got, each); err != nil {
			return err
		}
	}
	if got == want {
		return failed
	}
	report, err := Verify(ctx, l.db, l.id, size, root, VerifyOptions{Edge: l.signer.Edge()})
	wrong := Tampered{Tampering{"log_event", "-", fmt.Sprintf("the events that grant are %d and must be %d", got.Count, want.Count)}, ErrAuthority}
	switch {
	case err != nil:
		return fmt.Errorf("%w, and which it is can't be found: %w", &wrong, err)
	case report.OK:
		return fmt.Errorf("%w, though every line is right: the index log_event_authority is damaged; make it anew (REINDEX), then start again", &wrong)
	}
	if report.FirstBad >= 0 {
		wrong.Key = strconv.FormatInt(report.FirstBad, 10)
	}
	wrong.Kind = report.Problem
	return fmt.Errorf("%w; run azekura log verify", &wrong)
}

// eachAuthority hands f the events of one log and sums up all of them. A line
// that can't be read back was altered: the sum says so, and f doesn't hear of it.
// Without f, as once a minute, nothing is parsed.
func (l *Log) eachAuthority(ctx context.Context, logID, end int64, sum *Authority, f func(Event)) error {
	rows, err := l.db.Query(ctx, selectAuthority, logID, end)
	if err != nil {
		return fmt.Errorf("read the events that grant: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var index int64
		var line []byte
		if err := rows.Scan(&index, &line); err != nil {
			return fmt.Errorf("%w: the row of an event can't be read: %w; run azekura log verify", ErrAuthority, err)
		}
		sum.Add(tlog.RecordHash(line))
		if f == nil {
			continue
		}
		if e, err := ParseLine(line); err == nil {
			f(e)
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("read the events that grant: %w", err)
	}
	return nil
}

// completeSigner sums up the events of the log, and of those that it continues,
// for a signer whose state doesn't hold the sum yet. It reads every line and
// believes them only if they give the signed roots.
func (l *Log) completeSigner(ctx context.Context) error {
	if l.signer.whole() {
		return nil
	}
	size, root := l.signer.Head()
	sum := Authority{}
	for _, of := range append(l.signer.Past(), Past{LogID: l.id, Size: size, Root: root}) {
		t := newTree()
		err := eachLine(ctx, l.db, of.LogID, 0, of.Size, func(index int64, line []byte) error {
			leaf, err := leafOf(index, line)
			if err == nil {
				t.append(leaf.Hash)
				t.full = nil
				if leaf.Authority {
					sum.Add(leaf.Hash)
				}
			}
			return err
		})
		if err != nil {
			return err
		}
		if t.root() != of.Root {
			return fmt.Errorf("%w: the %d events of log %d aren't those that were signed; run azekura log verify", ErrSigner, of.Size, of.LogID)
		}
	}
	return l.signer.complete(sum)
}

// headMAC is the sequencer's word for a head, which it writes beside it: a head
// that somebody else put into the database isn't signed at the next start. The
// key lies in the signer's state and in no database.
func (s *Signer) headMAC(logID, size int64, root Hash) []byte {
	s.mu.Lock()
	h := hmac.New(sha256.New, s.state.HeadKey)
	s.mu.Unlock()
	text := append(make([]byte, 0, 64), "azekura head 1\x00"...)
	text = binary.BigEndian.AppendUint64(text, uint64(logID))
	text = binary.BigEndian.AppendUint64(text, uint64(size))
	h.Write(append(text, root[:]...))
	return h.Sum(nil)[:16]
}

// vouches tells whether the state holds the key of headMAC.
func (s *Signer) vouches() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.state.HeadKey) > 0
}

// VouchRestored writes the word of a restored signer's new key for the head that
// was loaded with a backup, so that a tail which somebody puts behind it before
// the restore is confirmed is refused like any other.
func VouchRestored(ctx context.Context, q db.Querier, logID, size int64, root Hash, signer *Signer) error {
	n, err := q.Exec(ctx, "UPDATE log_head SET mac = $1 WHERE log_id = $2 AND size = $3 AND root = $4",
		signer.headMAC(logID, size, root), logID, size, root[:])
	if err == nil && n != 1 {
		err = fmt.Errorf("%w: it isn't the one that was loaded", ErrSigner)
	}
	if err != nil {
		return fmt.Errorf("vouch for the restored head: %w", err)
	}
	return nil
}

func newHeadKey() []byte {
	key := make([]byte, sha256.Size)
	_, _ = rand.Read(key) // never fails: the program ends instead
	return key
}

// CheckTail refuses events after the signed head that no sequencer of this log
// committed: somebody who writes the database could append a grant to it and move
// the head.
func CheckTail(ctx context.Context, q db.Querier, logID int64, signer *Signer) error {
	signed, _ := signer.Head()
	var size int64
	var raw, mac []byte
	err := q.QueryRow(ctx, "SELECT size, root, mac FROM log_head WHERE log_id = $1", []any{logID}, &size, &raw, &mac)
	if err != nil && !errors.Is(err, db.ErrNoRows) {
		return fmt.Errorf("read the log's head: %w", err)
	}
	if size <= signed {
		return nil
	}
	if len(raw) != hashSize || !signer.vouches() || !hmac.Equal(mac, signer.headMAC(logID, size, Hash(raw))) {
		return fmt.Errorf("%w: the %d events from %d on were put into the database by somebody else than this log's sequencer, or its head was altered; "+
			"they are not signed. See doc/operations.md, “When log verify fails”", ErrSigner, size-signed, signed)
	}
	return nil
}
