package access

import (
	"context"
	"crypto/sha256"
	"encoding/base32"
	"errors"
	"fmt"
	"io"
	"maps"
	"regexp"
	"strings"
	"time"

	"azekura/auditlog"
	"azekura/register/field"
)

// Act is what somebody touches their key for, and nothing else: malware that rides on a
// session can ask for a touch, and has none of the codes that touches give.
type Act string

// OpenCase is the opening of a case of a kind, in which these fields are to be read and
// no other search is made than that of this hash (cases.Seek); a case about two has two.
func OpenCase(kind string, fields field.Set, searches ...string) Act {
	a := act("open "+kind, fields)
	if len(searches) > 0 {
		a += Act(" for " + strings.Join(searches, ","))
	}
	return a
}

// ReopenCase is the opening again of a closed one.
func ReopenCase(code string) Act { return Act("reopen " + code) }

// ReadFields is one reading of fields in a case, their names in the register's order.
func ReadFields(code string, fields field.Set) Act { return act("read "+code, fields) }

func act(what string, fields field.Set) Act {
	if fields == 0 {
		return Act(what)
	}
	return Act(what + " " + fields.String())
}

// It stands in the log, so nothing of a participant fits in.
var goodAct = regexp.MustCompile(`^(open [a-z]{1,20}( [a-z,]{1,100})?( for [A-Za-z0-9_-]{43}(,[A-Za-z0-9_-]{43})?)?|reopen C-[0-9A-Z]{13}|read C-[0-9A-Z]{13} [a-z,]{1,100})$`)

// ActCodeLasts is how long the code of a touch is good for.
const ActCodeLasts = 2 * time.Minute

// maxActCodes bounds the codes that wait: each cost its holder a touch.
const maxActCodes = 10_000

var (
	errOthersTouch = fmt.Errorf("%w: somebody else's touch, or at another device", ErrRefused)
	errManyTouches = fmt.Errorf("%w: too many touches wait for what they are for; try again in two minutes", ErrTouch)
)

// touchedBy tells whether a proof is of the session's holder, at its device.
func (s Session) touchedBy(p Proof) bool {
	return p.Staff == s.staff && p.Peer.Device() == s.device && p.Peer.Key() == s.key && s.via != "operator"
}

// actCodes are the codes that wait, by their hashes; the Directory's mu is held.
type actCodes struct {
	of    map[[sha256.Size]byte]actCode
	swept time.Time
}

// Touched says that somebody touched their key for an act. Its zero value says that
// nobody did.
type Touched struct{ act Act }

// For tells whether the key was touched for this act.
func (t Touched) For(a Act) bool { return a != "" && t.act == a }

// actCode is a touch that waits for its act.
type actCode struct {
	staff, device string
	act           Act
	expires       time.Time
}

// errActCode refuses a code.
var errActCode = fmt.Errorf("%w: the touch's code is for something else, or was used, or is older than %s; touch your key again", ErrTouch, ActCodeLasts)

// CheckAct refuses what nobody can touch for.
func CheckAct(a Act) error {
	if !goodAct.MatchString(string(a)) {
		return fmt.Errorf("%w: a touch is for \"open KIND\", \"open KIND FIELD,FIELD\", either with \" for HASH\" of a search, \"reopen CASE\" or \"read CASE FIELD,FIELD\"", ErrInvalid)
	}
	return nil
}

// TouchFor takes a session's holder's proof that they are there for one act, and gives
// the code by which they do it, once. It ends no step-up, on which somebody else might
// ride. The act's own event says that there was a touch; codes are in memory alone, so
// after a start the key is touched again.
func (d *Directory) TouchFor(ctx context.Context, s Session, p Proof, a Act) (code string, err error) {
	if err := errors.Join(CheckAct(a), d.Still(s)); err != nil {
		return "", err
	}
	if !s.touchedBy(p) {
		return "", d.denied(ctx, s.Officer(), "touch", s.staff, errOthersTouch)
	}
	var raw [15]byte
	if _, err := io.ReadFull(d.rand, raw[:]); err != nil {
		return "", err
	}
	code = base32.StdEncoding.EncodeToString(raw[:])
	now := d.log.Now()
	d.mu.Lock()
	defer d.mu.Unlock()
	d.counted(s.staff, p.Key, p.Count)
	if d.actCodes.swept.Add(ActCodeLasts).Before(now) || len(d.actCodes.of) >= maxActCodes {
		d.actCodes.swept = now
		maps.DeleteFunc(d.actCodes.of, func(_ [sha256.Size]byte, c actCode) bool { return !now.Before(c.expires) })
	}
	if len(d.actCodes.of) >= maxActCodes {
		return "", errManyTouches
	}
	d.actCodes.of[sha256.Sum256([]byte(code))] = actCode{s.staff, s.device, a, now.Add(ActCodeLasts)}
	return code, nil
}

// UseTouch uses a touch's code up for its act: at the device, and by the staff member,
// whose touch it was. No code is no touch, which the policies may let pass; a wrong one
// is refused, and an event.
func (d *Directory) UseTouch(ctx context.Context, s Session, code string, a Act) (Touched, error) {
	if code == "" {
		return Touched{}, nil
	}
	if !s.Live() {
		return Touched{}, ErrNoSession
	}
	hash := sha256.Sum256([]byte(code))
	d.mu.Lock()
	c, ok := d.actCodes.of[hash]
	delete(d.actCodes.of, hash)
	d.mu.Unlock()
	if ok && c.staff == s.staff && c.device == s.device && c.act == a && d.log.Now().Before(c.expires) {
		return Touched{a}, nil
	}
	event := s.Stamp(auditlog.Event{Action: auditlog.Deny, Outcome: "touch", Detail: []byte(`{"asked":"touch"}`)})
	if _, err := d.log.RecordOne(ctx, event); err != nil {
		return Touched{}, err
	}
	return Touched{}, errActCode
}
