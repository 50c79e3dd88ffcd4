package auditlog

import (
	"context"
	"strconv"
	"sync/atomic"
)

func itoa(n int64) string { return strconv.FormatInt(n, 10) }

// setEvent is a set event found among the rows.
type setEvent struct {
	index int64
	info  SetInfo
}

// checkSets holds each set event's stored blocks against it.
func (v *verifier) checkSets(ctx context.Context) error {
	var members atomic.Int64
	for _, s := range v.sets {
		what, n, err := v.checkSet(ctx, s.info)
		if err != nil {
			return err
		}
		members.Add(n)
		if what != "" {
			v.found(s.index, s.index+1, "set event %d: %s", s.index, what)
		}
	}
	v.report.Sets, v.report.Members = int64(len(v.sets)), members.Load()
	return nil
}

// checkSet says what is wrong with a set, or nothing.
func (v *verifier) checkSet(ctx context.Context, info SetInfo) (what string, members int64, err error) {
	rows, err := v.q.Query(ctx, "SELECT block, count, sealed FROM log_set_block WHERE log_id = $1 AND set_id = $2 ORDER BY block", v.logID, info.ID)
	if err != nil {
		return "", 0, err
	}
	defer rows.Close()
	check := NewCheckSet()
	blocks := (info.Count + BlockMembers - 1) / BlockMembers
	want := int64(0)
	for ; rows.Next(); want++ {
		var block, count int64
		var sealed []byte
		if err := rows.Scan(&block, &count, &sealed); err != nil {
			return "", 0, err
		}
		if block != want {
			return "block " + itoa(want) + " of its members is missing", members, nil
		}
		if block >= blocks || count != min(info.Count-block*BlockMembers, BlockMembers) {
			return "block " + itoa(block) + " doesn't hold the number of members that the event says", members, nil
		}
		members += count
		if v.o.OpenMembers == nil {
			continue
		}
		opened, err := v.o.OpenMembers(info.ID, block, sealed)
		if err != nil {
			return "block " + itoa(block) + " of its members doesn't open", members, nil
		}
		if int64(len(opened)) != count*memberSize {
			return "block " + itoa(block) + " doesn't hold the number of members that its row says", members, nil
		}
		check.Add(opened)
	}
	if err := rows.Err(); err != nil {
		return "", 0, err
	}
	if want != blocks {
		return "block " + itoa(want) + " of its members is missing", members, nil
	}
	if v.o.OpenMembers != nil && !check.Agrees(&info) {
		return "its members aren't those that the event was made for", members, nil
	}
	return "", members, nil
}
