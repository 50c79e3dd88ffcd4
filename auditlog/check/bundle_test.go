package check

import (
	"bytes"
	"encoding/binary"
	"testing"
)

// FuzzBundle cuts what a server sends for a bundle: it is so many entries, and
// nothing else, or it is refused.
func FuzzBundle(f *testing.F) {
	f.Add([]byte("\x00\x01a\x00\x00\x00\x02bc"), 3, 2)
	f.Add([]byte("\xff\xffshort"), 1, 1)
	f.Add([]byte{}, 1, 1)
	f.Fuzz(func(t *testing.T, bundle []byte, entries, want int) {
		if entries < 1 || entries > width || want < 1 || want > entries {
			return
		}
		cut := cutBundle(bundle, entries, want)
		if cut == nil {
			return
		}
		if !bytes.HasPrefix(bundle, cut) {
			t.Fatal("it isn't the bundle's beginning")
		}
		var again []byte
		for rest, i := bundle, 0; i < entries; i++ {
			var entry []byte
			entry, rest = cutEntry(rest)
			again = append(binary.BigEndian.AppendUint16(again, uint16(len(entry))), entry...)
			if i == want-1 && !bytes.Equal(again, cut) {
				t.Fatal("it isn't so many entries")
			}
		}
		if !bytes.Equal(again, bundle) {
			t.Fatal("something lies behind the entries")
		}
	})
}
