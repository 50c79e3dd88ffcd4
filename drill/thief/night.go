package thief

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"
)

// clock is the drill's, on which each PC sleeps for itself.
type clock struct{ url string }

func (c clock) post(ctx context.Context, what string, in any) (time.Time, error) {
	raw, err := json.Marshal(in)
	if err != nil {
		return time.Time{}, err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url+what, bytes.NewReader(raw))
	if err != nil {
		return time.Time{}, err
	}
	return c.now(r)
}

func (c clock) now(r *http.Request) (time.Time, error) {
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return time.Time{}, err
	}
	defer answer.Body.Close()
	body := io.LimitReader(answer.Body, 4096)
	if answer.StatusCode != http.StatusOK {
		said, _ := io.ReadAll(body)
		return time.Time{}, fmt.Errorf("the drill's clock: %s", bytes.TrimSpace(said))
	}
	var at struct {
		Now time.Time `json:"now"`
	}
	err = json.NewDecoder(body).Decode(&at)
	return at.Now, err
}

func (c clock) join(ctx context.Context, pc string) (time.Time, error) {
	return c.post(ctx, "/join", map[string]any{"pc": pc})
}

func (c clock) sleep(ctx context.Context, pc string, d time.Duration) (time.Time, error) {
	return c.post(ctx, "/sleep", map[string]any{"pc": pc, "seconds": d.Seconds()})
}

func (c clock) get(ctx context.Context) (time.Time, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, c.url+"/now", nil)
	if err != nil {
		return time.Time{}, err
	}
	return c.now(r)
}

// leave lets the others' time pass without this PC; the attacker may be ending.
func (c clock) leave(pc string) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	_, _ = c.post(ctx, "/leave", map[string]any{"pc": pc})
}

// pc is one that the thief holds.
type pc struct {
	Device string `json:"device"`
	Token  string `json:"token"`
	Cert   string `json:"cert"`
	Key    string `json:"key"`
}

func readPCs(path string) ([]pc, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the list of PCs: %w", err)
	}
	var list []pc
	return list, json.Unmarshal(raw, &list)
}

// person is somebody whom another leak told of.
type person struct {
	Number string `json:"number"`
	Name   string `json:"name"`
	Birth  string `json:"birth"`
}

func readKnown(path string) (list []person, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read who is known from elsewhere: %w", err)
	}
	defer f.Close()
	for in := json.NewDecoder(f); in.More(); {
		var p person
		if err := in.Decode(&p); err != nil {
			return nil, err
		}
		list = append(list, p)
	}
	return list, nil
}
