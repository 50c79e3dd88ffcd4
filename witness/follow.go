package witness

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"

	"azekura/auditlog/check"
)

var (
	// ErrFollow refuses a log's word for who goes on.
	ErrFollow = errors.New("this witness doesn't follow that")
	// ErrAlone means that its people keep that to themselves.
	ErrAlone = errors.New("only this witness's own people name further keys of this log, or the log after it: azekura witness follow, or add-log, there")
)

// maxFollows is how many keys and logs a witness follows from one that its people
// named: each takes some disk, and a log could name one with each event.
const maxFollows = 1000

// Follow takes a log's own word for its next key or for the log after it, from an
// entry under the very head that this witness cosigned last of it: so the history
// that it witnessed names who goes on, and no other that a stolen key signs. The
// old key is retired. What is followed already is followed once.
func (w *Witness) Follow(name string, step check.Step) (LogSettings, error) {
	l, err := w.find(name)
	if err != nil {
		return LogSettings{}, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.reload(); err != nil {
		return LogSettings{}, err
	}
	if l.settings.Alone {
		return LogSettings{}, ErrAlone
	}
	next, err := follow(w.dir, l.settings, l.head, step)
	if err != nil {
		return next, err
	}
	return next, l.reload()
}

// FollowFile does so for a witness's folder, whoever has it open, with the steps
// of a log's well-known file that it hasn't followed yet; it returns those that it
// followed.
func FollowFile(dir string, file []byte) (list []LogSettings, err error) {
	if _, err := readSettings(dir); err != nil {
		return nil, err
	}
	var known struct {
		Succession []check.Step `json:"succession"`
	}
	if err := json.Unmarshal(file, &known); err != nil || len(known.Succession) == 0 {
		return nil, fmt.Errorf("the file names no successor: give what the log serves at %s", check.WellKnown)
	}
	var failed error
	for _, step := range known.Succession {
		p, err := check.ParseProof([]byte(step.Proof))
		if err != nil {
			return list, err
		}
		c, err := ParseCheckpoint(p.Checkpoint)
		if err != nil {
			return list, err
		}
		home := LogDir(dir, c.Origin)
		settings, err := readLog(home)
		if errors.Is(err, os.ErrNotExist) {
			continue // a log from before this witness's time
		}
		var at head
		if err == nil {
			at, err = readHead(home)
		}
		if err != nil {
			return list, err
		}
		if settings.followed(step) {
			continue
		}
		next, err := follow(dir, settings, at, step)
		if err != nil {
			failed = fmt.Errorf("%s: %w", c.Origin, err)
			continue
		}
		list = append(list, next)
	}
	return list, failed
}

func follow(dir string, settings LogSettings, at head, step check.Step) (LogSettings, error) {
	next, err := openStep(settings.Keys, step)
	switch {
	case err != nil && settings.followed(step):
		return settings, nil
	case err != nil:
		return settings, fmt.Errorf("%w: %w", ErrFollow, err)
	case next.Size != at.Size:
		return settings, Conflict{at.Size} // that head is to be cosigned first
	case next.Root != at.root():
		return settings, ErrFork
	case settings.Follows >= maxFollows:
		return settings, fmt.Errorf("%w: it followed %d since its people named one; have them name the next with azekura witness add-log", ErrFollow, maxFollows)
	}
	settingLogs.Lock()
	defer settingLogs.Unlock()
	home := LogDir(dir, next.Next)
	known, err := readLog(home)
	switch {
	case err != nil && !errors.Is(err, os.ErrNotExist):
		return known, err
	case err == nil && slices.Contains(known.Keys, next.NextKey):
		return known, nil
	case err == nil && next.Next != settings.Origin:
		return known, fmt.Errorf("%w: it knows a log of the name %s under another key; its people must say what is right", ErrFollow, next.Next)
	}
	s := LogSettings{Origin: next.Next, Keys: []string{next.NextKey}, Mirror: settings.Mirror, Follows: settings.Follows + 1}
	if next.Next == settings.Origin {
		s.Retired = slices.Clone(settings.Retired)
		for _, key := range settings.Keys {
			s.Retired = append(s.Retired, Retired{key, next.Size})
		}
	}
	return s, writeLog(home, s)
}

// followed tells whether a step is one that was followed: its key has handed on.
func (s *LogSettings) followed(step check.Step) bool {
	for _, r := range s.Retired {
		if _, err := openStep([]string{r.Key}, step); err == nil {
			return true
		}
	}
	return false
}

func openStep(vkeys []string, step check.Step) (check.Successor, error) {
	keys, err := verifiers(vkeys)
	if err != nil {
		return check.Successor{}, err
	}
	return check.Keys{Log: keys}.Step(step)
}

// byRetired is Checkpoint.Verified for keys that have handed on. A head of more
// events than there were then makes two histories.
func (l *watched) byRetired(c Checkpoint, signed []byte) (kept []byte, err error) {
	for _, r := range l.settings.Retired {
		keys, err := verifiers([]string{r.Key})
		if err != nil {
			return nil, err
		}
		if kept, err := c.Verified(signed, keys); err == nil {
			if c.Size > r.Until {
				return nil, ErrFork
			}
			return kept, nil
		}
	}
	return nil, ErrSignature
}
