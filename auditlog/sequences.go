package auditlog

import (
	"context"

	"azekura/internal/db"
)

// keepRecent is how many participants' last numbers a generation remembers.
const keepRecent = 1 << 16

// sequences gives each participant's and each session's events their numbers
// 1, 2, 3, … It remembers those of recent events; for others it believes what
// the submitter read, if that was late enough, or asks the database.
type sequences struct {
	sessions         map[Session]int64
	old, recent      map[ID]int64
	oldFrom, curFrom int64 // the index from which each generation remembers all
}

func newSequences(size int64) sequences {
	return sequences{sessions: map[Session]int64{}, old: map[ID]int64{}, recent: map[ID]int64{}, oldFrom: size, curFrom: size}
}

// overlay holds a batch's numbers until it commits.
type overlay struct {
	participants map[ID]int64
	sessions     map[Session]int64
}

func (s *sequences) begin(ctx context.Context, l *Log, entries []*entry) (*overlay, error) {
	o := &overlay{participants: map[ID]int64{}, sessions: map[Session]int64{}}
	var ask [][]byte
	for _, e := range entries {
		for i := range e.Events {
			ev := &e.Events[i]
			if err := s.session(ctx, l, o, ev.Session); err != nil {
				return nil, err
			}
			if _, seen := o.participants[ev.Participant]; seen || ev.Participant == (ID{}) {
				continue
			}
			if n, ok := s.known(ev, l.tree.size()); ok {
				o.participants[ev.Participant] = n
			} else {
				o.participants[ev.Participant] = 0
				ask = append(ask, append([]byte(nil), ev.Participant[:]...))
			}
		}
	}
	for len(ask) > 0 {
		n := min(len(ask), 256)
		if err := lastSeqs(ctx, l.db, l.id, ask[:n], o.participants); err != nil {
			return nil, err
		}
		ask = ask[n:]
	}
	return o, nil
}

// also finds the last numbers for an event that came to the batch later: a judge
// added it.
func (s *sequences) also(ctx context.Context, l *Log, o *overlay, ev *Event) error {
	if err := s.session(ctx, l, o, ev.Session); err != nil {
		return err
	}
	if _, seen := o.participants[ev.Participant]; seen || ev.Participant == (ID{}) {
		return nil
	}
	n, ok := s.known(ev, l.tree.size())
	o.participants[ev.Participant] = n
	if ok {
		return nil
	}
	o.participants[ev.Participant] = 0
	return lastSeqs(ctx, l.db, l.id, [][]byte{append([]byte(nil), ev.Participant[:]...)}, o.participants)
}

// known is a participant's last number, if it can be had without asking the
// database. A submitter is believed as far as the log's size allows.
func (s *sequences) known(ev *Event, size int64) (int64, bool) {
	if n, ok := s.recent[ev.Participant]; ok {
		return n, true
	}
	if n, ok := s.old[ev.Participant]; ok {
		return n, true
	}
	k := ev.Known
	return k.Seq, k.Valid && k.AsOf >= s.oldFrom && k.AsOf <= size && k.Seq >= 0 && k.Seq <= size
}

func (s *sequences) session(ctx context.Context, l *Log, o *overlay, session Session) error {
	if session == 0 {
		return nil
	}
	if _, seen := o.sessions[session]; seen {
		return nil
	}
	n, ok := s.sessions[session]
	if !ok {
		err := l.db.QueryRow(ctx, "SELECT coalesce(max(session_seq), 0) FROM log_event WHERE log_id = $1 AND session_id = $2",
			[]any{l.id, int64(session)}, &n)
		if err != nil {
			return err
		}
	}
	o.sessions[session] = n
	return nil
}

// LastSeq is an SQL expression for a participant's last sequence number, for
// those who read the participant's rows anyway; logParam names the parameter
// that holds the log's id.
func LastSeq(logParam, participant string) string {
	return "coalesce((SELECT e.participant_seq FROM log_event e WHERE e.log_id = " + logParam + " AND e.participant_id = " + participant +
		" ORDER BY e.participant_seq DESC LIMIT 1), 0)"
}

func lastSeqs(ctx context.Context, q db.Querier, logID int64, ids [][]byte, into map[ID]int64) error {
	in, args := q.In("participant_id", 2, ids)
	rows, err := q.Query(ctx, "SELECT participant_id, max(participant_seq) FROM log_event WHERE log_id = $1 AND "+in+
		" GROUP BY participant_id", append([]any{logID}, args...)...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var id []byte
		var n int64
		if err := rows.Scan(&id, &n); err != nil {
			return err
		}
		into[ID(id)] = n
	}
	return rows.Err()
}

func (o *overlay) next(ev *Event) (participant, session int64) {
	if ev.Participant != (ID{}) {
		o.participants[ev.Participant]++
		participant = o.participants[ev.Participant]
	}
	if ev.Session != 0 {
		o.sessions[ev.Session]++
		session = o.sessions[ev.Session]
	}
	return participant, session
}

// adopt remembers a committed batch's numbers.
func (s *sequences) adopt(o *overlay, size int64) {
	for id, n := range o.participants {
		s.recent[id] = n
	}
	for session, n := range o.sessions {
		s.sessions[session] = n
	}
	if len(s.recent) > keepRecent {
		s.old, s.oldFrom = s.recent, s.curFrom
		s.recent, s.curFrom = map[ID]int64{}, size
	}
}
