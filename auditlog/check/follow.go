package check

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
)

// Step shows to whom a log's key hands on: to the next key of the same log, or to
// the log that follows it and its key. It is an entry of the log itself, and its
// proof under the last head that the old key signed.
type Step struct {
	Proof string `json:"proof"` // C2SP tlog-proof
	Line  string `json:"line"`
}

// Successor is what a step shows.
type Successor struct {
	Head           // the old key's last
	Next    string // the origin of the log that goes on; the same one, where its key changed
	NextKey string // its vkey
}

// Step opens a step, against the keys that are trusted for its log. The entry names
// the key that hands on, and only under that key's own head does it say anything:
// shown again under a later one it would lead back.
func (k Keys) Step(s Step) (Successor, error) {
	var e struct {
		Action, Purpose string
		Detail          struct {
			Key     string `json:"key"`
			Next    string `json:"next"`
			NextKey string `json:"next_key"`
		}
	}
	if err := json.Unmarshal([]byte(s.Line), &e); err != nil || e.Action != "system" || e.Purpose != "successor" {
		return Successor{}, errors.New("a step's entry doesn't name a successor")
	}
	old, err := ParseKey(e.Detail.Key)
	if err != nil {
		return Successor{}, err
	}
	var own Keys
	for _, v := range k.Log {
		if v.Name() == old.Name() && v.KeyHash() == old.KeyHash() {
			own.Log = []note.Verifier{v}
		}
	}
	_, head, err := own.CheckProof([]byte(s.Proof), []byte(s.Line))
	if err != nil {
		return Successor{}, err
	}
	v, err := ParseKey(e.Detail.NextKey)
	if err != nil {
		return Successor{}, err
	}
	next := Successor{Head: head, Next: e.Detail.Next, NextKey: e.Detail.NextKey}
	if v.Name() != next.Next || next.Next != head.Origin && !follows(next.Next, head.Origin) {
		return Successor{}, fmt.Errorf("%s names a successor that isn't of its name, %q", head.Origin, next.Next)
	}
	return next, nil
}

// follows tells whether a log's name is another's with the next number: a log has
// no say over names that aren't its own.
func follows(next, origin string) bool {
	number, base := int64(1), origin
	if at := strings.LastIndex(origin, "/"); at > 0 {
		if n, err := parseNumber(origin[at+1:]); err == nil && n > 0 {
			number, base = n, origin[:at]
		}
	}
	return next == base+"/"+strconv.FormatInt(number+1, 10) || next == origin+"/2"
}

// chain is how far the given keys lead.
type chain struct {
	keys  map[string][]note.Verifier // by origin; who handed on isn't among them any more
	ever  map[string][]note.Verifier // those as well
	steps []Successor
}

// follow goes as far as steps lead, the oldest first. Steps of keys that nobody
// trusts say nothing.
func (k Keys) follow(steps []Step) (chain, error) {
	c := chain{keys: map[string][]note.Verifier{}, ever: map[string][]note.Verifier{}}
	for _, v := range k.Log {
		c.keys[v.Name()] = append(c.keys[v.Name()], v)
		c.knew(v)
	}
	for _, s := range steps {
		p, err := ParseProof([]byte(s.Proof))
		if err != nil {
			return c, err
		}
		origin := first(p.Checkpoint)
		trusted := Keys{Log: c.keys[origin]}
		if _, err := trusted.Open(p.Checkpoint); err != nil {
			continue
		}
		next, err := trusted.Step(s)
		if err != nil {
			return c, fmt.Errorf("a key of %s that is trusted hands on, and not rightly: %w", origin, err)
		}
		v, err := ParseKey(next.NextKey)
		if err != nil {
			return c, err
		}
		c.knew(v)
		c.keys[next.Next] = []note.Verifier{v}
		c.steps = append(c.steps, next)
	}
	return c, nil
}

func (c chain) knew(v note.Verifier) {
	if !slices.ContainsFunc(c.ever[v.Name()], func(have note.Verifier) bool { return have.KeyHash() == v.KeyHash() }) {
		c.ever[v.Name()] = append(c.ever[v.Name()], v)
	}
}

// WellKnown is where a log says what it continues, and how its keys followed each
// other. What of it isn't signed is believed only for where things are.
const WellKnown = ".well-known/azekura-log.json"

type site struct {
	Log     int64  `json:"log"`
	Origin  string `json:"origin"`
	Formers []struct {
		Log    int64  `json:"log_id"`
		Origin string `json:"origin"`
	} `json:"former_logs"`
	Steps []Step `json:"succession"`
}

// Chain checks the log at a source and, where it continues others, those from the
// one whose key is given on: the newest comes last. A log that says nothing of
// others is checked as Log does.
func Chain(ctx context.Context, src Source, o Options) ([]Report, error) {
	var s site
	raw, err := src.Read(ctx, WellKnown, 16<<20)
	if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, ErrRefused) {
		return nil, fmt.Errorf("read %s: %w", WellKnown, err)
	}
	if err != nil || json.Unmarshal(raw, &s) != nil || s.Origin == "" { // another's, perhaps
		r, err := Log(ctx, src, o)
		return []Report{r}, err
	}
	c, err := o.Keys.follow(s.Steps)
	if err != nil {
		return nil, err
	}
	if o.Since != nil && len(c.ever[first(o.Since)]) == 0 {
		return nil, fmt.Errorf("the earlier checkpoint is of %q, which isn't among the logs here that the given keys lead to", first(o.Since))
	}
	var list []Report
	for _, f := range s.Formers {
		if len(c.keys[f.Origin]) > 0 && f.Origin != s.Origin {
			r, err := c.log(ctx, under{src, fmt.Sprintf("log/%d/", f.Log)}, o, f.Origin)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", f.Origin, err)
			}
			list = append(list, r)
		}
	}
	if len(c.keys[s.Origin]) == 0 {
		return nil, fmt.Errorf("no key that was given leads to %s, the log in force: no signed statement names it; where the log before was lost there is none, and its people must give you the key", s.Origin)
	}
	r, err := c.log(ctx, src, o, s.Origin)
	if err == nil && o.Keep != nil {
		err = o.Keep(WellKnown, raw)
	}
	return append(list, r), err
}

// log checks one log of a chain: it must have grown from each head at which a key
// handed on, and not beyond the one that names the log after it.
func (c chain) log(ctx context.Context, src Source, o Options, origin string) (Report, error) {
	o.Keys.Log, o.ever = c.keys[origin], c.ever[origin]
	for _, s := range c.steps {
		if s.Origin == origin {
			o.grown, o.ends = append(o.grown, s.Head), s.Next != origin
		}
	}
	if o.ends { // it bears its own key's signature; the witnesses' are on the log in force
		o.Keys.Witnesses, o.Keys.Need = nil, 0
	}
	if first(o.Since) != origin {
		o.Since = nil
	}
	if u, ok := src.(under); ok && o.Keep != nil {
		keep := o.Keep
		o.Keep = func(path string, data []byte) error { return keep(u.prefix+path, data) }
	}
	return Log(ctx, src, o)
}

// first is a checkpoint's first line, the origin.
func first(checkpoint []byte) string {
	line, _, _ := strings.Cut(string(checkpoint), "\n")
	return line
}

// under is what a source has under a prefix.
type under struct {
	Source
	prefix string
}

func (u under) Read(ctx context.Context, path string, limit int64) ([]byte, error) {
	return u.Source.Read(ctx, u.prefix+path, limit)
}
