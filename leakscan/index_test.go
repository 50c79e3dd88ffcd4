package leakscan_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"azekura/internal/insttest"
	"azekura/leakscan"
	"azekura/leakscan/leaktest"
	"azekura/population"
	"azekura/register/normal"
)

// Every person must be found by every anchor, and their tags must match, whether
// the index has one shard a kind or many.
func TestEverybodyIsFound(t *testing.T) {
	n := insttest.Soak(3000, 1_000_000)
	key := leaktest.Key()
	x := leaktest.Open(t, leaktest.Build(t, 1, n, key, 2), key)
	g := population.New(1)
	if x.People() != int64(n) || x.Case() != "T-1" {
		t.Fatalf("%d people of case %s", x.People(), x.Case())
	}
	for i := range n {
		var p population.Person
		g.Next(&p)
		day := normal.AppendDays(nil, p.Birth)[0]
		check := func(kind leakscan.Kind, form []byte) {
			token := x.Keys().Token(kind, form)
			if len(x.Filter(kind, []uint64{token}, nil)) != 1 || !slices.Contains(x.Find(kind, token, nil), uint32(i)) {
				t.Fatalf("person %d isn't found by %s", i, kind)
			}
		}
		check(leakscan.Number, []byte(p.Number))
		name := normal.AppendNameLoose(nil, p.Name)
		check(leakscan.NameBirth, leakscan.AppendNameBirth(nil, name, day))
		if p.Kana != "" {
			check(leakscan.KanaBirth, leakscan.AppendNameBirth(nil, normal.AppendKana(nil, p.Kana), day))
		}
		for _, was := range p.Former {
			if was.Name != "" {
				check(leakscan.NameBirth, leakscan.AppendNameBirth(nil, normal.AppendNameLoose(nil, was.Name), day))
			}
		}
		r, ok := x.Person(uint32(i))
		if !ok || r.ID() != leaktest.ID(i) {
			t.Fatalf("person %d has another's pseudonym", i)
		}
		if m, past := x.Match(&r, leakscan.TagNumber, []byte(p.Number)); !m || past {
			t.Fatalf("the number of person %d doesn't match", i)
		}
		if m, _ := x.Match(&r, leakscan.TagLoose, name); !m {
			t.Fatalf("the name of person %d doesn't match", i)
		}
	}
	t.Logf("%d people, %.1f bytes a person", n, float64(x.Size())/float64(n))
	if x.Size() > 100*int64(n)+headAndTable {
		t.Errorf("%d bytes for %d people", x.Size(), n)
	}
}

const headAndTable = 64 << 10

// Twins at one address share a telephone and more; people of one name and birth
// occur. How many share an anchor must be what a count of the people says.
func TestShared(t *testing.T) {
	const n = 20000
	key := leaktest.Key()
	x := leaktest.Open(t, leaktest.Build(t, 7, n, key, 2), key)
	counts := map[string]map[int]bool{}
	forms := map[string][]byte{}
	g := population.New(7)
	for i := range n {
		var p population.Person
		g.Next(&p)
		day := normal.AppendDays(nil, p.Birth)[0]
		names := []string{p.Name}
		for _, was := range p.Former {
			names = append(names, was.Name)
		}
		for _, name := range names {
			if name == "" {
				continue
			}
			form := leakscan.AppendNameBirth(nil, normal.AppendNameLoose(nil, name), day)
			if counts[string(form)] == nil {
				counts[string(form)], forms[string(form)] = map[int]bool{}, form
			}
			counts[string(form)][i] = true
		}
	}
	shared := 0
	for form, people := range counts {
		name := forms[form][:len(forms[form])-5]
		token := []uint64{x.Keys().Token(leakscan.NameBirth, forms[form])}
		if few, _ := x.FindAll(leakscan.NameBirth, token, []int32{0}, 1, nil, nil); len(few) != 1 {
			t.Fatalf("%d people of an anchor, where one at most is asked for", len(few))
		}
		got := confirmed(x, x.Find(leakscan.NameBirth, x.Keys().Token(leakscan.NameBirth, forms[form]), nil), leakscan.TagLoose, name)
		if len(got) != len(people) {
			t.Fatalf("an anchor of %d people finds %d", len(people), len(got))
		}
		if len(people) > 1 {
			shared++
		}
	}
	if shared == 0 {
		t.Error("nobody shares a name and a birth: the test tests nothing")
	}
}

// confirmed are the people whose tags say so too.
func confirmed(x *leakscan.Index, people []uint32, tag leakscan.Tag, form []byte) []uint32 {
	return slices.DeleteFunc(people, func(p uint32) bool {
		r, ok := x.Person(p)
		match, _ := x.Match(&r, tag, form)
		return !ok || !match
	})
}

// The same people give the same bytes, however many workers there are.
func TestSameBytes(t *testing.T) {
	key := leaktest.Key()
	var files [][]byte
	for _, workers := range []int{1, 2, 5} {
		b, err := os.ReadFile(leaktest.Build(t, 3, 5000, key, workers))
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, b)
	}
	if !bytes.Equal(files[0], files[1]) || !bytes.Equal(files[0], files[2]) {
		t.Error("the number of workers shows in the index")
	}
}

// Many shards: the bits of a token must be cut the same way by both sides.
func TestShards(t *testing.T) {
	key := leaktest.Key()
	keys, err := leakscan.NewKeys(key)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "index")
	b, err := leakscan.NewBuilder(path, keys, leakscan.BuildOptions{Case: "T", People: 100_000_000})
	if err != nil {
		t.Fatal(err)
	}
	g := population.New(5)
	const n = 4000
	people := make([]population.Person, n)
	for i := range people {
		g.Next(&people[i])
		if err := b.Add(leaktest.Person(i, &people[i])); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.Finish(t.Context()); err != nil {
		t.Fatal(err)
	}
	x := leaktest.Open(t, path, key)
	for i := range people {
		got := x.Find(leakscan.Number, keys.Token(leakscan.Number, []byte(people[i].Number)), nil)
		if got = confirmed(x, got, leakscan.TagNumber, []byte(people[i].Number)); len(got) != 1 || got[0] != uint32(i) {
			t.Fatalf("the number of person %d finds %d people", i, len(got))
		}
	}
}

// TestBatches: what is asked in batches is what is asked one by one, and the filter
// is xorfilter's own.
func TestBatches(t *testing.T) {
	n := 2000
	key := leaktest.Key()
	x := leaktest.Open(t, leaktest.Build(t, 1, n, key, 2), key)
	g, random := population.New(1), insttest.Random(t)
	var tokens []uint64
	for range n {
		var p population.Person
		g.Next(&p)
		tokens = append(tokens, x.Keys().Token(leakscan.Number, []byte(p.Number)), x.Keys().Token(leakscan.Phone, []byte(normal.Phone(p.Phone))), random.Uint64())
	}
	for kind := range leakscan.Kinds {
		kind := leakscan.Kind(kind)
		var want, found, people []uint32
		var wantHits, hits, ends []int32
		for i, token := range tokens {
			if x.Contains(kind, token) {
				wantHits = append(wantHits, int32(i))
			}
		}
		if hits = x.Filter(kind, tokens, nil); !slices.Equal(hits, wantHits) {
			t.Errorf("%s: the filter lets %d through, by xorfilter %d", kind, len(hits), len(wantHits))
		}
		found, ends = x.FindAll(kind, tokens, hits, n, nil, nil)
		from := int32(0)
		for i, at := range hits {
			if want = x.Find(kind, tokens[at], nil); !slices.Equal(found[from:ends[i]], want) {
				t.Errorf("%s: %d people by batches, %d one by one", kind, ends[i]-from, len(want))
			}
			people, from = append(people, want...), ends[i]
		}
		for i, at := range x.Perches(people, nil) {
			if a, ok := x.PersonFrom(people[i], at); !ok || a.ID() != leaktest.ID(int(people[i])) {
				t.Errorf("%s: the record of person %d is another's", kind, people[i])
			}
		}
		if most, ends := x.FindAll(kind, tokens, hits, 1, nil, nil); len(most) > len(hits) || len(ends) != len(hits) {
			t.Errorf("%s: %d people of %d tokens, one of each at most", kind, len(most), len(hits))
		}
	}
	if got := x.Perches([]uint32{uint32(n), 1 << 31}, nil); len(got) != 2 {
		t.Errorf("%d perches for people who aren't there", len(got))
	}
}

func TestNobody(t *testing.T) {
	key := leaktest.Key()
	x := leaktest.Open(t, leaktest.Build(t, 1, 0, key, 1), key)
	if got := x.Find(leakscan.Number, 1, nil); got != nil {
		t.Errorf("an empty index finds %d people", len(got))
	}
	if hits := x.Filter(leakscan.Number, []uint64{0, 1, 1 << 63}, nil); len(hits) != 0 {
		t.Error("an empty index lets tokens through")
	}
}

func TestAnotherFileIsRefused(t *testing.T) {
	key := leaktest.Key()
	keys, _ := leakscan.NewKeys(key)
	whole, err := os.ReadFile(leaktest.Build(t, 1, 500, key, 1))
	if err != nil {
		t.Fatal(err)
	}
	refused := func(name string, content []byte, k *leakscan.Keys) {
		path := filepath.Join(t.TempDir(), "x")
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		if x, err := leakscan.Open(path, k); !errors.Is(err, leakscan.ErrIndex) {
			t.Errorf("%s: %v", name, err)
			if err == nil {
				x.Close()
			}
		}
	}
	other, _ := leakscan.NewKeys(leaktest.Key())
	refused("another case's key", whole, other)
	random := rand.New(rand.NewPCG(1, 1))
	for range 200 {
		altered := bytes.Clone(whole)
		at := random.IntN(len(altered))
		altered[at] ^= 1 << random.IntN(8)
		refused(fmt.Sprintf("bit of byte %d turned", at), altered, keys)
		refused(fmt.Sprintf("cut at %d", at), whole[:at], keys)
	}
	refused("longer", append(bytes.Clone(whole), 0), keys)
}

// With the key destroyed, the index tells nothing: all numbers that exist are
// tried against the tables under other keys, and find no more than chance does.
func TestNumbersWithoutTheKey(t *testing.T) {
	n, tries := 2000, insttest.Soak(200_000, 100_000_000)
	key := leaktest.Key()
	x := leaktest.Open(t, leaktest.Build(t, 1, n, key, 1), key)
	other, _ := leakscan.NewKeys(leaktest.Key())
	g := population.New(1)
	found := 0
	try := func(number []byte) {
		token := other.Token(leakscan.Number, number)
		if len(x.Filter(leakscan.Number, []uint64{token}, nil)) == 1 && len(x.Find(leakscan.Number, token, nil)) > 0 {
			found++
		}
	}
	for range n { // theirs, which a thief who has the register would try
		var p population.Person
		g.Next(&p)
		try([]byte(p.Number))
	}
	for i := range tries {
		try(fmt.Appendf(nil, "%010d", i))
	}
	if found > 5+tries/100_000 {
		t.Errorf("%d numbers of %d are found without the key", found, n+tries)
	}
	raw, err := os.ReadFile(leaktest.Build(t, 1, n, key, 1))
	if err != nil {
		t.Fatal(err)
	}
	g = population.New(1)
	for range n {
		var p population.Person
		g.Next(&p)
		for _, secret := range []string{p.Number, p.Name, p.Kana, p.Phone} {
			if len(secret) > 5 && bytes.Contains(raw, []byte(secret)) {
				t.Fatal("the index holds a person's data in the clear")
			}
		}
	}
}

// Rows of the index are bounded by what the file holds, whatever it says: here
// with a head and a sum that are right, as only who has the key could make them.
func FuzzIndex(f *testing.F) {
	key := make([]byte, leakscan.KeySize)
	keys, _ := leakscan.NewKeys(key)
	whole, err := os.ReadFile(leaktest.Build(f, 1, 40, key, 1))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(uint32(4096), uint64(0xffffffffffffffff))
	f.Add(uint32(len(whole)-64), uint64(1<<40))
	path := filepath.Join(f.TempDir(), "x")
	f.Fuzz(func(t *testing.T, at uint32, to uint64) {
		altered := bytes.Clone(whole)
		if int(at)+8 <= len(altered) {
			binary.LittleEndian.PutUint64(altered[at:], to)
		}
		leakscan.Reseal(altered, keys)
		if err := os.WriteFile(path, altered, 0o600); err != nil {
			t.Fatal(err)
		}
		x, err := leakscan.Open(path, keys)
		if err != nil {
			return
		}
		defer x.Close()
		var hits []int32
		for i := range uint64(200) {
			for kind := range leakscan.Kinds {
				token := i * 0x9E3779B97F4A7C15
				hits = x.Filter(leakscan.Kind(kind), []uint64{token}, hits[:0])
				x.Find(leakscan.Kind(kind), token, nil)
			}
			if r, ok := x.Person(uint32(i)); ok {
				x.Match(&r, leakscan.TagName, []byte("x"))
			}
		}
	})
}

func TestAbandonedLeavesNothing(t *testing.T) {
	keys, _ := leakscan.NewKeys(leaktest.Key())
	dir := t.TempDir()
	b, err := leakscan.NewBuilder(filepath.Join(dir, "x"), keys, leakscan.BuildOptions{Case: "T"})
	if err != nil {
		t.Fatal(err)
	}
	g := population.New(1)
	for i := range 2000 {
		var p population.Person
		g.Next(&p)
		if err := b.Add(leaktest.Person(i, &p)); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.Abandon(); err != nil {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	b, err = leakscan.NewBuilder(filepath.Join(dir, "y"), keys, leakscan.BuildOptions{Case: "T"})
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Finish(ctx); err == nil {
		t.Log("finished before it looked") // nobody was in it
	}
	left, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range left {
		if e.Name() != "y" {
			t.Errorf("%s is left", e.Name())
		}
	}
}
