package rotation

import (
	"context"

	"azekura/keyring"
)

// Keys are an installation's keys and what is under each. No key is in it.
type Keys struct {
	Root     RootInfo  `json:"root"`
	Keys     []Key     `json:"keys"`
	Rotation *Rotation `json:"rotation,omitempty" doc:"the change that is under way"`
}

// RootInfo tells how the root key is kept.
type RootInfo struct {
	Kind     string `json:"kind"`
	ID       string `json:"id" doc:"public; it lies beside every key that this one wraps"`
	Recovery bool   `json:"recovery" doc:"whether a recovery copy lies in the folder"`
}

// Key is a domain key.
type Key struct {
	keyring.KeyInfo
	Use  string `json:"use" doc:"in use, leaving, or being built"`
	Rows *int64 `json:"rows,omitempty" doc:"data keys wrapped under it, or index tokens made with it"`
}

// Keys lists them. It counts rows, which takes a second a million or two.
func (r *Rotator) Keys(ctx context.Context) (Keys, error) {
	kind, id, err := r.RootKept(ctx)
	if err != nil {
		return Keys{}, err
	}
	keys := Keys{Root: RootInfo{Kind: kind, ID: id, Recovery: r.hasRecovery()}}
	infos, err := keyring.Keys(ctx, r.DB)
	if err != nil {
		return keys, err
	}
	if at, busy, err := r.unfinished(ctx); err != nil {
		return keys, err
	} else if busy {
		keys.Rotation = &at
	}
	under, err := r.under(ctx)
	if err != nil {
		return keys, err
	}
	state := r.Ring.State()
	for _, info := range infos {
		k := Key{KeyInfo: info, Use: "in use"}
		switch {
		case info.Domain == Data:
			n := under[info.Epoch]
			if k.Rows = &n; info.Epoch != state.Data {
				k.Use = "leaving"
			}
		case info.Domain == Index:
			n, err := r.Register.CountIndex(ctx, info.Epoch)
			if err != nil {
				return keys, err
			}
			k.Rows = &n
			if info.Epoch == state.Building {
				k.Use = "being built"
			} else if state.Building != 0 {
				k.Use = "leaving"
			}
		}
		keys.Keys = append(keys.Keys, k)
	}
	return keys, nil
}

// under counts the data keys by epoch.
func (r *Rotator) under(ctx context.Context) (map[int64]int64, error) {
	rows, err := r.DB.Query(ctx, "SELECT epoch, count(*) FROM keyring_participant GROUP BY epoch ORDER BY epoch")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	found := map[int64]int64{}
	for rows.Next() {
		var epoch, n int64
		if err := rows.Scan(&epoch, &n); err != nil {
			return nil, err
		}
		found[epoch] = n
	}
	return found, rows.Err()
}
