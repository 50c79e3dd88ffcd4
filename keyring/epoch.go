package keyring

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"azekura/internal/db"
	"azekura/keyring/internal/core"

	wrapping "github.com/hashicorp/go-kms-wrapping/v2"
	"google.golang.org/protobuf/proto"
)

// The domains whose key can be changed while the register is in use.
const (
	DataDomain  = domainData
	IndexDomain = domainIndex
)

// State says which epochs are in use; two equal states mean that no key was
// changed between them.
type State = core.State

// State says which epochs are in use.
func (r *Ring) State() State { return r.core.State() }

// Epoch is a new key of a domain, wrapped and not yet in use: once it is stored,
// Follow takes it up.
type Epoch struct {
	domain    string
	epoch     int64
	createdUS int64
	wrapped   []byte
}

// NewEpoch makes a key of a domain.
func NewEpoch(ctx context.Context, root wrapping.Wrapper, domain string, epoch int64, now time.Time) (Epoch, error) {
	key := make([]byte, core.KeySize)
	defer clear(key)
	_, _ = rand.Read(key) // never fails: the program ends instead
	raw, err := wrapDomainKey(ctx, root, domain, epoch, key)
	return Epoch{domain: domain, epoch: epoch, createdUS: now.UnixMicro(), wrapped: raw}, err
}

// Store writes the key's row.
func (e Epoch) Store(ctx context.Context, q db.Querier) error {
	_, err := q.Exec(ctx, "INSERT INTO keyring_key (domain, epoch, created_us, wrapped) VALUES ($1, $2, $3, $4)",
		e.domain, e.epoch, e.createdUS, e.wrapped)
	if err != nil {
		return fmt.Errorf("store the %s key: %w", e.domain, err)
	}
	return nil
}

func wrapDomainKey(ctx context.Context, root wrapping.Wrapper, domain string, epoch int64, key []byte) ([]byte, error) {
	blob, err := root.Encrypt(ctx, key, wrapping.WithAad(domainPlace(domain, epoch)))
	if err != nil {
		return nil, fmt.Errorf("wrap the %s key: %w", domain, err)
	}
	return proto.Marshal(blob)
}

// storedKey is a row of keyring_key.
type storedKey struct {
	domain           string
	epoch, createdUS int64
	wrapped          []byte
}

func stored(ctx context.Context, q db.Querier) ([]storedKey, error) {
	rows, err := q.Query(ctx, "SELECT domain, epoch, created_us, wrapped FROM keyring_key ORDER BY domain, epoch")
	if err != nil {
		return nil, fmt.Errorf("read the keyring: %w", err)
	}
	defer rows.Close()
	var list []storedKey
	for rows.Next() {
		var s storedKey
		if err := rows.Scan(&s.domain, &s.epoch, &s.createdUS, &s.wrapped); err != nil {
			return nil, err
		}
		s.wrapped = bytes.Clone(s.wrapped)
		list = append(list, s)
	}
	return list, rows.Err()
}

func (s *storedKey) unwrap(ctx context.Context, root wrapping.Wrapper) ([]byte, error) {
	blob := &wrapping.BlobInfo{}
	if err := proto.Unmarshal(s.wrapped, blob); err != nil {
		return nil, fmt.Errorf("read the %s key of epoch %d: %w", s.domain, s.epoch, err)
	}
	key, err := root.Decrypt(ctx, blob, wrapping.WithAad(domainPlace(s.domain, s.epoch)))
	if err != nil {
		return nil, fmt.Errorf("unwrap the %s key of epoch %d: the root key or the row is not the right one: %w", s.domain, s.epoch, err)
	}
	return key, nil
}

// Follow makes the keys in memory those of the database: epochs that were added
// are taken up, those that were destroyed forgotten.
func (r *Ring) Follow(ctx context.Context, q db.Querier, root wrapping.Wrapper) error {
	keys, err := domainKeys(ctx, q, root, r.holds)
	if err != nil {
		return err
	}
	return r.core.Follow(keys[domainData], keys[domainIndex])
}

func (r *Ring) holds(domain string, epoch int64) bool {
	switch domain {
	case domainData:
		return r.core.HoldsData(epoch)
	case domainIndex:
		return r.core.HoldsIndex(epoch)
	}
	return true // these don't change, and Open has them
}

// Destroy deletes the wrapped key of a domain's epoch. Who calls it has seen that
// nothing is under it any more, and scrubs the table afterwards.
func Destroy(ctx context.Context, q db.Querier, domain string, epoch int64) error {
	n, err := q.Exec(ctx, "DELETE FROM keyring_key WHERE domain = $1 AND epoch = $2", domain, epoch)
	if err == nil && n != 1 {
		err = errors.New("it isn't there")
	}
	if err != nil {
		return fmt.Errorf("destroy the %s key of epoch %d: %w", domain, epoch, err)
	}
	return nil
}

// Rewrap wraps a participant's data key under another epoch.
func (r *Ring) Rewrap(k DataKey, epoch int64) (DataKey, error) {
	wrapped, err := r.core.Rewrap(k.ID, k.No, k.Epoch, epoch, k.Wrapped)
	k.Epoch, k.Wrapped = epoch, wrapped
	return k, err
}

// UnderRoot are the statements that put every domain key under another root key.
// Each new wrapping was opened once, and each statement changes the very row that
// was read, or the transaction must fail.
func UnderRoot(ctx context.Context, q db.Querier, from, to wrapping.Wrapper) ([]db.Stmt, error) {
	list, err := stored(ctx, q)
	if err != nil {
		return nil, err
	}
	var stmts []db.Stmt
	for _, s := range list {
		again, err := s.under(ctx, from, to)
		if err != nil {
			return nil, err
		}
		stmts = append(stmts, db.Stmt{SQL: "UPDATE keyring_key SET wrapped = $1 WHERE domain = $2 AND epoch = $3 AND wrapped = $4",
			Args: []any{again, s.domain, s.epoch, s.wrapped}, Must: 1})
	}
	return stmts, nil
}

func (s *storedKey) under(ctx context.Context, from, to wrapping.Wrapper) ([]byte, error) {
	key, err := s.unwrap(ctx, from)
	if err != nil {
		return nil, err
	}
	defer clear(key)
	again := *s
	if again.wrapped, err = wrapDomainKey(ctx, to, s.domain, s.epoch, key); err != nil {
		return nil, err
	}
	opened, err := again.unwrap(ctx, to)
	if err == nil && !bytes.Equal(opened, key) {
		err = fmt.Errorf("the new root key doesn't give the %s key back; nothing was changed", s.domain)
	}
	clear(opened)
	return again.wrapped, err
}

// KeyInfo is what can be told of a domain key.
type KeyInfo struct {
	Domain  string    `json:"domain"`
	Epoch   int64     `json:"epoch"`
	Created time.Time `json:"created"`
}

// Keys lists the domain keys.
func Keys(ctx context.Context, q db.Querier) ([]KeyInfo, error) {
	list, err := stored(ctx, q)
	infos := make([]KeyInfo, len(list))
	for i, s := range list {
		infos[i] = KeyInfo{Domain: s.domain, Epoch: s.epoch, Created: time.UnixMicro(s.createdUS).UTC()}
	}
	return infos, err
}

// Fits opens every domain key under a root key; root.ErrOtherRoot means that
// another one wraps them.
func Fits(ctx context.Context, q db.Querier, root wrapping.Wrapper) error {
	list, err := stored(ctx, q)
	for i := 0; i < len(list) && err == nil; i++ {
		var key []byte
		key, err = list[i].unwrap(ctx, root)
		clear(key)
	}
	return err
}
