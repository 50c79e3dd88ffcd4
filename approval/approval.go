// Package approval keeps what one person alone can't do from being done by one
// person: a proposal is text that people can read, signed by two of the enrolled
// approvers over the same bytes (C2SP signed-note).
//
// It promises that an Approved is made by Check alone, from a proposal that two
// different enrolled keys signed, byte for byte, before it expired; the zero value
// approves nothing. A proposal names its kind, the log and the log's size that it
// was made at, so that it can't be used twice where that matters: what it does
// changes one of them. The words that people read come from the body that the
// program acts on, and who acts compares them again (For).
//
// It doesn't know who holds a key, nor whether two keys are two people; enrolment
// must see to that.
package approval

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/mod/sumdb/note"
)

// Needed is how many approvers' signatures a proposal needs.
const Needed = 2

// MaxLife is the longest that a proposal may wait.
const MaxLife = 14 * 24 * time.Hour

// maxSize bounds a proposal's file in bytes; an event of the log takes it whole.
const maxSize = 24 << 10

// ErrNotApproved refuses what two people haven't approved.
var ErrNotApproved = errors.New("this takes two people, and they haven't approved it")

// Proposal is what is asked for.
type Proposal struct {
	Kind    string // what it is for: one word
	Log     string // the log's origin
	Size    int64  // events that were signed when it was made
	By      string // who proposes: a code, in words only
	Nonce   string // drawn, so that no two proposals are the same bytes
	Made    time.Time
	Expires time.Time
	Words   string // for people: what, on what; whole lines
	Body    json.RawMessage
}

// New makes a proposal; words must be made from body.
func New(kind, log string, size int64, by, words string, body any, now time.Time, life time.Duration) (Proposal, error) {
	if life <= 0 || life > MaxLife {
		return Proposal{}, fmt.Errorf("a proposal waits for up to %d days", MaxLife/(24*time.Hour))
	}
	raw, err := json.Marshal(body)
	if err != nil {
		return Proposal{}, fmt.Errorf("make the proposal: %w", err)
	}
	var nonce [16]byte
	_, _ = rand.Read(nonce[:]) // never fails: the program ends instead
	now = now.UTC().Truncate(time.Second)
	p := Proposal{Kind: kind, Log: log, Size: size, By: by, Nonce: hex.EncodeToString(nonce[:]), Made: now, Expires: now.Add(life), Words: words, Body: raw}
	if _, err := Parse(p.Text()); err != nil {
		return Proposal{}, fmt.Errorf("make the proposal: %w", err)
	}
	return p, nil
}

const firstLine = "azekura approval 1\n"

// Text is the bytes that are signed.
func (p *Proposal) Text() []byte {
	var b bytes.Buffer
	b.WriteString(firstLine)
	fmt.Fprintf(&b, "kind %s\nlog %s\nsize %d\nby %s\nnonce %s\nmade %s\nexpires %s\n\n%s\nbody %s\n",
		p.Kind, p.Log, p.Size, p.By, p.Nonce, p.Made.UTC().Format(time.RFC3339), p.Expires.UTC().Format(time.RFC3339), p.Words, p.Body)
	return b.Bytes()
}

var (
	errProposal = errors.New("this isn't a proposal that azekura made")

	word  = regexp.MustCompile(`^[a-z][a-z-]{0,31}$`)
	code  = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,31}$`)
	plain = regexp.MustCompile(`^[^\s+]{1,200}$`)
	hex32 = regexp.MustCompile(`^[0-9a-f]{32}$`)
)

// Parse reads a proposal's text. It accepts only what Text writes, so that no
// two readings of one text exist.
func Parse(text []byte) (Proposal, error) {
	var p Proposal
	rest, ok := strings.CutPrefix(string(text), firstLine)
	if !ok || len(text) > maxSize || !readable(text) {
		return Proposal{}, errProposal
	}
	take := func(key string) string {
		line, after, found := strings.Cut(rest, "\n")
		value, named := strings.CutPrefix(line, key+" ")
		ok = ok && found && named
		rest = after
		return value
	}
	p.Kind, p.Log = take("kind"), take("log")
	size := take("size")
	p.By, p.Nonce = take("by"), take("nonce")
	made, expires := take("made"), take("expires")
	rest, blank := strings.CutPrefix(rest, "\n")
	at := strings.LastIndex(rest, "\nbody ") // a body has no line end
	if !ok || !blank || at < 0 {
		return Proposal{}, errProposal
	}
	p.Words, p.Body = rest[:at], json.RawMessage(strings.TrimSuffix(rest[at+len("\nbody "):], "\n"))
	var errs [3]error
	p.Size, errs[0] = strconv.ParseInt(size, 10, 64)
	p.Made, errs[1] = time.Parse(time.RFC3339, made)
	p.Expires, errs[2] = time.Parse(time.RFC3339, expires)
	if errors.Join(errs[:]...) != nil || !p.valid() || !bytes.Equal(p.Text(), text) {
		return Proposal{}, errProposal
	}
	return p, nil
}

func (p *Proposal) valid() bool {
	var body bytes.Buffer
	return word.MatchString(p.Kind) && plain.MatchString(p.Log) && p.Size >= 0 && code.MatchString(p.By) && hex32.MatchString(p.Nonce) &&
		p.Made.Before(p.Expires) && p.Expires.Sub(p.Made) <= MaxLife &&
		strings.HasSuffix(p.Words, "\n") && strings.TrimSpace(p.Words) != "" &&
		// A line of the words that looks like a signature or a body would be read in two ways.
		!slices.ContainsFunc(strings.Split(p.Words, "\n"), func(line string) bool {
			return strings.HasPrefix(line, "— ") || strings.HasPrefix(line, "body ")
		}) &&
		len(p.Body) > 0 && p.Body[0] == '{' && json.Compact(&body, p.Body) == nil && bytes.Equal(body.Bytes(), p.Body)
}

// readable refuses what a terminal could show otherwise than it is: control
// characters, and those that turn the direction of writing or have no width.
func readable(text []byte) bool {
	if !utf8.Valid(text) {
		return false
	}
	for _, r := range string(text) {
		if r < ' ' && r != '\n' || r >= 0x7f && r < 0xa0 || r >= 0x200b && r <= 0x200f || r >= 0x2028 && r <= 0x202e || r >= 0x2060 && r <= 0x206f || r == 0xfeff {
			return false
		}
	}
	return true
}

// Read reads a proposal's file, signed or not yet, and says how many signatures
// it bears. It checks none of them.
func Read(file []byte) (Proposal, int, error) {
	n, err := split(file)
	if err != nil {
		return Proposal{}, 0, err
	}
	p, err := Parse([]byte(n.Text))
	return p, len(n.UnverifiedSigs), err
}

// split takes a file apart without believing it.
func split(file []byte) (*note.Note, error) {
	if len(file) > maxSize {
		return nil, errProposal
	}
	if !bytes.Contains(file, []byte("\n\n— ")) {
		return &note.Note{Text: string(file)}, nil
	}
	_, err := note.Open(file, note.VerifierList())
	var unverified *note.UnverifiedNoteError
	if !errors.As(err, &unverified) {
		return nil, errProposal
	}
	return unverified.Note, nil
}

// Sign adds a signature to a proposal's file.
func Sign(file []byte, key note.Signer, now time.Time) ([]byte, error) {
	n, err := split(file)
	if err != nil {
		return nil, err
	}
	p, err := Parse([]byte(n.Text))
	if err != nil {
		return nil, err
	}
	if !now.Before(p.Expires) {
		return nil, errors.New("the proposal has expired; make it anew")
	}
	for _, s := range n.UnverifiedSigs {
		if s.Name == key.Name() {
			return nil, fmt.Errorf("%s has signed it already; it takes another person", s.Name)
		}
	}
	return note.Sign(n, key)
}

// Approved is a proposal that two people approved. Check alone makes one; the
// zero value is refused.
type Approved struct {
	ok       bool
	proposal Proposal
	note     string
	by       []string
}

// Check refuses a proposal's file unless two different approvers of those
// enrolled signed it, and nobody else did, and it hasn't expired.
func Check(file []byte, enrolled []string, now time.Time) (Approved, error) {
	if len(file) > maxSize {
		return Approved{}, errProposal
	}
	verifiers, err := verifiers(enrolled)
	if err != nil {
		return Approved{}, err
	}
	if len(enrolled) < Needed {
		return Approved{}, fmt.Errorf("%w: fewer than two approvers are enrolled; azekura approver add enrols them", ErrNotApproved)
	}
	n, err := note.Open(file, note.VerifierList(verifiers...))
	if err != nil {
		return Approved{}, fmt.Errorf("%w: %s", ErrNotApproved, "no enrolled approver's signature stands on it, or one of them isn't right; azekura approve signs it")
	}
	p, err := Parse([]byte(n.Text))
	if err != nil {
		return Approved{}, err
	}
	var by []string
	for _, s := range n.Sigs {
		if !slices.Contains(by, s.Name) {
			by = append(by, s.Name)
		}
	}
	switch {
	case len(n.UnverifiedSigs) > 0:
		return Approved{}, fmt.Errorf("%w: somebody signed it who isn't enrolled", ErrNotApproved)
	case len(by) < Needed:
		return Approved{}, fmt.Errorf("%w: only %s has signed it", ErrNotApproved, by[0])
	case !now.Before(p.Expires):
		return Approved{}, fmt.Errorf("%w: it expired on %s; make it anew", ErrNotApproved, p.Expires.Format(time.RFC3339))
	case now.Before(p.Made.Add(-time.Hour)):
		return Approved{}, fmt.Errorf("%w: it was made on %s, which is to come", ErrNotApproved, p.Made.Format(time.RFC3339))
	}
	slices.Sort(by)
	return Approved{ok: true, proposal: p, note: string(file), by: by}, nil
}

// AnySize is for what may be done though the log has grown since.
const AnySize = -1

// For refuses unless this is what was approved: of this kind, on this log at
// this size (or AnySize), saying these words; and reads the body into body, which
// must hold all of it. words is asked when body is read, for what is to be done as
// things stand now.
func (a Approved) For(kind, log string, size int64, body any, words func() (string, error)) error {
	if !a.ok {
		return ErrNotApproved
	}
	p := &a.proposal
	if p.Kind != kind {
		return fmt.Errorf("%w: what they approved is %q and not %q", ErrNotApproved, p.Kind, kind)
	}
	if p.Log != log || size != AnySize && p.Size != size {
		return fmt.Errorf("%w: they approved it for the log %s at %d events, and this is another log or another size; make the proposal anew", ErrNotApproved, p.Log, p.Size)
	}
	in := json.NewDecoder(bytes.NewReader(p.Body))
	in.DisallowUnknownFields()
	if err := in.Decode(body); err != nil {
		return errProposal
	}
	if again, err := json.Marshal(body); err != nil || !bytes.Equal(again, p.Body) {
		return errProposal // a second reading of the same bytes
	}
	said, err := words()
	if err != nil {
		return err
	}
	if said != p.Words {
		return fmt.Errorf("%w: the words that they read aren't those of what is to be done now; make the proposal anew", ErrNotApproved)
	}
	return nil
}

// Given tells whether two people approved anything; the zero value says no.
func (a Approved) Given() bool { return a.ok }

// Note is the signed proposal, for the event that records it.
func (a Approved) Note() string { return a.note }

// By names the approvers.
func (a Approved) By() []string { return slices.Clone(a.by) }
