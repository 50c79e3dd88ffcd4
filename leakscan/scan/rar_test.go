package scan_test

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"azekura/leakscan/leaktest"
	"azekura/leakscan/scan"
)

// rarStored is a RAR archive (of the format of versions 2 to 4) with one member that
// is stored as it is: no free program packs the others.
func rarStored(name string, content []byte) []byte {
	var b bytes.Buffer
	block := func(head []byte) {
		sum := uint16(crc32.ChecksumIEEE(head))
		b.Write(binary.LittleEndian.AppendUint16(nil, sum))
		b.Write(head)
	}
	le := binary.LittleEndian
	b.WriteString("Rar!\x1a\x07\x00")
	block(append([]byte{0x73, 0, 0, 13, 0}, make([]byte, 6)...))
	head := []byte{0x74, 0, 0x80}
	head = le.AppendUint16(head, uint16(32+len(name)))
	head = le.AppendUint32(head, uint32(len(content)))
	head = le.AppendUint32(head, uint32(len(content)))
	head = append(head, 3) // Unix
	head = le.AppendUint32(head, crc32.ChecksumIEEE(content))
	head = le.AppendUint32(head, 0x58290000) // a day
	head = append(head, 20, 0x30)
	head = le.AppendUint16(head, uint16(len(name)))
	head = le.AppendUint32(head, 0o100644)
	block(append(head, name...))
	b.Write(content)
	block([]byte{0x7B, 0, 0x40, 7, 0})
	return b.Bytes()
}

// TestRAR: people in a stored member are found, and an archive that RAR itself packed
// (MIT, from the tests of unrar-js) is unpacked, its text read and its picture named;
// cut short, either is not "parsed".
func TestRAR(t *testing.T) {
	x := indexOf(t, 2000)
	list, truth := leaktest.Leak(leaktest.Style{Format: "csv"}, people(seed, 50), leaktest.Own(50))
	stored := rarStored("list.csv", list)
	path := write(t, t.TempDir(), "f.dat", stored)
	r := run(t, x, scan.Options{Paths: []string{path}})
	if n := r.Summary.People["A"]; n != len(truth) || ledger(t, r)[path+"|list.csv"].State != scan.Parsed {
		t.Errorf("%d of %d people; %v", n, len(truth), ledger(t, r))
	}
	packed, err := os.ReadFile("testdata/packed.rar")
	if err != nil {
		t.Fatal(err)
	}
	path = write(t, t.TempDir(), "f.dat", packed)
	e := ledger(t, run(t, x, scan.Options{Paths: []string{path}}))
	if e[path].Format != "rar" || e[path].State != scan.Parsed || e[path+"|testContent/hello.txt"].State != scan.Parsed ||
		e[path+"|testContent/hello.txt"].Records != 2 || e[path+"|testContent/pug.jpg"].Format != "image" {
		t.Errorf("%+v", e)
	}
	for name, raw := range map[string][]byte{"stored": stored, "packed": packed} {
		for _, share := range []int{20, 50, 90} {
			path := write(t, t.TempDir(), "f.dat", raw[:len(raw)*share/100])
			if e := ledger(t, run(t, x, scan.Options{Paths: []string{path}}))[path]; e.State == scan.Parsed {
				t.Errorf("%s, cut at %d %%, is parsed", name, share)
			}
		}
	}
}

// TestRARCorpus: archives that RAR 4 and 5 packed (from libarchive's tests) are read:
// BLAKE2 sums, solid ones, names in Unicode and links; a member under a password is
// named and the one beside it read; what isn't whole is told by its reason.
func TestRARCorpus(t *testing.T) {
	x := indexOf(t, 10)
	type want struct {
		member  string
		state   scan.State
		records int64
	}
	for name, list := range map[string][]want{
		"rar5_blake2":                    {{"", scan.Parsed, 0}, {"|cebula.txt", scan.Parsed, 39}},
		"rar5_solid":                     {{"", scan.Parsed, 0}, {"|test.bin", scan.Unsupported, 0}, {"|test6.bin", scan.Unsupported, 0}},
		"rar5_hardlink":                  {{"", scan.Parsed, 0}, {"|file.txt", scan.Parsed, 1}, {"|hardlink.txt", scan.Parsed, 0}},
		"rar_unicode":                    {{"", scan.Parsed, 0}, {"|表だよ/ファイル", scan.Parsed, 1}},
		"rar_encryption_partially":       {{"", scan.Parsed, 0}, {"|foo.txt", scan.Encrypted, 0}, {"|bar.txt", scan.Parsed, 1}},
		"rar_encryption_header":          {{"", scan.Encrypted, 0}},
		"rar5_readtables_overflow":       {{"", scan.Failed, 0}},
		"rar5_multiarchive_solid.part04": {{"", scan.Failed, 0}},
	} {
		for _, passwords := range [][]string{nil, {"wrong", "another"}} {
			path := filepath.Join("testdata", "libarchive", name+".rar")
			e := ledger(t, run(t, x, scan.Options{Paths: []string{path}, Passwords: passwords}))
			for _, w := range list {
				if got := e[path+w.member]; got.State != w.state || got.Records != w.records {
					t.Errorf("%s%s: %+v", name, w.member, got)
				}
			}
		}
	}
	path := filepath.Join("testdata", "libarchive", "rar5_multiarchive_solid.part04.rar")
	if e := ledger(t, run(t, x, scan.Options{Paths: []string{path}}))[path]; !strings.Contains(e.Reason, "volume") {
		t.Errorf("one volume of several: %q", e.Reason)
	}
}
