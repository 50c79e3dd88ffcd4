package gate

import (
	"maps"
	"sync"
	"time"
)

// kept remembers something by a key for a while after its last use, in memory alone: after
// a start, and a takeover, it begins anew. Past its bounds first what is old goes, then any.
type kept[V any] struct {
	mu   sync.Mutex
	most int
	last time.Duration
	of   map[string]*aged[V]
}

type aged[V any] struct {
	at time.Time
	v  V
}

func keep[V any](most int, last time.Duration) kept[V] {
	return kept[V]{most: most, last: last, of: map[string]*aged[V]{}}
}

// with does something with what is remembered by a key, or with nothing so far.
func (k *kept[V]) with(key string, now time.Time, do func(*V)) {
	k.mu.Lock()
	defer k.mu.Unlock()
	one := k.of[key]
	if one == nil || now.Sub(one.at) > k.last {
		if one == nil {
			k.makeRoom(now)
		}
		one = &aged[V]{}
		k.of[key] = one
	}
	one.at = now
	do(&one.v)
}

// see shows what is remembered by a key, if anything.
func (k *kept[V]) see(key string, now time.Time, do func(*V)) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if one := k.of[key]; one != nil && now.Sub(one.at) <= k.last {
		do(&one.v)
	}
}

func (k *kept[V]) makeRoom(now time.Time) {
	if len(k.of) < k.most {
		return
	}
	maps.DeleteFunc(k.of, func(_ string, one *aged[V]) bool { return now.Sub(one.at) > k.last })
	for key := range k.of { // an eighth at once, so that not each new one looks at all
		if len(k.of) < k.most-k.most/8 {
			return
		}
		delete(k.of, key)
	}
}
