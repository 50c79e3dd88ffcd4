package drill

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"azekura/drill/schedule"
	"azekura/drill/workday"
	"azekura/internal/slotfile"
	"azekura/population"
)

func pcsFile(scene string) string   { return filepath.Join(scene, "pcs.json") }
func knownFile(scene string) string { return filepath.Join(scene, "known.ndjson") }

// pc is one that the attacker holds, as PROTOCOL.md has it.
type pc struct {
	Device string    `json:"device"`
	Since  time.Time `json:"since"` // of the infection
	Token  string    `json:"token"` // of the day's session; "" outside one
	// Cert and Key are files, where devices have certificates whose keys can be copied.
	Cert string `json:"cert,omitempty"`
	Key  string `json:"key,omitempty"`
}

// loot is the list of the attacker's PCs, which grows, and whose sessions change each
// day.
type loot struct {
	path string

	mu     sync.Mutex
	tokens map[string]string // of every device at work, infected or not
	list   []pc
}

func newLoot(scene string) *loot {
	return &loot{path: pcsFile(scene), tokens: map[string]string{}}
}

// taken adds a PC.
func (l *loot) taken(m *member, at time.Time) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.list = append(l.list, pc{Device: m.device, Since: at, Token: l.tokens[m.device], Cert: m.pc.cert, Key: m.pc.key})
	return l.write()
}

// session tells of a device's new session, or that it has none.
func (l *loot) session(device, token string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tokens[device] = token
	for i := range l.list {
		if l.list[i].Device == device {
			l.list[i].Token = token
			return l.write()
		}
	}
	return nil
}

// write replaces the file in one step; mu is held.
func (l *loot) write() error {
	raw, err := json.MarshalIndent(l.list, "", " ")
	if err != nil {
		return err
	}
	if err := slotfile.Replace(l.path, append(raw, '\n')); err != nil {
		return fmt.Errorf("tell the attacker of its PCs: %w", err)
	}
	return nil
}

// foundElsewhere is a person of whom an attacker knows from another leak.
type foundElsewhere struct {
	Number string `json:"number"`
	Name   string `json:"name"`
	Birth  string `json:"birth"`
}

// writeKnown gives the attacker the people found elsewhere.
func writeKnown(path string, people []population.Person) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	out := json.NewEncoder(f)
	for i := range people {
		p := &people[i]
		err = errors.Join(err, out.Encode(foundElsewhere{p.Number, p.Name, p.Birth}))
	}
	return errors.Join(err, f.Close())
}

// spread takes one PC after another.
func (d *days) spread(actor *schedule.Actor) func(context.Context) error {
	return func(ctx context.Context) error {
		defer actor.Leave()
		return d.infect(ctx, actor)
	}
}

func (d *days) infect(ctx context.Context, actor *schedule.Actor) error {
	for _, one := range d.infections {
		at := d.midnight(one.Day).Add(one.At)
		if err := actor.Until(ctx, at); err != nil {
			return err
		}
		if err := d.loot.taken(&d.team[one.Staff], at); err != nil {
			return err
		}
	}
	return nil
}

func (d *days) midnight(n int) time.Time { return workday.Midnight(d.first, n) }
