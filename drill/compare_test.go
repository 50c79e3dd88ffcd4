package drill

import (
	"bytes"
	"errors"
	"fmt"
	"hash/maphash"
	"strings"
	"testing"

	"azekura/incident"
	"azekura/population"
	"azekura/register/field"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
)

func TestCompare(t *testing.T) {
	name, birth := field.SetOf(field.Name), field.SetOf(field.Birth)
	existence := field.SetOf(field.Existence)
	for _, c := range []struct {
		what                 string
		stolen, exposed, own field.Set
		want                 verdict
	}{
		{what: "nothing"},
		{what: "alike", stolen: name, exposed: name},
		{what: "a person missing", stolen: name, want: verdict{missed: []int32{0}}},
		{what: "a field missing", stolen: name | birth, exposed: name, want: verdict{missed: []int32{0}}},
		{what: "whoever reads knows that there is a record", stolen: name | existence, exposed: name},
		{what: "existence of nobody seen", stolen: existence, want: verdict{missed: []int32{0}}},
		{what: "recorded, not received", exposed: name, want: verdict{over: 1}},
		{what: "a field not received", stolen: birth, exposed: name | birth, want: verdict{over: 1}},
		{what: "own work", exposed: name, own: name, want: verdict{own: 1}},
		{what: "own work and more", exposed: name | birth, own: name, want: verdict{own: 1, over: 1}},
		{what: "own work and stolen", stolen: name, exposed: name | birth, own: birth, want: verdict{own: 1}},
	} {
		got := compare([]field.Set{c.stolen}, []field.Set{c.exposed}, []field.Set{c.own})
		if diff := cmp.Diff(c.want, got, cmp.AllowUnexported(verdict{})); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.what, diff)
		}
	}
}

func TestErrNamesThemAll(t *testing.T) {
	r := &Report{Missed: listed + 5, Log: Log{Verified: true}}
	for i := range listed + 5 {
		r.missed = append(r.missed, fmt.Sprintf("p%d", i))
	}
	if err := r.Err(); err == nil || !strings.Contains(err.Error(), "p99 and 5 more") {
		t.Errorf("it says %v", err)
	}
	r = &Report{problem: "event 3"}
	if err := r.Err(); err == nil || !strings.Contains(err.Error(), "event 3") {
		t.Errorf("it says %v", err)
	}
}

// small is the truth of a seed's first people, under pseudonyms of the test's.
func small(t testing.TB, n int) (*truth, []population.Person) {
	t.Helper()
	tr := &truth{seed: maphash.MakeSeed(), people: make([]known, n), byRef: map[string]int32{}, byID: map[uuid.UUID]int32{}}
	list := make([]population.Person, n)
	g := population.New(5)
	for i := range list {
		g.Next(&list[i])
		if err := tr.add(i, &list[i]); err != nil {
			t.Fatal(err)
		}
		tr.people[i].id = pseudonym(i)
		tr.byID[pseudonym(i)] = int32(i)
	}
	return tr, list
}

func pseudonym(i int) uuid.UUID { return uuid.UUID{6: 0x70, 8: 0x80, 15: byte(i + 1)} }

func TestTally(t *testing.T) {
	tr, people := small(t, 3)
	id := pseudonym(0).String()
	for _, c := range []struct {
		what, line string
		want       error
	}{
		{"a field", `{"participant":"` + id + `","fields":["number"],"values":{"number":"` + people[0].Number + `"}}`, nil},
		{"no proof", `{"participant":"` + id + `","fields":["number","existence"]}`, nil},
		{"with its ref", `{"participant":"` + id + `","ref":"A0000001","fields":["ref"]}`, nil},
		{"a count", `{"attempt":"sweep","tried":5}`, nil},
		{"another's ref", `{"participant":"` + id + `","ref":"A0000002","fields":["ref"]}`, errDifferent},
		{"nobody's ref", `{"participant":"` + id + `","ref":"A0000009","fields":["ref"]}`, errUnknown},
		{"another's number", `{"participant":"` + id + `","fields":["number"],"values":{"number":"` + people[1].Number + `"}}`, errDifferent},
		{"another's mask", `{"participant":"` + id + `","fields":["mask"],"mask":{"birth":"1066"}}`, errDifferent},
		{"none where there is one", `{"participant":"` + id + `","fields":["ref"],"none":["number"]}`, errDifferent},
		{"nobody", `{"participant":"` + pseudonym(9).String() + `","fields":["number"]}`, errUnknown},
		{"no pseudonym", `{"participant":"A0000001","fields":["number"]}`, errMalformed},
		{"no field", `{"participant":"` + id + `"}`, errMalformed},
		{"no such field", `{"participant":"` + id + `","fields":["secret"]}`, errMalformed},
		{"told and none", `{"participant":"` + id + `","fields":["email"],"none":["email"]}`, errMalformed},
		{"no such key", `{"participant":"` + id + `","fields":["name"],"more":1}`, errMalformed},
		{"a bad attempt", `{"attempt":"S W","tried":1}`, errMalformed},
		{"less than nothing", `{"tried":-1}`, errMalformed},
		{"not JSON", `{"participant"`, errMalformed},
		{"two on a line", `{"tried":1}{"tried":2}`, errMalformed},
	} {
		a := &tally{stolen: make([]field.Set, 3)}
		if err := a.take(tr, []byte(c.line)); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, not %v", c.what, err, c.want)
		}
	}
}

func TestTallyIsReadToItsEnd(t *testing.T) {
	tr, _ := small(t, 3)
	line := func(i int) string { return `{"participant":"` + pseudonym(i).String() + `","fields":["name"]}` + "\n" }
	file := line(0) + strings.Repeat("x", 3*maxLine) + "\n\n" + line(1) + `{"tried":9}` + "\n" + strings.TrimSpace(line(2))
	a, err := tr.readTally(strings.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	name := field.SetOf(field.Name)
	if diff := cmp.Diff([]field.Set{name, name, name}, a.stolen); diff != "" {
		t.Errorf("stolen (-want +got):\n%s", diff)
	}
	if a.unmatched != (Unmatched{Lines: 1, Malformed: 1}) || a.attempts[0].Tried != 9 || a.attempts[0].Released != 3 {
		t.Errorf("unmatched %+v, attempts %+v", a.unmatched, a.attempts)
	}
}

func TestAttemptsAreBounded(t *testing.T) {
	tr, _ := small(t, 1)
	var file strings.Builder
	for i := range 100 {
		fmt.Fprintf(&file, `{"attempt":"a%d","tried":1}`+"\n", i)
	}
	a, err := tr.readTally(strings.NewReader(file.String()))
	if err != nil || len(a.attempts) != maxAttempts || a.unmatched.Malformed != 100-maxAttempts {
		t.Errorf("%d attempts, unmatched %+v (%v)", len(a.attempts), a.unmatched, err)
	}
}

func FuzzTally(f *testing.F) {
	tr, _ := small(f, 2)
	f.Add([]byte(`{"participant":"` + pseudonym(0).String() + `","fields":["name"],"none":["email"],"mask":{"birth":"1950"}}`))
	f.Add([]byte(`{"attempt":"sweep","tried":4}` + "\n" + `{`))
	f.Fuzz(func(t *testing.T, file []byte) {
		a, err := tr.readTally(bytes.NewReader(file))
		if err != nil {
			t.Fatal(err)
		}
		if len(a.stolen) != 2 || len(a.attempts) > maxAttempts {
			t.Errorf("%d people, %d attempts", len(a.stolen), len(a.attempts))
		}
		if u := a.unmatched; u.Lines != u.Malformed+u.Unknown+u.Different {
			t.Errorf("unmatched doesn't add up: %+v", u)
		}
	})
}

func TestExposureIsRead(t *testing.T) {
	tr, _ := small(t, 2)
	csv := "participant,fields,openings,first,last\n" + pseudonym(1).String() + ",name existence mask,2,x,y\n" + pseudonym(9).String() + ",name,1,x,y\n"
	a := &answer{}
	n, err := a.read(tr, strings.NewReader(csv))
	if err != nil || n != 2 || a.strange != 1 || a.exposed[1] != field.SetOf(field.Name, field.Existence, field.Mask) || a.exposed[0] != 0 {
		t.Errorf("%d rows, %+v (%v)", n, a, err)
	}
	for _, bad := range []string{"", "who,what\n", "participant,fields\nx,name\n", "participant,fields\n" + pseudonym(1).String() + ",secrets\n"} {
		if _, err := (&answer{}).read(tr, strings.NewReader(bad)); err == nil {
			t.Errorf("%q is taken for an exposure", bad)
		}
	}
}

func TestTable(t *testing.T) {
	all := field.SetOf(field.All()...)
	searched := field.SetOf(field.Existence, field.Mask)
	r := &Report{Scenario: June2015, Seed: 2015, Participants: 100_000, Seconds: 20.04,
		Attempts: []Attempt{{Name: "sweep", Tried: 80_040, Released: 80_000, StoppedBy: byEnd}, {Name: "search", Tried: 2_010, Released: 2_000}},
		Stolen:   incident.Count(map[field.Set]int64{all: 80_000, searched: 2_000}),
		Exposed:  incident.Count(map[field.Set]int64{all: 80_040, searched: 2_003}),
		OwnWork:  OwnWork{31}, Over: 43, Log: Log{Events: 90_000, Verified: true, Head: "cm9vdA=="}, Reference: The2015(), answer: 512e6}
	for _, in := range []incident.Language{incident.English, incident.Japanese} {
		var got bytes.Buffer
		if err := r.WriteTable(&got, in, ""); err != nil {
			t.Fatal(err)
		}
		golden(t, "table."+string(in), got.String())
	}
	r.Missed, r.Unmatched, r.Log.Verified = 2, &Unmatched{Lines: 3, Malformed: 1, Unknown: 2}, false
	var got bytes.Buffer
	if err := r.WriteTable(&got, incident.English, "drill-7"); err != nil {
		t.Fatal(err)
	}
	golden(t, "table.failed", got.String())
}

func TestProgressLines(t *testing.T) {
	for _, c := range []struct {
		p    Progress
		want string
	}{
		{Progress{Stage: Making, Count: 4000, Took: 2e9}, "4,000 people, 2,000 a second"},
		{Progress{Stage: Verifying, Count: 12}, "12 events"},
		{Progress{Stage: Serving, Count: 1}, ""},
		{Progress{Stage: Making}, ""},
	} {
		if got := c.p.Line(incident.English); got != c.want {
			t.Errorf("%+v is %q", c.p, got)
		}
	}
}
