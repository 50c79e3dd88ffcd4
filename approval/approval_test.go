package approval_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"strings"
	"testing"
	"time"

	"azekura/approval"

	"golang.org/x/mod/sumdb/note"
	"pgregory.net/rapid"
)

type act struct {
	What string `json:"what"`
	N    int64  `json:"n"`
}

const words = "The log example/log ends.\nNothing is added to it any more.\n"

var now = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

func proposal(t testing.TB) approval.Proposal {
	t.Helper()
	p, err := approval.New("freeze", "example/log", 28, "op-1", words, act{"end", 7}, now, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// person makes a key and returns what signs, and its public half.
func person(t testing.TB, name string) (note.Signer, string) {
	t.Helper()
	file, vkey, err := approval.NewKey(name, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	key, err := approval.OpenKey(file, nil)
	if err != nil {
		t.Fatal(err)
	}
	return key, vkey
}

func signed(t testing.TB, file []byte, keys ...note.Signer) []byte {
	t.Helper()
	for _, key := range keys {
		var err error
		if file, err = approval.Sign(file, key, now); err != nil {
			t.Fatal(err)
		}
	}
	return file
}

func said() (string, error) { return words, nil }

// TestTwoPeople: two enrolled approvers' signatures over the same bytes, and
// nothing less, make an approval.
func TestTwoPeople(t *testing.T) {
	p := proposal(t)
	a, av := person(t, "hanako")
	b, bv := person(t, "jiro")
	c, _ := person(t, "saburo") // not enrolled
	a2, _ := person(t, "hanako")
	enrolled := []string{av, bv}

	whole := signed(t, p.Text(), a, b)
	ok, err := approval.Check(whole, enrolled, now)
	if err != nil {
		t.Fatal(err)
	}
	var body act
	if err := ok.For("freeze", "example/log", 28, &body, said); err != nil || body != (act{"end", 7}) {
		t.Fatal(err, body)
	}
	if ok.Note() != string(whole) || strings.Join(ok.By(), " ") != "hanako jiro" {
		t.Error(ok.By())
	}

	altered := bytes.Replace(whole, []byte(`"n":7`), []byte(`"n":8`), 1)
	reworded := bytes.Replace(whole, []byte("ends"), []byte("Ends"), 1)
	for name, f := range map[string]struct {
		file     []byte
		enrolled []string
		at       time.Time
	}{
		"unsigned":              {p.Text(), enrolled, now},
		"one":                   {signed(t, p.Text(), a), enrolled, now},
		"a stranger":            {signed(t, p.Text(), a, c), enrolled, now},
		"two and a stranger":    {signed(t, p.Text(), a, b, c), enrolled, now},
		"a stranger's namesake": {signed(t, p.Text(), a2, b), enrolled, now},
		"altered":               {altered, enrolled, now},
		"reworded":              {reworded, enrolled, now},
		"expired":               {whole, enrolled, now.Add(time.Hour)},
		"to come":               {whole, enrolled, now.Add(-25 * time.Hour)},
		"one enrolled":          {whole, []string{av}, now},
		"nobody enrolled":       {whole, nil, now},
		"one enrolled twice":    {whole, []string{av, av}, now},
		"empty":                 {nil, enrolled, now},
		"too long":              {bytes.Repeat(whole, 100), enrolled, now},
	} {
		if ok, err := approval.Check(f.file, f.enrolled, f.at); err == nil || ok.For("freeze", "example/log", 28, &body, said) == nil {
			t.Errorf("%s: approved", name)
		}
	}
	if _, err := approval.Sign(whole, a, now); err == nil {
		t.Error("one person signed twice")
	}
	if _, err := approval.Sign(p.Text(), a, now.Add(time.Hour)); err == nil {
		t.Error("an expired proposal was signed")
	}
}

// TestOnlyFor: an approval is good for what it says and nothing else, and the zero
// value for nothing.
func TestOnlyFor(t *testing.T) {
	p := proposal(t)
	a, av := person(t, "hanako")
	b, bv := person(t, "jiro")
	ok, err := approval.Check(signed(t, p.Text(), a, b), []string{av, bv}, now)
	if err != nil {
		t.Fatal(err)
	}
	var body act
	var other struct {
		What string `json:"what"`
	}
	for name, err := range map[string]error{
		"zero":        approval.Approved{}.For("freeze", "example/log", 28, &body, said),
		"kind":        ok.For("rotate-signer", "example/log", 28, &body, said),
		"log":         ok.For("freeze", "example/log/2", 28, &body, said),
		"size":        ok.For("freeze", "example/log", 29, &body, said),
		"other words": ok.For("freeze", "example/log", 28, &body, func() (string, error) { return words + "And all else.\n", nil }),
		"other body":  ok.For("freeze", "example/log", 28, &other, said),
	} {
		if err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	if err := ok.For("freeze", "example/log", approval.AnySize, &body, said); err != nil {
		t.Error(err)
	}
	if err := (approval.Approved{}).For("freeze", "example/log", 28, &body, said); !errors.Is(err, approval.ErrNotApproved) {
		t.Error(err)
	}
}

// TestCoversWhatBothSaw: of all the files that differ in a byte from what both
// signed, none is an approval of other bytes.
func TestCoversWhatBothSaw(t *testing.T) {
	p := proposal(t)
	a, av := person(t, "hanako")
	b, bv := person(t, "jiro")
	whole := signed(t, p.Text(), a, b)
	rapid.Check(t, func(r *rapid.T) {
		file := bytes.Clone(whole)
		for range rapid.IntRange(1, 3).Draw(r, "edits") {
			at := rapid.IntRange(0, len(file)-1).Draw(r, "at")
			switch rapid.IntRange(0, 2).Draw(r, "edit") {
			case 0:
				file[at] ^= byte(rapid.IntRange(1, 255).Draw(r, "with"))
			case 1:
				file = append(file[:at], file[at+1:]...)
			case 2:
				file = append(file[:at], append([]byte{byte(rapid.IntRange(0, 255).Draw(r, "new"))}, file[at:]...)...)
			}
		}
		ok, err := approval.Check(file, []string{av, bv}, now)
		if err == nil && !strings.HasPrefix(ok.Note(), string(p.Text())) {
			r.Fatalf("approved: %q", file)
		}
	})
}

// TestProposals: what can't be read in one way is no proposal.
func TestProposals(t *testing.T) {
	for name, words := range map[string]string{
		"empty": "", "no line end": "x", "only blanks": " \n", "a body": "x\nbody {}\n", "a signature": "x\n— hanako AAAA\n",
		"a bell": "x\x07\n", "turned": "x\u202e\n", "hidden": "a\u200bb\n", "not UTF-8": "\xff\n", "a return": "x\r\n", "too long": strings.Repeat("x\n", 20<<10),
	} {
		if _, err := approval.New("freeze", "example/log", 0, "op-1", words, act{}, now, time.Hour); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	for name, life := range map[string]time.Duration{"none": 0, "past": -time.Hour, "too long": approval.MaxLife + 1} {
		if _, err := approval.New("freeze", "example/log", 0, "op-1", words, act{}, now, life); err == nil {
			t.Errorf("a life that is %s: taken", name)
		}
	}
	for name, by := range map[string]string{"a name": "佐藤花子", "none": "", "a line": "a\nb"} {
		if _, err := approval.New("freeze", "example/log", 0, by, words, act{}, now, time.Hour); err == nil {
			t.Errorf("proposed by %s: taken", name)
		}
	}
}

// TestKeyUnderPassphrase: the key's file opens with its passphrase alone.
func TestKeyUnderPassphrase(t *testing.T) {
	file, vkey, err := approval.NewKey("hanako", []byte("three rafts of cypress"), 10)
	if err != nil || bytes.Contains(file, []byte("PRIVATE")) {
		t.Fatal(err)
	}
	ask := func(p string) func() ([]byte, error) { return func() ([]byte, error) { return []byte(p), nil } }
	key, err := approval.OpenKey(file, ask("three rafts of cypress"))
	if err != nil || key.Name() != "hanako" {
		t.Fatal(err)
	}
	if name, err := approval.Name(vkey); err != nil || name != "hanako" {
		t.Error(name, err)
	}
	for _, wrong := range []string{"", "three rafts of cedar"} {
		if _, err := approval.OpenKey(file, ask(wrong)); err == nil {
			t.Errorf("opened with %q", wrong)
		}
	}
	if _, err := approval.OpenKey([]byte("PRIVATE+KEY+x"), nil); err == nil || strings.Contains(err.Error(), "PRIVATE") {
		t.Error(err)
	}
	if _, err := approval.Enrol([]string{vkey}, vkey); err == nil {
		t.Error("enrolled twice")
	}
}

// FuzzRead: a file that reads has one reading, and reading never fails otherwise
// than by an error.
func FuzzRead(f *testing.F) {
	p := proposal(f)
	a, av := person(f, "hanako")
	b, bv := person(f, "jiro")
	f.Add(p.Text())
	f.Add(signed(f, p.Text(), a))
	f.Add(signed(f, p.Text(), a, b))
	f.Add([]byte("azekura approval 1\n"))
	f.Fuzz(func(t *testing.T, file []byte) {
		got, _, err := approval.Read(file)
		if err == nil && !bytes.HasPrefix(file, got.Text()) {
			t.Errorf("%q reads as %q", file, got.Text())
		}
		if ok, err := approval.Check(file, []string{av, bv}, now); err == nil && !strings.HasPrefix(ok.Note(), string(p.Text())) {
			t.Errorf("approved: %q", file)
		}
	})
}

// TestOneKeyTwice: one key under two names, or in two spellings, is one person.
func TestOneKeyTwice(t *testing.T) {
	plus := 0
	for plus < 3 {
		_, vkey := person(t, "hanako")
		text := strings.SplitN(vkey, "+", 3)[2]
		if strings.Contains(text, "+") {
			plus++
		} else if plus > 0 {
			continue
		}
		raw, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			t.Fatal(err)
		}
		other, err := note.NewEd25519VerifierKey("jiro", raw[1:])
		if err != nil {
			t.Fatal(err)
		}
		for name, again := range map[string]string{
			"another name":              other,
			"line end":                  other[:len(other)-8] + "\n" + other[len(other)-8:],
			"line end behind a plus":    strings.Replace(other, text, strings.ReplaceAll(text, "+", "\n+"), 1),
			"line end in front of plus": strings.Replace(other, text, strings.ReplaceAll(text, "+", "+\r\n"), 1),
		} {
			if _, err := approval.Enrol([]string{vkey}, again); err == nil {
				t.Errorf("%s: one key was enrolled twice: %q", name, again)
			}
			if _, err := approval.Check(nil, []string{vkey, again}, now); err == nil || errors.Is(err, approval.ErrNotApproved) {
				t.Errorf("%s: one key passes as two: %v", name, err)
			}
			// The spelling is refused for itself, alone as well.
			if list, err := approval.Enrol(nil, again); name != "another name" && again != other && (err == nil || !strings.Contains(err.Error(), "isn't spelled")) {
				t.Errorf("%s: a key was enrolled in another spelling: %q %v", name, list, err)
			}
		}
	}
}

// TestOneNameTwice: two keys under one name are refused, for a signature is told by
// its name.
func TestOneNameTwice(t *testing.T) {
	_, one := person(t, "hanako")
	_, other := person(t, "hanako")
	if _, err := approval.Enrol([]string{one}, other); err == nil {
		t.Error("two keys were enrolled under one name")
	}
	if _, err := approval.Check(nil, []string{one, other}, now); err == nil || errors.Is(err, approval.ErrNotApproved) {
		t.Error("two keys pass under one name:", err)
	}
}

// whole is an act of a drawn text and number.
type whole struct {
	What string `json:"what"`
	N    int64  `json:"n"`
	kind string
}

func (w whole) Kind() string  { return w.kind }
func (w whole) Words() string { return "What: " + w.What + ".\n" }

// TestCoversOnlyWhatIsDone: of an act, of its kind, its log, its size, its expiry
// and the order of its lines, none can differ from what both signed.
func TestCoversOnlyWhatIsDone(t *testing.T) {
	a, av := person(t, "hanako")
	b, bv := person(t, "jiro")
	kinds := []string{"freeze", "shred", "rotate-data"}
	rapid.Check(t, func(r *rapid.T) {
		text := rapid.StringMatching(`[a-zあ-ん ]{1,12}x`)
		draw := func(label string) (whole, string) {
			return whole{text.Draw(r, label), rapid.Int64Range(0, 3).Draw(r, label+" n"), rapid.SampledFrom(kinds).Draw(r, label+" kind")},
				rapid.SampledFrom([]string{"example/log", "example/log/2"}).Draw(r, label+" log")
		}
		act, log := draw("approved")
		p, err := approval.Propose(act, log, 28, "op-1", now, time.Hour)
		if err != nil {
			r.Fatal(err)
		}
		both := signed(t, p.Text(), a, b)
		ok, err := approval.Check(both, []string{av, bv}, now)
		if err != nil {
			r.Fatal(err)
		}
		if err := ok.Covers(log, act); err != nil {
			r.Fatal(err)
		}
		if other, on := draw("done"); (other != act || on != log) && ok.Covers(on, other) == nil {
			r.Fatalf("%v on %s covers %v on %s", act, log, other, on)
		}
		signatures := both[len(p.Text()):]
		for name, change := range map[string]func(p *approval.Proposal){
			"size":    func(p *approval.Proposal) { p.Size += rapid.Int64Range(1, 9).Draw(r, "size") },
			"expiry":  func(p *approval.Proposal) { p.Expires = p.Expires.Add(time.Second) },
			"made":    func(p *approval.Proposal) { p.Made = p.Made.Add(-time.Second) },
			"kind":    func(p *approval.Proposal) { p.Kind += "s" },
			"log":     func(p *approval.Proposal) { p.Log += "s" },
			"by":      func(p *approval.Proposal) { p.By += "s" },
			"nonce":   func(p *approval.Proposal) { p.Nonce = strings.Repeat("0", 32) },
			"words":   func(p *approval.Proposal) { p.Words += "And all else.\n" },
			"order":   func(p *approval.Proposal) { p.Body = []byte(`{"n":1,"what":"x"}`) },
			"nothing": nil,
		} {
			other := p
			if change != nil {
				change(&other)
			}
			_, err := approval.Check(append(other.Text(), signatures...), []string{av, bv}, now)
			if (err == nil) != (change == nil) {
				r.Fatalf("%s: %v", name, err)
			}
		}
	})
	if approval.Approved.Covers(approval.Approved{}, "example/log", whole{kind: "freeze"}) == nil {
		t.Error("the zero value covers something")
	}
}
