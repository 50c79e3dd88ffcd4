package thief

import (
	"context"
	"errors"
	"hash/fnv"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
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
	loud     = 16  // o'clock of the last day: the fast ways, when nothing is left to lose
	stubborn = 300 // refusals in a row end a fast way
	learnt   = 20  // made-up calls that were refused: from then on they are left to PCs that guess
	patient  = 12  // rounds through the PCs for one that lets a fast way in
)

// campaign is the theft of days.
type campaign struct {
	*thief
	clock clock
	until time.Time
	known []person

	slow, targeted, users *attempt

	mu   sync.Mutex
	held map[string]*mine
	list []pc
	next []person // of the known people, who are still to be tried

	refused atomic.Int64 // made-up calls
}

// mine is a PC, with the connections of its session.
type mine struct {
	pc
	http *http.Client
	age  time.Time // of its certificate
}

func (t *thief) days(ctx context.Context) error {
	known, err := readKnown(t.config.Known)
	if err != nil {
		return err
	}
	c := &campaign{thief: t, clock: clock{t.config.Clock}, until: t.config.Until, known: known, next: known, held: map[string]*mine{},
		slow: &attempt{name: "slow-search", out: t.out}, targeted: &attempt{name: "targeted", out: t.out},
		users: &attempt{name: "users-cases", out: t.out}}
	var all sync.WaitGroup
	started := map[string]bool{}
	for fast := false; ; {
		if err := c.refresh(); err != nil {
			return err
		}
		for _, one := range c.all() {
			if started[one.Device] {
				continue
			}
			started[one.Device] = true
			if _, err := c.clock.join(ctx, one.Device); err != nil {
				return err
			}
			// A third of the PCs guesses, a third uses what its user's cases let it, and a third
			// is left for what is fast.
			part := len(started) % 3
			all.Go(func() { c.quiet(ctx, one.Device, part) })
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
	c.users.count()
	return t.out.failure()
}

// last is when the fast ways are tried.
func (c *campaign) last() time.Time {
	u := c.until
	return time.Date(u.Year(), u.Month(), u.Day(), loud, 0, 0, 0, u.Location())
}

func (c *campaign) all() []pc {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.list
}

// refresh reads the list of PCs, whose sessions change as their users sign in.
func (c *campaign) refresh() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	list, err := readPCs(c.config.PCs)
	if err != nil {
		return err
	}
	for _, one := range list {
		was := c.held[one.Device]
		if was != nil && was.age == one.age() { // its user may have signed in again
			was.pc = one
			continue
		}
		http, err := c.presenting(&one, nil)
		if err != nil {
			return err
		}
		if was != nil {
			was.http.CloseIdleConnections()
		}
		c.held[one.Device] = &mine{one, http, one.age()}
	}
	c.list = list
	return nil
}

// age tells a PC's certificate from its next.
func (p *pc) age() time.Time {
	info, err := os.Stat(p.Cert)
	if err != nil {
		return time.Time{} // where devices have none
	}
	return info.ModTime()
}

// seat is a PC's session, or a token of it elsewhere.
type seat struct {
	t     *thief
	token string
	http  *http.Client
	of    pc
}

// seat has the session that the PC's user is in now.
func (c *campaign) seat(device string) (seat, bool) {
	err := c.refresh()
	c.mu.Lock()
	defer c.mu.Unlock()
	one := c.held[device]
	if one == nil || err != nil {
		return seat{}, false
	}
	return seat{c.thief, one.Token, one.http, one.pc}, one.Token != ""
}

// opens tells whether the PC's session still opens a case.
func (s seat) opens(ctx context.Context) error {
	room, err := s.open(ctx, "call")
	if err != nil {
		return err
	}
	return s.close(ctx, room)
}

func (s seat) post(ctx context.Context, path string, in, out any) error {
	return s.t.postAs(ctx, s.http, s.token, path, in, out)
}

// quiet is one PC's part: in office hours a search for somebody drawn by lot, one of
// those known from elsewhere, and what its user's own cases let it, then a pause. A way
// that is refused again and again is given up on all PCs but those that guess.
func (c *campaign) quiet(ctx context.Context, device string, part int) {
	defer c.clock.leave(device)
	r := rand.New(rand.NewPCG(8, sum(device)))
	if part == 0 {
		return
	}
	guesses, room := part == 1, ""
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
		if guesses && room == "" {
			if room, err = s.open(ctx, "call"); err != nil {
				c.slow.end(device, now, err)
				pause = lookOut
				continue
			}
		}
		c.users.begins(device, now)
		c.users.end(device, now, s.ride(ctx, c.users, c.draw))
		if guesses {
			c.slow.begins(device, now)
			c.slow.end(device, now, c.lot(ctx, s, room, r))
		}
		if !guesses && c.refused.Load() >= learnt {
			continue
		}
		if p, ok := c.draw(); ok {
			c.targeted.begins(device, now)
			if err := s.target(ctx, c.targeted, p); err != nil {
				c.giveBack(p) // another PC may have them
				c.refused.Add(1)
				c.targeted.end(device, now, err)
			}
		}
	}
}

// draw is the next of those known from elsewhere.
func (c *campaign) draw() (p person, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.next) == 0 {
		return p, false
	}
	p, c.next = c.next[0], c.next[1:]
	return p, true
}

func (c *campaign) giveBack(p person) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.next = append(c.next, p)
}

// sum makes each PC's lots its own.
func sum(device string) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(device)) // never fails
	return h.Sum64()
}

// lot searches by a guess: a ref drawn by lot, or a common name, and a birth.
func (c *campaign) lot(ctx context.Context, s seat, room string, r *rand.Rand) error {
	q, whose := search{By: "name_birth", Value: guessName(r), Birth: guessBirth(r)}, ""
	if r.IntN(2) == 0 {
		whose = ref(1 + r.Int64N(c.config.People))
		q.By, q.Value = "ref", whose
	}
	_, err := s.search(ctx, c.slow, room, q, whose)
	return err
}

// loud is all that is fast, one way after another, each on another PC.
func (c *campaign) loud(ctx context.Context) {
	ways := []way{{"fabricated-case", c.fabricate}, {"token-elsewhere", c.elsewhere}, {"token-with-key", c.withKey}, {"sweep", c.sweepDays}, {"search", c.enumerate}}
	list, next := c.all(), 0
	for _, way := range ways {
		a := &attempt{name: way.name, out: c.out}
		// A PC that is contained is of no use, and one whose user is out for now waits: the
		// next one, until one lets it in.
		for n, gone := 0, false; n < patient*len(list) && !gone; n++ {
			device := list[next%len(list)].Device
			next++
			s, ok := c.seat(device)
			if gone = ok && c.try(ctx, way, s, a); !gone && n%len(list) == len(list)-1 {
				if now, err := c.clock.sleep(ctx, "", between); err != nil || !now.Before(c.until) {
					return
				}
			}
		}
		a.count()
	}
}

// way is one that is fast.
type way struct {
	name string
	f    func(context.Context, seat, *attempt) error
}

// try goes one way at a PC, if its session lets it in.
func (c *campaign) try(ctx context.Context, w way, s seat, a *attempt) bool {
	now, err := c.clock.get(ctx)
	if err != nil {
		return false
	}
	if err := s.opens(ctx); err != nil {
		return false
	}
	a.begins(s.of.Device, now)
	err = w.f(ctx, s, a)
	if now, clockErr := c.clock.get(ctx); clockErr == nil {
		a.end(s.of.Device, now, err)
	}
	return true
}

// sweepDays reads one record after another, with a new case for every ten.
func (c *campaign) sweepDays(ctx context.Context, s seat, a *attempt) (err error) {
	room := ""
	refused, noted := 0, false
	for n := int64(1); refused < stubborn && ctx.Err() == nil; n++ {
		if n%10 == 1 {
			if room, err = s.open(ctx, "call"); err != nil {
				return err
			}
		}
		if err = s.take(ctx, a, room, "enquiry", map[string]any{"ref": ref(n)}, everything); err != nil {
			if refused++; !noted && !errors.Is(err, errNobody) {
				noted = true
				if now, clockErr := c.clock.get(ctx); clockErr == nil {
					a.end(s.of.Device, now, err)
				}
			}
		} else {
			refused, noted = 0, false
		}
	}
	return err
}

// enumerate counts through refs, guessing births, on some connections at once.
func (c *campaign) enumerate(ctx context.Context, s seat, a *attempt) error {
	room, err := s.open(ctx, "call")
	if err != nil {
		return err
	}
	var next atomic.Int64
	var all sync.WaitGroup
	ends := make([]error, searchers)
	for i := range ends {
		r := rand.New(rand.NewPCG(5, uint64(i)))
		all.Go(func() {
			for n, refused := next.Add(1), 0; n <= c.config.People && ctx.Err() == nil && refused < stubborn/searchers; n = next.Add(1) {
				if _, ends[i] = s.search(ctx, a, room, search{By: "ref", Value: ref(n), Birth: guessBirth(r)}, ref(n)); ends[i] == nil {
					refused = 0
				} else if refused++; refused == 1 && !errors.Is(ends[i], errNobody) {
					if now, err := c.clock.get(ctx); err == nil {
						a.end(s.of.Device, now, ends[i])
					}
				}
			}
		})
	}
	all.Wait()
	return errors.Join(ends...)
}

// fabricate makes up visits of people known from elsewhere, with a document that
// nobody showed, and reads all that there is of them.
func (c *campaign) fabricate(ctx context.Context, s seat, a *attempt) error {
	for i := 0; i < len(c.known) && i < stubborn && ctx.Err() == nil; i++ {
		p := c.known[i]
		room, err := s.open(ctx, "visit")
		if err != nil {
			return err
		}
		list, err := s.search(ctx, a, room, search{By: "number", Value: p.Number, Birth: p.Birth}, "")
		if err != nil {
			return err
		}
		if len(list) != 1 {
			continue
		}
		who := map[string]any{"participant": list[0]}
		if _, err := s.check(ctx, a, room, "visit", who, "birth", p.Birth); err != nil {
			return err
		}
		if err := s.identify(ctx, room, who, "my-number-card"); err != nil {
			return err
		}
		if err := s.take(ctx, a, room, "visit", who, everything); err != nil {
			return err
		}
	}
	return nil
}

// elsewhere uses a PC's token on a machine of the thief's own: without a certificate,
// then with that of another PC that it holds.
func (c *campaign) elsewhere(ctx context.Context, s seat, a *attempt) error {
	own, err := c.trusting()
	if err != nil {
		return err
	}
	s.http = own
	bare := c.last20(ctx, s, a)
	if other := c.another(s.of.Device); other != nil && other.Cert != "" {
		if s.http, err = c.presenting(other, nil); err != nil {
			return err
		}
		return errors.Join(bare, c.last20(ctx, s, a))
	}
	return bare
}

// withKey uses a PC's token and its certificate's key on a machine of the thief's own,
// which has an address of its own.
func (c *campaign) withKey(ctx context.Context, s seat, a *attempt) (err error) {
	if s.of.Cert == "" {
		return nil
	}
	if s.http, err = c.presenting(&s.of, &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}); err != nil {
		return err
	}
	return c.last20(ctx, s, a)
}

// last20 are the last of those known from elsewhere.
func (c *campaign) last20(ctx context.Context, s seat, a *attempt) error {
	for i := len(c.known) - 1; i >= 0 && i >= len(c.known)-20; i-- {
		if err := s.target(ctx, a, c.known[i]); err != nil {
			return err
		}
	}
	return nil
}

// another is a PC beside one.
func (c *campaign) another(than string) *pc {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, one := range c.list {
		if one.Device != than {
			return &one
		}
	}
	return nil
}
