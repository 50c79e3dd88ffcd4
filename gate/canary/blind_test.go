package canary_test

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"azekura/access"
	"azekura/drill/workday"
	"azekura/gate"
	"azekura/gate/canary"
	"azekura/internal/clock"
	"azekura/internal/installation"
	"azekura/internal/insttest"
	"azekura/internal/pgtest"
	"azekura/population"
	"azekura/register"
	"azekura/register/field"

	"github.com/google/uuid"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

const seed = 11

// people is a file of some of a seed's people, from one to another, without the gaps.
func people(t *testing.T, from, to int64) []byte {
	t.Helper()
	lines := bytes.SplitAfter(insttest.NDJSON(t, seed, to), []byte("\n"))
	var b bytes.Buffer
	for n := from; n < to; n++ {
		if !population.Gap(seed, n, 0.2) {
			b.Write(lines[n])
		}
	}
	return b.Bytes()
}

func load(t *testing.T, i *installation.Installation, content []byte, o register.ImportOptions) {
	t.Helper()
	at, err := insttest.TryImport(t.Context(), i, insttest.File(t, content), o)
	if err != nil || at.Rejected != 0 {
		t.Fatalf("%d rejected: %v", at.Rejected, err)
	}
}

// TestBlind plants canaries, lets honest work go on for a month, and trains two
// classifiers on half of the dump: on the other half they do no better than chance.
// Those whom honest work touched are known to be real, and are left out.
func TestBlind(t *testing.T) {
	insttest.Each(t, func(t *testing.T, engine string) {
		dir := insttest.New(t, engine)
		first := workday.Monday(time.Now())
		driven, err := installation.CreateClock(dir, first)
		if err != nil {
			t.Fatal(err)
		}
		i := insttest.Open(t, dir)
		n := int64(insttest.Soak(2000, 30_000))
		load(t, i, people(t, 0, n*3/4), register.ImportOptions{Density: 0.2})
		month(t, i, driven, first, n*3/4)
		r := insttest.Random(t)
		samples, known := features(dump(t, i), canary.New(i.Ring))
		got := learn(samples, r)
		t.Logf("%d participants of whom %d are known to be real; logistic %.3f, stumps %.3f; chance is below %.3f", len(samples)+known, known, got.logistic, got.stumps, got.bound())
		if got.logistic > got.bound() || got.stumps > got.bound() {
			t.Errorf("a classifier tells canaries")
		}
	})
}

// month is four weeks of one staff member's work, with an import of new people in the
// middle and one of all in the end, in which some have moved.
func month(t *testing.T, i *installation.Installation, driven *clock.Driven, first time.Time, n int64) {
	t.Helper()
	list := insttest.People(seed, int(n))
	model := workday.Default()
	for day := range 20 {
		midnight := workday.Midnight(first, day)
		callers := model.Day(seed, 0, day, n)
		for _, c := range callers[:min(len(callers), insttest.Soak(8, 200))] {
			driven.Set(midnight.Add(c.At))
			if s := insttest.Caseworker(t, i); !population.Gap(seed, c.Place, 0.2) {
				serve(t, i, s, &list[c.Place], c.What)
			}
		}
		if day == 10 {
			load(t, i, people(t, n, n*4/3), register.ImportOptions{Density: 0.2})
		}
	}
	load(t, i, moved(t, people(t, 0, n*4/3)), register.ImportOptions{Density: 0.2})
}

// moved is a file with another address for every thirtieth.
func moved(t *testing.T, content []byte) []byte {
	t.Helper()
	lines := bytes.SplitAfter(content, []byte("\n"))
	for at := 0; at+1 < len(lines); at += 30 {
		var row map[string]any
		if err := json.Unmarshal(lines[at], &row); err != nil {
			t.Fatal(err)
		}
		row["postal_code"], row["address"] = "1000005", "東京都千代田区丸の内１丁目９番"
		var err error
		if lines[at], err = json.Marshal(row); err != nil {
			t.Fatal(err)
		}
		lines[at] = append(lines[at], '\n')
	}
	return bytes.Join(lines, nil)
}

// serve is what is done for one caller.
func serve(t *testing.T, i *installation.Installation, s access.Session, p *population.Person, what workday.What) {
	t.Helper()
	who, why := gate.Who{Ref: p.Ref}, gate.Why{Purpose: "enquiry", Case: "C-1"}
	var err error
	switch what {
	case workday.CheckOnly:
		_, err = i.Gate.Check(t.Context(), s, gate.CheckRequest{Who: who, Why: why, Field: field.Birth, Claim: p.Birth})
	case workday.Form:
		_, err = i.Gate.Change(t.Context(), s, gate.ChangeRequest{Who: who, Why: gate.Why{Purpose: "change", Case: "C-1"}, Values: map[field.Field]string{field.Email: "new@example.jp"}})
	default:
		_, err = i.Gate.Read(t.Context(), s, gate.ReadRequest{Who: who, Why: why, Fields: field.SetOf(field.Name, field.Address)})
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestBadPlanting: what tells canaries is found, in plantings that were done badly.
func TestBadPlanting(t *testing.T) {
	insttest.Each(t, func(t *testing.T, engine string) {
		i := insttest.Open(t, insttest.New(t, engine))
		n := int64(insttest.Soak(1000, 20_000))
		marks := canary.New(i.Ring)
		every := func(row int64, id uuid.UUID) uuid.UUID { return marks.Of(id) }
		load(t, i, people(t, 0, n), register.ImportOptions{})
		load(t, i, people(t, n, n*5/4), register.ImportOptions{Name: every})
		told(t, i, "appended by an import of their own")
	})
	insttest.Each(t, func(t *testing.T, engine string) {
		i := insttest.Open(t, insttest.New(t, engine))
		marks := canary.New(i.Ring)
		lines := strings.SplitAfter(string(people(t, 0, int64(insttest.Soak(1200, 20_000)))), "\n")
		for at := range lines {
			if at%5 == 4 { // without the award
				if from := strings.Index(lines[at], `,"award_kind"`); from > 0 {
					to := from + strings.Index(lines[at][from:], `"award_annual_yen":`)
					rest := lines[at][to:]
					lines[at] = lines[at][:from] + rest[strings.IndexAny(rest, ",}"):]
				}
			}
		}
		load(t, i, []byte(strings.Join(lines, "")), register.ImportOptions{Name: func(row int64, id uuid.UUID) uuid.UUID {
			if row%5 == 0 {
				return marks.Of(id)
			}
			return id
		}})
		told(t, i, "without awards")
	})
}

func told(t *testing.T, i *installation.Installation, how string) {
	t.Helper()
	samples, _ := features(dump(t, i), canary.New(i.Ring))
	got := learn(samples, rand.New(rand.NewPCG(1, 1)))
	t.Logf("%s: logistic %.3f, stumps %.3f; chance is below %.3f", how, got.logistic, got.stumps, got.bound())
	if max(got.logistic, got.stumps) <= got.bound() {
		t.Errorf("canaries %s aren't told", how)
	}
}
