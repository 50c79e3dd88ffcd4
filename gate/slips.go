package gate

import (
	"crypto/rand"
	"crypto/sha256"
	"slices"
	"strings"
	"time"

	"azekura/auditlog"
)

// slips remembers for an hour, of each staff member, the searches that a case refused
// since it was opened for another. Who then opens a case for that very search, which takes
// their key, made a slip of the pen; malware doesn't. A search is remembered by a hash
// under a salt of this process.
type slips struct {
	by   kept[[]slip] // staff
	salt string
}

type slip struct {
	what [sha256.Size]byte
	room string // the case that refused
}

const (
	slippedFor = time.Hour
	mostSlips  = 16
)

func newSlips() slips { return slips{keep[[]slip](mostTypists, slippedFor), rand.Text()} }

func (s *slips) hash(search string) [sha256.Size]byte {
	return sha256.Sum256([]byte(s.salt + "\n" + search))
}

// again remembers a search that was refused, and tells whether it was before, in the same
// case, and not made good.
func (s *slips) again(staff, room, search string, now time.Time) (is bool) {
	one := slip{s.hash(search), room}
	s.by.with(staff, now, func(list *[]slip) {
		if is = slices.Contains(*list, one); !is {
			*list = append(*list, one)
			*list = (*list)[max(0, len(*list)-mostSlips):]
		}
	})
	return is
}

// mended is the mark of a search that was refused before, in the cases which it names.
func (s *slips) mended(staff, search string, now time.Time) string {
	var rooms []string
	what := s.hash(search)
	s.by.see(staff, now, func(list *[]slip) {
		*list = slices.DeleteFunc(*list, func(one slip) bool {
			if one.what == what {
				rooms = append(rooms, one.room)
			}
			return one.what == what
		})
	})
	return markIf(rooms != nil, auditlog.Mends+strings.Join(rooms, ",")+`"`)
}
