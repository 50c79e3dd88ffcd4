package drill

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"azekura/access"
	"azekura/api"
	"azekura/approval"
	"azekura/internal/installation"
)

// released is how long after a staff member found themselves contained two security
// officers have released them, onto a PC that nobody has worked at.
const released = time.Hour

// line is an office's: callers of who was contained, for any colleague who is free.
type line struct {
	mu      sync.Mutex
	waiting []*matter
}

func (l *line) take() *matter {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.waiting) == 0 {
		return nil
	}
	m := l.waiting[0]
	l.waiting = l.waiting[1:]
	return m
}

// pass puts a caller into the office's line.
func (w *desk) pass(m *matter) {
	w.line.mu.Lock()
	defer w.line.mu.Unlock()
	m.passed = true
	w.line.waiting = append(w.line.waiting, m)
	w.did.PassedOn++
}

// next is the desk's next caller, and who waits in the office's line behind them. Who
// is contained asks the server nothing more: their callers go to colleagues.
func (w *desk) next(ctx context.Context, m *matter) error {
	if err := w.relieve(ctx); err != nil {
		return err
	}
	for ; m != nil; m = w.line.take() {
		if w.out {
			w.pass(m)
			return nil
		}
		m.passed = false
		if err := w.serve(ctx, m); err != nil || m.passed { // who was refused takes nobody else's caller now
			return err
		}
	}
	return nil
}

// infected tells whether the attacker holds the PC at which the desk's user sits now.
func (w *desk) infected() bool {
	return slices.ContainsFunc(w.infections, func(i infection) bool {
		return i.Staff == w.no && w.device == w.team[w.no].device && !w.sched.Now().Before(w.midnight(i.Day).Add(i.At))
	})
}

// leave is what who sees that they are contained does: they tell the security officers.
func (w *desk) leave() {
	if !w.out {
		w.out, w.back = true, w.sched.Now().Add(released)
	}
}

// signIn is the passkey's, some seconds at the PC. "" says that a session stands.
func (w *desk) signIn(ctx context.Context) (why string, err error) {
	if err := w.actor.Sleep(ctx, w.seconds(4, 10)); err != nil {
		return "", err
	}
	token, refused, err := w.ceremony(ctx, w.browser, ceremony{path: "passkey", begin: struct{}{}, answer: w.key.touch}, nil)
	switch {
	case err != nil && w.contained(ctx), strings.Contains(refused, "contained"):
		w.leave()
		token, why = "", "contained"
	case err != nil || refused != "":
		return "", fmt.Errorf("sign %s in at %s: %w", w.staff, w.device, errors.Join(err, errors.New(refused)))
	}
	w.token = token
	return why, w.loot.session(w.device, token)
}

// touch is a step-up's: the user is there, and touches their key within seconds.
func (w *desk) touch(ctx context.Context) (why string, err error) {
	if err := w.actor.Sleep(ctx, w.seconds(2, 6)); err != nil {
		return "", err
	}
	_, why, err = w.touched(ctx, "")
	if why == "signed-out" { // who has signed in has touched
		return w.signIn(ctx)
	}
	return why, err
}

// touchFor is for one act. Who was signed out signs in before.
func (w *desk) touchFor(ctx context.Context, a access.Act) (code, why string, err error) {
	if err := w.actor.Sleep(ctx, w.seconds(1, 3)); err != nil {
		return "", "", err
	}
	for range 3 {
		if code, why, err = w.touched(ctx, a); why != "signed-out" || err != nil {
			break
		}
		w.did.Hindered[why]++
		if why, err = w.signIn(ctx); why != "" || err != nil {
			break
		}
	}
	if why != "" {
		w.did.Hindered[why]++
	}
	return code, why, err
}

// touched is the ceremony, for an act or for the session.
func (w *desk) touched(ctx context.Context, a access.Act) (code, why string, err error) {
	var done struct{ Touch string }
	_, refused, err := w.ceremony(ctx, w.browser, ceremony{path: "touch", token: w.token, begin: map[string]access.Act{"for": a}, answer: w.key.touch}, &done)
	switch {
	case err != nil && w.contained(ctx), strings.Contains(refused, "contained"):
		return "", "contained", nil
	case strings.HasPrefix(refused, "401"):
		return "", "signed-out", nil
	case err != nil || refused != "":
		return "", "", fmt.Errorf("touch for %s at %s: %w", w.staff, w.device, errors.Join(err, errors.New(refused)))
	}
	return done.Touch, "", nil
}

func (w *desk) seconds(least, most int) time.Duration {
	return time.Duration(least)*time.Second + time.Duration(w.rand.Int64N(int64(time.Duration(most-least)*time.Second)))
}

// relieve has two security officers release a contained staff member, once their time has
// come, onto a PC that nobody has worked at. The infected PC stays contained.
func (w *desk) relieve(ctx context.Context) error {
	if !w.out || w.sched.Now().Before(w.back) {
		return nil
	}
	spare, ok := w.spare()
	if !ok {
		w.back = w.ends() // they help colleagues without a PC
		return nil
	}
	if err := w.release(ctx, access.Target{Kind: access.TheStaff, ID: w.staff}); err != nil {
		return err
	}
	w.disconnect()
	if err := w.loot.session(w.device, ""); err != nil {
		return err
	}
	pc, err := w.enrolAt(ctx, spare)
	if err != nil {
		return err
	}
	w.device, w.pc, w.out = spare, pc, false
	if err := w.connect(); err != nil {
		return err
	}
	why, err := w.signIn(ctx)
	if err == nil && why == "" {
		w.did.Moved++
	}
	return err
}

// release is by two approvers over the same bytes, where the target is contained.
func (d *days) release(ctx context.Context, t access.Target) error {
	var list []access.Contained
	if err := d.operator.Do(ctx, http.MethodGet, "/operator/contained", nil, &list); err != nil {
		return err
	}
	if !slices.ContainsFunc(list, func(c access.Contained) bool { return c.Target == t && !c.StepUp }) {
		return nil
	}
	var file api.ProposalText
	ask := api.NewRelease{Target: t, Why: "at a clean PC now; the old one stays contained", By: "officer-1", Hours: 24}
	if err := d.operator.Do(ctx, http.MethodPost, "/operator/release/proposal", ask, &file); err != nil {
		return fmt.Errorf("propose to release %s: %w", t, err)
	}
	signed := []byte(file.Text)
	var err error
	for _, key := range d.deciders {
		if signed, err = approval.Sign(signed, key, d.sched.Now()); err != nil {
			return fmt.Errorf("sign the release of %s: %w", t, err)
		}
	}
	if err := d.operator.Do(ctx, http.MethodPost, "/operator/release", api.ProposalText{Text: string(signed)}, nil); err != nil {
		return fmt.Errorf("release %s: %w", t, err)
	}
	return nil
}

// decide enrols the two security officers who release, each with a key.
func (d *days) decide(ctx context.Context) error {
	for _, name := range []string{"officer-1", "officer-2"} {
		file, public, err := approval.NewKey(name, nil, 0)
		if err != nil {
			return err
		}
		key, err := approval.OpenKey(file, nil)
		if err != nil {
			return err
		}
		if _, err := installation.AddApprover(ctx, d.dir, public, nil); err != nil {
			return fmt.Errorf("enrol who releases: %w", err)
		}
		d.deciders = append(d.deciders, key)
	}
	return nil
}

// spare is the next PC that nobody has worked at.
func (d *days) spare() (string, bool) {
	d.spares.Lock()
	defer d.spares.Unlock()
	if d.Staff+d.spared >= d.Devices {
		return "", false
	}
	d.spared++
	return pcCode(d.Staff + d.spared - 1), true
}

// enrolAt has a PC enrol a key while the server runs, as its agent does.
func (d *days) enrolAt(ctx context.Context, device string) (*enrolled, error) {
	var made api.NewDeviceCode
	if err := d.operator.Do(ctx, http.MethodPost, "/operator/people/device-code", api.OfDevice{Device: device}, &made); err != nil {
		return nil, fmt.Errorf("make a code for %s: %w", device, err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	request, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		return nil, err
	}
	code, _, _ := strings.Cut(made.Code, ".")
	var got api.Certificate
	status, detail, err := send(ctx, d.http, "https://"+d.address+api.EnrolPath, "", api.Enrolment{Code: code, Request: request}, &got)
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("status %d %s", status, detail)
	}
	if err != nil {
		return nil, fmt.Errorf("enrol %s: %w", device, err)
	}
	p := &enrolled{tls.Certificate{Certificate: [][]byte{got.Certificate}, PrivateKey: key}, filepath.Join(d.scene, device+".cert"), filepath.Join(d.scene, device+".key")}
	return p, writePEM(p.cert, "CERTIFICATE", got.Certificate)
}
