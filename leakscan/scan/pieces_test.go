package scan_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"azekura/internal/insttest"
	"azekura/leakscan"
	"azekura/leakscan/leaktest"
	"azekura/leakscan/scan"
)

// told is all that a result says, as it is written.
func told(t testing.TB, r *scan.Result) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := errors.Join(r.WriteFindings(&b), r.WriteLedger(&b)); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// heap fills a folder with large texts, among them such as have something odd at
// an end of a block.
func heap(t *testing.T, dir string, size int) {
	random := insttest.Random(t)
	register := people(seed, 3000)
	large := func(raw []byte) []byte { return bytes.Repeat(raw, 1+size/len(raw)) }
	for name, style := range map[string]leaktest.Style{"csv": {Format: "csv"}, "cp932": {Format: "csv", Encoding: "cp932"}, "quoted": {Format: "quoted", Encoding: "euc-jp"},
		"ndjson": {Format: "ndjson"}, "json": {Format: "json"}, "text": {Format: "text"}, "iso": {Format: "csv", Encoding: "iso-2022-jp"}, "utf16": {Format: "csv", Encoding: "utf-16le"}} {
		list, own := leaktest.Mixed(random, register, register[:10], 900)
		raw, _ := leaktest.Leak(style, list, own)
		write(t, dir, name, large(raw))
	}
	var numbers bytes.Buffer
	for i := range register {
		numbers.WriteString(register[i].Number + "\n")
	}
	ascii := large(numbers.Bytes())
	write(t, dir, "numbers", ascii)
	list, _ := leaktest.Leak(leaktest.Style{Format: "csv", Encoding: "cp932"}, register, leaktest.Own(len(register)))
	write(t, dir, "late", append(bytes.Clone(ascii), list...)) // its charset shows late
	broken := bytes.Clone(large(list))
	for range 300 {
		broken[random.IntN(len(broken))] = 0xFF
	}
	write(t, dir, "broken", broken)
	write(t, dir, "long", append(bytes.Repeat([]byte("x"), 3<<20), large(list)...))
	write(t, dir, "small.csv", list)
	write(t, dir, "empty", nil)
}

// inPieces does a scan as several processes would, and counts its stretches.
func inPieces(t testing.TB, x *leakscan.Index, dir string, stretch int) (r *scan.Result, stretches int) {
	t.Helper()
	files, err := scan.List(t.Context(), []string{dir})
	if err != nil {
		t.Fatal(err)
	}
	o := scan.Options{Workers: 2, Stretch: stretch}
	whole, err := scan.Do(t.Context(), x, o, files)
	if err != nil {
		t.Fatal(err)
	}
	done := map[[2]int][]byte{}
	for n, of := range whole {
		done[[2]int{n, -1}] = of.Result
		for k := len(of.More) - 1; k >= 0; k-- {
			part, err := scan.Do(t.Context(), x, o, of.More[k:k+1])
			if err != nil {
				t.Fatal(err)
			}
			done[[2]int{n, k}] = part[0].Result
			stretches++
		}
	}
	r, err = scan.Join(x, len(files), func(file, stretch int) ([]byte, error) { return done[[2]int{file, stretch}], nil })
	if err != nil {
		t.Fatal(err)
	}
	return r, stretches
}

// TestPieces: large texts cut at ends of records, done in any order and put together
// again, give the bytes of a scan in one go.
func TestPieces(t *testing.T) {
	x := indexOf(t, 3000)
	dir := t.TempDir()
	heap(t, dir, insttest.Soak(3<<20, 200<<20))
	want := told(t, run(t, x, scan.Options{Paths: []string{dir}, Workers: 2}))
	for _, stretch := range []int{1, 7, 64}[:insttest.Soak(1, 3)] {
		r, stretches := inPieces(t, x, dir, stretch)
		if !bytes.Equal(told(t, r), want) {
			t.Errorf("in stretches of %d MiB the result is another", stretch)
		}
		if stretches < 10 {
			t.Errorf("only %d stretches were cut", stretches)
		}
	}
}

// TestChanged: a file that was changed behind its cut is told, not mixed.
func TestChanged(t *testing.T) {
	x := indexOf(t, 100)
	dir := t.TempDir()
	path := write(t, dir, "list", bytes.Repeat([]byte("1234567890,a,b\n"), 300_000))
	files, err := scan.List(t.Context(), []string{dir})
	if err != nil {
		t.Fatal(err)
	}
	do := func(p scan.Piece) ([]scan.Piece, error) {
		came, err := scan.Do(t.Context(), x, scan.Options{Stretch: 1}, []scan.Piece{p})
		return came[0].More, err
	}
	more, err := do(files[0])
	if err != nil || len(more) < 2 {
		t.Fatalf("%d stretches: %v", len(more), err)
	}
	if err := os.Chtimes(path, time.Time{}, time.Unix(1, 0)); err != nil {
		t.Fatal(err)
	}
	if _, err := do(more[1]); !errors.Is(err, scan.ErrChanged) {
		t.Errorf("another time: %v", err)
	}
	more[1].Path = filepath.Join(dir, "gone")
	if _, err := do(more[1]); !errors.Is(err, scan.ErrChanged) {
		t.Errorf("gone: %v", err)
	}
}
