package auditlog

import (
	"bufio"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"

	"azekura/auditlog/complete"

	"golang.org/x/mod/sumdb/tlog"
)

// ErrNoDays means that the log has no daily root in the days that were asked for.
var ErrNoDays = errors.New("no day of that range is over and has its root in the log yet")

// CompleteOptions say which days a proof covers, and who opens sets' members.
type CompleteOptions struct {
	// Log is the number of a log that this one continues; 0 is this one. Each has
	// numbers of its own, which begin with 1.
	Log int64
	// From and To are the first and the last day, as 2026-11-22 (UTC); "" is the
	// log's first, and its last that is over.
	From, To string
	// OpenMembers opens a sealed block of a set's members. Without it a
	// participant's proof has no set events.
	OpenMembers func(setID, block int64, sealed []byte) ([]byte, error)
}

// ProveComplete writes the file with which complete.Check shows that nothing of a
// subject's is missing. Its memory doesn't grow with the log, and the time that it
// takes is that of reading those days.
func (l *Log) ProveComplete(ctx context.Context, subject complete.Subject, o CompleteOptions, to io.Writer) (complete.End, error) {
	p := &prover{subject: subject, o: o, to: bufio.NewWriterSize(to, 1<<16)}
	if err := p.start(l); err != nil {
		return complete.End{}, err
	}
	if err := p.days(ctx); err != nil {
		return complete.End{}, fmt.Errorf("prove that nothing is missing: %w", err)
	}
	if err := p.memberships(ctx); err != nil {
		return complete.End{}, fmt.Errorf("prove the sets: %w", err)
	}
	return p.end, errors.Join(p.write(complete.Record{End: &p.end}), p.to.Flush())
}

// History is this log or one that it continues, to be read.
type History struct {
	*Reader
	Origin     string
	Checkpoint []byte // its last signed head
	key        string
}

// ErrNoLog means that there is no log of a number, or that its end is lost.
var ErrNoLog = errors.New("no log of that number is there, or its end is lost")

// History reads this log (0, or its own number), or one that it continues and of
// which nothing is lost.
func (l *Log) History(number int64) (History, error) {
	if number == 0 || number == l.id {
		return History{l.Reader, l.signer.Origin(), l.Checkpoint(), l.signer.VerifierKey()}, nil
	}
	for _, p := range l.Past() {
		if p.LogID == number && !p.Lost() {
			return History{l.Former(p), p.Origin, []byte(p.Checkpoint), p.Key}, nil
		}
	}
	return History{}, ErrNoLog
}

// SetBlocks calls f with the sealed blocks of a set from one number up to another,
// and refuses a gap.
func (r *Reader) SetBlocks(ctx context.Context, setID, from, to int64, f func(block int64, sealed []byte) error) error {
	return eachBlock(ctx, r.q, r.logID, setID, from, to, f)
}

type prover struct {
	log     *Reader
	subject complete.Subject
	kind    byte
	id      []byte
	o       CompleteOptions
	to      *bufio.Writer
	size    int64 // of the head
	proofs  int   // made with the reader
	reader  tlog.HashReader
	sets    []int64 // indexes of set events in the days
	seen    bool
	end     complete.End
}

func (p *prover) start(l *Log) (err error) {
	switch p.subject.Kind {
	case complete.Participant:
		p.kind = 'p'
		p.id, err = hex.DecodeString(strings.ReplaceAll(p.subject.ID, "-", ""))
		if err == nil && len(p.id) != len(ID{}) {
			err = errors.New("a participant's pseudonym is a UUID")
		}
	case complete.Session:
		p.kind = 'z'
		var s Session
		s, err = ParseSession(p.subject.ID)
		id := sessionID(s)
		p.id = id[:]
	default:
		err = errors.New("a proof is of one participant or one session")
	}
	if err != nil {
		return err
	}
	h, err := l.History(p.o.Log)
	if err != nil {
		return err
	}
	p.log = h.Reader
	if p.size, _, err = OpenCheckpoint(h.Checkpoint, h.Origin, h.key); err != nil {
		return err
	}
	return p.write(complete.Record{Head: &complete.Head{Version: 1, Subject: p.subject, Checkpoint: string(h.Checkpoint)}})
}

func (p *prover) write(r complete.Record) error {
	raw, err := json.Marshal(r)
	if err != nil {
		return err
	}
	_, err = p.to.Write(append(raw, '\n'))
	return err
}

// event proves an event under the head.
func (p *prover) event(ctx context.Context, index int64, line []byte) (e complete.Event, err error) {
	if p.proofs%64 == 0 { // a reader keeps what it has read
		if p.reader, err = p.log.Hashes(ctx, p.size); err != nil {
			return e, err
		}
	}
	p.proofs++
	e = complete.Event{Index: index, Line: string(line)}
	path, err := tlog.ProveRecord(p.size, index, p.reader)
	if e.Path = path; path == nil {
		e.Path = []Hash{}
	}
	return e, err
}

// days writes every daily root of the range, with the subject's events of it.
func (p *prover) days(ctx context.Context) error {
	for after := int64(-1); ; {
		list, next, err := p.log.dailies(ctx, selectDailies+" AND idx > $3 ORDER BY idx LIMIT 256", p.size, after)
		if err != nil {
			return err
		}
		for i := range list {
			d := &list[i]
			if p.o.From != "" && d.Day < p.o.From || p.o.To != "" && d.Day > p.o.To {
				continue
			}
			if err := p.day(ctx, d); err != nil {
				return err
			}
			p.seen = true
		}
		if after = next; next < 0 {
			break
		}
	}
	if !p.seen {
		return ErrNoDays
	}
	return nil
}

func (p *prover) day(ctx context.Context, d *dailyEvent) error {
	list, _, err := p.log.numbers(ctx, [16]byte(d.Salt), d.From, d.To, math.MaxInt64, func(e *Event) {
		if e.Action == Set {
			p.sets = append(p.sets, e.Index)
		}
	})
	if err != nil {
		return err
	}
	defer list.Close()
	root, err := list.root()
	if err != nil {
		return err
	}
	if root != d.Root || list.count != d.Count {
		return fmt.Errorf("%w: the events of %s don't give the root that was recorded of them; run azekura log verify", ErrSigner, d.Day)
	}
	rec := complete.Day{}
	if rec.Event, err = p.event(ctx, d.index, d.line); err != nil {
		return err
	}
	place, found, err := list.find(complete.TokenOf([16]byte(d.Salt), p.kind, p.id))
	if err != nil {
		return err
	}
	if found {
		rec.Self, err = list.place(place)
	} else {
		if place > 0 {
			rec.Left, err = list.place(place - 1)
		}
		if err == nil && place < list.count {
			rec.Right, err = list.place(place)
		}
	}
	if err := errors.Join(err, p.write(complete.Record{Day: &rec})); err != nil || !found {
		return err
	}
	return p.events(ctx, rec.Self.First, rec.Self.Last)
}

const (
	selectOfParticipant = "SELECT idx, line FROM log_event WHERE log_id = $1 AND participant_id = $2 AND participant_seq >= $3 AND participant_seq <= $4 ORDER BY participant_seq"
	selectOfSession     = "SELECT idx, line FROM log_event WHERE log_id = $1 AND session_id = $2 AND session_seq >= $3 AND session_seq <= $4 ORDER BY session_seq"
)

// events writes the subject's events of a day. What the columns say is believed
// only to find them; the checker reads the lines.
func (p *prover) events(ctx context.Context, first, last int64) error {
	const page = 256
	for ; first <= last; first += page {
		sql, id := selectOfParticipant, any(p.id)
		if p.kind == 'z' {
			s, _ := ParseSession(p.subject.ID)
			sql, id = selectOfSession, int64(s)
		}
		list, err := p.log.lines(ctx, sql, p.log.logID, id, first, min(first+page-1, last))
		if err != nil {
			return err
		}
		for _, found := range list {
			e, err := p.event(ctx, found.index, found.line)
			if err != nil {
				return err
			}
			if err := p.write(complete.Record{Event: &e}); err != nil {
				return err
			}
			p.end.Events++
		}
	}
	return nil
}

// memberships writes the set events of the days that hold the participant.
func (p *prover) memberships(ctx context.Context) error {
	if p.kind != 'p' || p.o.OpenMembers == nil {
		return nil
	}
	for _, index := range p.sets {
		list, err := p.log.lines(ctx, "SELECT idx, line FROM log_event WHERE log_id = $1 AND idx = $2", p.log.logID, index)
		if err != nil {
			return err
		}
		if len(list) != 1 {
			return fmt.Errorf("event %d is gone; run azekura log verify", index)
		}
		if err := p.membership(ctx, index, list[0].line); err != nil {
			return fmt.Errorf("set event %d: %w", index, err)
		}
	}
	return nil
}

func (p *prover) membership(ctx context.Context, index int64, line []byte) error {
	e, err := ParseLine(line)
	if err != nil || e.Set == nil {
		return errors.Join(err, errLine)
	}
	m, err := p.log.findMember(ctx, e.Set, ID(p.id), p.o.OpenMembers)
	if err != nil || m == nil {
		return err
	}
	rec := complete.Set{Place: m.place, Member: m.member, MemberPath: m.path}
	if rec.Event, err = p.event(ctx, index, line); err != nil {
		return err
	}
	p.end.Sets++
	return p.write(complete.Record{Set: &rec})
}

type foundLine struct {
	index int64
	line  []byte
}

// lines reads a few lines, whole, so that no connection is held meanwhile.
func (r *Reader) lines(ctx context.Context, sql string, args ...any) (list []foundLine, err error) {
	rows, err := r.q.Query(ctx, sql, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var f foundLine
		if err := rows.Scan(&f.index, &f.line); err != nil {
			return nil, err
		}
		f.line = append([]byte(nil), f.line...)
		list = append(list, f)
	}
	return list, rows.Err()
}

// foundMember is where a participant stands in a set.
type foundMember struct {
	place  int64
	member []byte
	path   []Hash
}

// findMember looks for a participant in a set, and proves their place under its
// root. It refuses a set whose members don't come to that root: whom it holds
// can't be told then.
func (r *Reader) findMember(ctx context.Context, info *SetInfo, id ID, open func(setID, block int64, sealed []byte) ([]byte, error)) (*foundMember, error) {
	var found *foundMember
	var blocks, own []Hash // the blocks' roots, and the leaves of the block that holds the member
	check := NewCheckSet()
	err := EachBlock(ctx, r.q, r.logID, info.ID, func(block int64, sealed []byte) error {
		encoded, err := open(info.ID, block, sealed)
		if err != nil {
			return err
		}
		check.Add(encoded)
		leaves := make([]Hash, 0, BlockMembers)
		for at := 0; at+memberSize <= len(encoded); at += memberSize {
			leaves = append(leaves, tlog.RecordHash(encoded[at:at+memberSize]))
			if found == nil && ID(encoded[at:at+16]) == id {
				found = &foundMember{place: int64(len(blocks))*BlockMembers + int64(at/memberSize), member: append([]byte(nil), encoded[at:at+memberSize]...)}
				own = leaves
			}
		}
		if found != nil && own != nil && found.place/BlockMembers == int64(len(blocks)) {
			own = leaves
		}
		blocks = append(blocks, treeHash(leaves))
		return nil
	})
	if err != nil {
		return nil, err
	}
	if !check.Agrees(info) {
		return nil, fmt.Errorf("%w: its members aren't those of its event; run azekura log verify", ErrSigner)
	}
	if found != nil { // a block is a subtree, so the paths follow each other
		found.path = append(treePath(own, found.place%BlockMembers), treePath(blocks, found.place/BlockMembers)...)
	}
	return found, nil
}

// split is RFC 6962 2.1's k: the greatest power of two below n.
func split(n int) int {
	k := 1
	for k*2 < n {
		k *= 2
	}
	return k
}

// treeHash is the root over hashes, as RFC 6962 2.1 has it.
func treeHash(hashes []Hash) Hash {
	switch len(hashes) {
	case 0:
		empty, _ := tlog.TreeHash(0, nil)
		return empty
	case 1:
		return hashes[0]
	}
	k := split(len(hashes))
	return tlog.NodeHash(treeHash(hashes[:k]), treeHash(hashes[k:]))
}

// treePath is the path from a place to the root, the lowest sibling first.
func treePath(hashes []Hash, at int64) []Hash {
	if len(hashes) <= 1 {
		return []Hash{}
	}
	k := split(len(hashes))
	if at < int64(k) {
		return append(treePath(hashes[:k], at), treeHash(hashes[k:]))
	}
	return append(treePath(hashes[k:], at-int64(k)), treeHash(hashes[:k]))
}
