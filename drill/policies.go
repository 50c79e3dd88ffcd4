package drill

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"azekura/access/policy"
	"azekura/auditlog"
	"azekura/internal/installation"
)

// Policies are those in force through the drill's days, the shipped ones or an agency's
// own, and what they refused: by the ids of the policies that decided, or "none permits".
type Policies struct {
	Hash   string           `json:"hash"`
	Tests  int              `json:"tests"` // of its own, which passed
	Honest map[string]int64 `json:"honest_requests_refused"`
	Thief  map[string]int64 `json:"thief_requests_refused"`
}

// readPolicies reads a file of policies, or a folder's *.cedar in the order of their
// names, as one text that could be set.
func readPolicies(path string) (string, *policy.Set, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", nil, fmt.Errorf("read the policies: %w", err)
	}
	files := []string{path}
	if info.IsDir() {
		if files, err = fs.Glob(os.DirFS(path), "*.cedar"); err != nil || len(files) == 0 {
			return "", nil, errors.Join(fmt.Errorf("%w: the folder of policies holds no *.cedar", ErrOptions), err)
		}
		slices.Sort(files)
		for i := range files {
			files[i] = filepath.Join(path, files[i])
		}
	}
	var text strings.Builder
	for _, file := range files {
		info, err := os.Stat(file)
		if err == nil && info.Size() > policy.MaxText {
			err = fmt.Errorf("it is longer than %d bytes", policy.MaxText)
		}
		var raw []byte
		if err == nil {
			raw, err = os.ReadFile(file)
		}
		if err != nil {
			return "", nil, fmt.Errorf("read the policies: %w", err)
		}
		text.WriteString(strings.TrimRight(string(raw), "\n") + "\n")
	}
	set, err := policy.Fit([]byte(text.String()))
	if err != nil {
		return "", nil, fmt.Errorf("%w: %w", ErrOptions, err)
	}
	return text.String(), set, nil
}

// putInForce sets the policies, before two approvers are enrolled.
func (d *days) putInForce(ctx context.Context, inst *installation.Installation) error {
	text := string(policy.Strict())
	set, err := policy.Fit(policy.Strict())
	if d.Policy != "" {
		text, set, err = readPolicies(d.Policy)
	}
	if err != nil {
		return err
	}
	if _, err := inst.SetPolicy(ctx, "", text); err != nil {
		return fmt.Errorf("put the policies in force: %w", err)
	}
	d.policies = &Policies{Hash: set.Hash(), Tests: set.Tests(), Honest: map[string]int64{}, Thief: map[string]int64{}}
	return nil
}

const (
	nonePermits = "none permits"
	unevaluated = "can't be evaluated"
)

var named = regexp.MustCompile(`policy ([a-z][a-z0-9-]{0,63}): `)

// byPolicy names the policies that a refusal names, as its event does.
func byPolicy(detail string) (string, bool) {
	if strings.Contains(detail, "no policy permits this") {
		return nonePermits, true
	}
	if strings.Contains(detail, unevaluated) {
		return unevaluated, true
	}
	var list []string
	for _, m := range named.FindAllStringSubmatch(detail, -1) {
		list = append(list, m[1])
	}
	return strings.Join(list, " "), len(list) > 0
}

// refusals counts the log's refusals by policies: what honest staff weren't told is the
// attacker's. The server has ended.
func (d *days) refusals(ctx context.Context) (*Policies, error) {
	p := d.policies
	inst, err := installation.OpenMadeUp(ctx, d.dir)
	if err != nil {
		return nil, fmt.Errorf("read what the policies refused: %w", err)
	}
	err = inst.Log.Recorded(ctx, func(e *auditlog.Event) {
		var refused policy.Denial
		if e.Action != auditlog.Deny || e.Outcome != "policy" || json.Unmarshal(e.Detail, &refused) != nil {
			return
		}
		by := nonePermits
		if len(refused.Failed) > 0 {
			by = unevaluated
		} else if len(refused.Policies) > 0 {
			by = strings.Join(refused.Policies, " ")
		}
		p.Thief[by]++
	})
	for by, n := range d.gather.sum.byPolicy {
		p.Honest[by] = n
		if p.Thief[by] -= n; p.Thief[by] <= 0 {
			delete(p.Thief, by)
		}
	}
	return p, errors.Join(err, inst.Close())
}
