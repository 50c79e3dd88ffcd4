// Package drill re-enacts incidents against an installation of its own, and holds
// what the attacker wrote down against what Azekura says was exposed.
//
// The installation is real: the server is a process of this very program, staff
// and attacker speak HTTPS to it, the exposure comes from its operator's socket.
// Only the people are made up, so the drill knows the truth and believes the
// attacker nothing that it can check. The attacker is a process of its own that
// gets a session and no privilege; any program can play it (PROTOCOL.md).
//
// It promises that a person x field which the attacker obtained and the exposure
// lacks is found (missed) and fails the drill, that what is exposed beyond that is
// told apart into honest work and the rest (over), and that no process outlives
// it. It doesn't promise that an attacker of another kind would get no further:
// it measures the one that it was given.
//
// Its days pass on a clock of its own (package schedule), by which the server goes
// too: honest staff work by a stated model (package workday), a mail infects one PC
// and that others, and the attacker may sleep as they do. With Days 0 it is one PC,
// one session and real time, and no case is asked for.
package drill

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"azekura/access/signin"
	"azekura/internal/installation"
	"azekura/register"
)

// June2015 is the scenario of the Japan Pension Service: days of honest work, PCs that
// are infected one after another, and a thief who holds their sessions.
const June2015 = "june-2015"

// Options are the choices of a drill.
type Options struct {
	People int64
	Seed   uint64
	Theft  time.Duration // how long the attacker may keep the drill in real time
	// Days are the working days; 0 is the drill of one PC and one session, in real
	// time, without cases. The others are of the drill of days alone.
	Days     int
	Staff    int     // at work, each at a PC of their own
	Devices  int     // PCs
	Infected int     // of those at which somebody works
	Known    int     // people of whom the attacker knows number, name and birth from elsewhere
	Canaries float64 // planted for each person, where somebody planted them
	Keep     string  // the folder to keep everything in; "" is a temporary one
	DB       string  // a postgres:// URL, in which the drill makes a schema of its own; "" is SQLite
	Policy   string  // a file of policies, or a folder of them, that are put in force; "" is none
	Command  string  // plays the attacker, by /bin/sh; "" is ours
	// Program is this program's own path: it is run again as the server, and as
	// the attacker.
	Program string
	// Tell, when given, hears how far the drill is, from one goroutine at a time.
	Tell func(Progress)
}

// The bounds of Options.
const (
	MinPeople = 10
	MaxPeople = 10_000_000
	MaxTheft  = time.Hour
	MaxDays   = 60
	MaxStaff  = 5000
)

// ErrOptions refuses a drill that can't be held.
var ErrOptions = errors.New("the drill can't be held so")

// Check refuses a drill that can't be held.
func (o *Options) Check() error {
	switch {
	case o.People < MinPeople || o.People > MaxPeople:
		return fmt.Errorf("%w: it takes %d to %d people", ErrOptions, MinPeople, MaxPeople)
	case o.Theft <= 0 || o.Theft > MaxTheft:
		return fmt.Errorf("%w: a theft lasts up to %s", ErrOptions, MaxTheft)
	}
	if o.Days != 0 {
		switch {
		case o.Days < 0 || o.Days > MaxDays:
			return fmt.Errorf("%w: it takes up to %d days", ErrOptions, MaxDays)
		case o.Staff < 1 || o.Staff > MaxStaff || o.Devices < o.Staff || o.Devices > MaxStaff:
			return fmt.Errorf("%w: it takes 1 to %d staff, and a PC for each", ErrOptions, MaxStaff)
		case o.Infected < 1 || o.Infected > o.Staff:
			return fmt.Errorf("%w: 1 PC to all at which somebody works are infected", ErrOptions)
		case o.Known < 0 || o.Known > MaxPeople:
			return fmt.Errorf("%w: 0 to %d people are known from elsewhere", ErrOptions, MaxPeople)
		case !(o.Canaries >= 0 && o.Canaries <= register.MaxDensity):
			return fmt.Errorf("%w: %w", ErrOptions, register.ErrDensity)
		}
	}
	if o.Policy != "" {
		if o.Days == 0 {
			return fmt.Errorf("%w: policies decide about cases, and --days 0 has none", ErrOptions)
		}
		if _, _, err := readPolicies(o.Policy); err != nil {
			return err
		}
	}
	if o.Keep != "" {
		list, err := os.ReadDir(o.Keep)
		if err == nil && len(list) > 0 {
			return fmt.Errorf("%w: the folder to keep it in isn't empty", ErrOptions)
		}
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("look at the folder to keep it in: %w", err)
		}
	}
	return nil
}

// Stage is a part of a drill.
type Stage int

// The stages, in their order.
const (
	Making Stage = iota + 1
	Knowing
	Serving
	Stealing
	Asking
	Verifying
	Comparing
)

// Progress is how far a stage is.
type Progress struct {
	Stage       Stage
	Count       int64 // of what the stage counts: people, answers, events
	Done, Total int64 // the part of the stage that is over, in whatever unit
	Begun, Over bool
	Took        time.Duration
}

// drill is one that is under way.
type drill struct {
	Options
	dir     string // the installation's folder
	scene   string // the attacker's, in it
	truth   *truth
	team    []member // of the office; the first works on the infected PC
	office  *office  // of the one PC's drill
	days    *days    // or nil
	server  *process
	address string
	stage   Stage
	began   time.Time
}

// June holds the drill of June 2015. Whatever happens, its processes have ended
// when it returns, and its folder is gone unless it is to be kept.
func June(ctx context.Context, o Options) (r *Report, err error) {
	if err := o.Check(); err != nil {
		return nil, err
	}
	if o.Tell == nil {
		o.Tell = func(Progress) {}
	}
	d := &drill{Options: o}
	if o.Keep != "" {
		if d.Keep, err = filepath.Abs(o.Keep); err != nil {
			return nil, err
		}
	}
	d.begin(Making)
	clean, err := d.prepare(ctx)
	if err != nil {
		return nil, errors.Join(err, clean())
	}
	defer func() { err = errors.Join(err, clean()) }()
	if err := d.furnish(ctx); err != nil {
		return nil, err
	}
	d.begin(Serving)
	if err := d.serve(ctx); err != nil {
		return nil, err
	}
	stop := sync.OnceValue(func() error { return d.server.stop(serverGrace) })
	defer func() { err = errors.Join(err, stop()) }()
	d.end(0)
	var t theft
	if d.days != nil {
		t, err = d.days.run(ctx)
	} else {
		t, err = d.theft(ctx)
	}
	if err != nil {
		return nil, err
	}
	if r, err = d.judge(ctx, t); err != nil || d.days == nil {
		return r, err
	}
	if err := stop(); err != nil {
		return nil, err
	}
	r.Days.Policies, err = d.days.refusals(ctx)
	return r, err
}

func (d *drill) begin(s Stage) {
	d.began = time.Now()
	d.Tell(Progress{Stage: s, Begun: true})
	d.stage = s
}

func (d *drill) end(done int64) {
	d.Tell(Progress{Stage: d.stage, Count: done, Over: true, Took: time.Since(d.began)})
}

// prepare makes the folder, the database and the people. clean may be called
// even if it failed.
func (d *drill) prepare(ctx context.Context) (clean func() error, err error) {
	clean = func() error { return nil }
	if d.dir = d.Keep; d.dir == "" {
		if d.dir, err = os.MkdirTemp("", "azekura-drill-"); err != nil {
			return clean, fmt.Errorf("make a folder for the drill: %w", err)
		}
		clean = func() error { return os.RemoveAll(d.dir) }
	}
	database := d.DB
	if d.DB != "" {
		own, drop, err := ownSchema(ctx, d.DB)
		if err != nil {
			return clean, err
		}
		database = own
		if d.Keep == "" {
			clean = func() error { return errors.Join(os.RemoveAll(d.dir), drop(context.WithoutCancel(ctx))) }
		}
	}
	var signIn *signin.Settings
	if d.Days == 0 {
		d.Canaries = 0
	} else {
		signIn = &signin.Settings{Origin: staffOrigin}
	}
	err = installation.MakeUp(ctx, d.dir, installation.MadeUpOptions{Database: database, People: d.People, Seed: d.Seed, Canaries: d.Canaries, DeviceKeys: d.Days != 0, SignIn: signIn,
		Progress: func(done int64) {
			d.Tell(Progress{Stage: Making, Count: done, Done: done, Total: d.People, Took: time.Since(d.began)})
		}})
	if err != nil {
		return clean, fmt.Errorf("make the register: %w", err)
	}
	d.end(d.People)
	d.scene = filepath.Join(d.dir, "drill")
	if err := os.Mkdir(d.scene, 0o700); err != nil || d.Days == 0 {
		return clean, err
	}
	d.days, err = d.plan(time.Now())
	return clean, err
}

// furnish staffs the office and learns which pseudonym is whose. The installation
// is open in this process for that long, and closed before the server opens it.
func (d *drill) furnish(ctx context.Context) error {
	d.begin(Knowing)
	inst, err := installation.OpenMadeUp(ctx, d.dir)
	if err != nil {
		return err
	}
	if d.days != nil {
		err = d.furnishDays(ctx, inst)
	} else if err = d.staff(ctx, inst); err == nil {
		d.office = newOffice(d.Seed, d.People)
		d.truth, err = d.learn(ctx, inst, d.office.offer)
	}
	if err = errors.Join(err, inst.Close()); err != nil {
		return err
	}
	if d.days != nil {
		if err := d.days.decide(ctx); err != nil {
			return err
		}
	}
	d.end(d.People)
	return nil
}

func (d *drill) furnishDays(ctx context.Context, inst *installation.Installation) (err error) {
	if err = errors.Join(d.staffDays(ctx, inst), d.enrol(ctx, inst)); err != nil {
		return err
	}
	if d.truth, err = d.learn(ctx, inst, d.days.offer); err != nil {
		return err
	}
	return errors.Join(d.days.furnished(ctx, inst), d.days.putInForce(ctx, inst))
}

// copyFile copies a small file.
func copyFile(to, from string) error {
	raw, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, raw, 0o600)
}
