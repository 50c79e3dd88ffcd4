package register

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"

	"azekura/auditlog"
	"azekura/keyring"

	"github.com/google/uuid"
)

// TokensOf makes participants' tokens in an index anew, of all their versions:
// the gate's, which opens them inside and against an event.
type TokensOf func(ctx context.Context, x *keyring.Index, people []auditlog.Member) ([]Tokens, error)

var errIndexChanged = errors.New("the index key was changed meanwhile; verify again")

// VerifyIndex holds the index against the values that it is made of, and adds what
// it finds to v: rows that are gone; and rows that nobody's values make, if sums
// over both sides differ. Whose record v says is wrong is left out: what it would
// be indexed by isn't known. Changes wait while a page of participants is looked at.
func (s *Store) VerifyIndex(ctx context.Context, of TokensOf, v *Verified, progress func(done int64)) error {
	i := &indexVerifier{Verified: v, store: s, of: of, x: s.ring.Indexes()[0], wrong: maps.Clone(v.wrong)}
	for done, after := int64(0), (uuid.UUID{}); ; {
		people, err := i.page(ctx, after)
		if err != nil {
			return fmt.Errorf("verify the index: %w", err)
		}
		if len(people) == 0 {
			break
		}
		after, done = people[len(people)-1].ID, done+int64(len(people))
		if progress != nil {
			progress(done)
		}
	}
	var there sum
	if err := i.each(ctx, func(token, id []byte) {
		v.Tokens++
		if of, err := uuid.FromBytes(id); err != nil || !i.wrong[of] {
			there.add(s, token, id)
		}
	}); err != nil {
		return fmt.Errorf("verify the index: %w", err)
	}
	// A change meanwhile makes the sums differ too; the rows then tell.
	if there != i.sum {
		if err := i.blame(ctx); err != nil {
			return fmt.Errorf("verify the index: %w", err)
		}
	}
	return nil
}

type indexVerifier struct {
	*Verified
	store *Store
	of    TokensOf
	x     *keyring.Index
	sum   sum // of the rows that must be there
	wrong map[uuid.UUID]bool
}

// tokens makes those of the people whose records can be believed.
func (i *indexVerifier) tokens(ctx context.Context, people []auditlog.Member) ([]Tokens, error) {
	right := slices.DeleteFunc(slices.Clone(people), func(m auditlog.Member) bool { return i.wrong[m.ID] })
	if len(right) == 0 {
		return nil, nil
	}
	return i.of(ctx, i.x, right)
}

func (a *sum) add(s *Store, token, id []byte) {
	mac := s.ring.MAC("index", append(bytes.Clone(token), id...))
	a[0] += binary.BigEndian.Uint64(mac[:])
	a[1] += binary.BigEndian.Uint64(mac[8:])
}

// alone runs f while nothing of the register is changed, the index key included.
func (i *indexVerifier) alone(ctx context.Context, f func() error) error {
	return i.store.Alone(ctx, func() error {
		if i.store.ring.State().Index != i.x.Epoch() {
			return errIndexChanged
		}
		return f()
	})
}

// page looks for the rows of the participants behind one.
func (i *indexVerifier) page(ctx context.Context, after uuid.UUID) (people []auditlog.Member, err error) {
	err = i.alone(ctx, func() error {
		people, err = i.store.After(ctx, after, func(id uuid.UUID, version int64) auditlog.Member {
			return auditlog.Member{ID: id, Version: version}
		})
		if err != nil || len(people) == 0 {
			return err
		}
		list, err := i.tokens(ctx, people)
		if err != nil {
			return err
		}
		want := map[indexRow]bool{}
		var tokens [][]byte
		for _, p := range list {
			for _, t := range p.Tokens {
				want[indexRow{t, p.ID}] = true
				tokens = append(tokens, bytes.Clone(t[:]))
				i.sum.add(i.store, t[:], p.ID[:])
			}
		}
		for len(tokens) > 0 {
			n := min(len(tokens), 2048)
			if err := i.store.eachToken(ctx, tokens[:n], func(t keyring.Token, id uuid.UUID) { delete(want, indexRow{t, id}) }); err != nil {
				return err
			}
			tokens = tokens[n:]
		}
		for row := range want {
			i.Found(indexTable(i.x.Epoch()), row.id.String(), "a row of the index is gone, by which this participant is found")
		}
		return nil
	})
	return people, err
}

func (i *indexVerifier) each(ctx context.Context, f func(token, id []byte)) error {
	rows, err := i.store.db.Query(ctx, "SELECT token, participant_id FROM "+indexTable(i.x.Epoch()))
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var token, id []byte
		if err := rows.Scan(&token, &id); err != nil {
			return err
		}
		f(token, id)
	}
	return rows.Err()
}

// blame names the rows that no value makes. It opens participants once for each
// page of rows that they have one in.
func (i *indexVerifier) blame(ctx context.Context) error {
	last := indexRow{}
	for begun := false; ; begun = true {
		n := 0
		err := i.alone(ctx, func() error {
			list, err := i.rowsAfter(ctx, last, begun)
			if n = len(list); err != nil || n == 0 {
				return err
			}
			last = list[n-1]
			return i.judge(ctx, list)
		})
		if err != nil || n == 0 {
			return err
		}
	}
}

func (i *indexVerifier) rowsAfter(ctx context.Context, after indexRow, begun bool) ([]indexRow, error) {
	where, args := "", []any{}
	if begun {
		where, args = " WHERE (token, participant_id) > ($1, $2)", []any{after.token[:], after.id[:]}
	}
	rows, err := i.store.db.Query(ctx, "SELECT token, participant_id FROM "+indexTable(i.x.Epoch())+where+" ORDER BY token, participant_id LIMIT 1000", args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var list []indexRow
	for rows.Next() {
		var token, id []byte
		if err := rows.Scan(&token, &id); err != nil {
			return nil, err
		}
		if len(token) != keyring.TokenSize || len(id) != 16 {
			return nil, fmt.Errorf("a row of %s has a token of %d bytes and an id of %d", indexTable(i.x.Epoch()), len(token), len(id))
		}
		list = append(list, indexRow{keyring.Token(token), uuid.UUID(id)})
	}
	return list, rows.Err()
}

// judge holds rows against the values of those whom they name.
func (i *indexVerifier) judge(ctx context.Context, list []indexRow) error {
	var ids []uuid.UUID
	known := map[uuid.UUID]map[keyring.Token]bool{}
	for _, r := range list {
		if known[r.id] == nil && !i.wrong[r.id] {
			known[r.id], ids = map[keyring.Token]bool{}, append(ids, r.id)
		}
	}
	found, err := i.store.FetchRows(ctx, ids)
	if err != nil {
		return err
	}
	var people []auditlog.Member
	for id, p := range found {
		people = append(people, auditlog.Member{ID: id, Version: p.Latest()})
	}
	made, err := i.tokens(ctx, people)
	if err != nil {
		return err
	}
	for _, p := range made {
		for _, t := range p.Tokens {
			known[p.ID][t] = true
		}
	}
	for _, r := range list {
		if !i.wrong[r.id] && !known[r.id][r.token] {
			i.Found(indexTable(i.x.Epoch()), r.id.String(), "a row of the index finds this participant by what was never theirs")
		}
	}
	return nil
}
