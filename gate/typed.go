package gate

import (
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"azekura/register/value"
)

// typed remembers for an hour which numbers, refs and telephone numbers each staff
// member named, to tell who counts through them. The log holds none of them.
type typed struct {
	by kept[[]word] // staff, the oldest first
}

// word is what was named: what stands before its last digits, and these.
type word struct {
	head   string
	number uint64
	at     time.Time
}

const (
	// typedFor is how long a word is remembered, mostTyped how many of one person's, and
	// mostTypists how many persons': past them the oldest go.
	typedFor    = time.Hour
	mostTyped   = 256
	mostTypists = 20_000
	// neighbours is how far apart two are next to each other.
	neighbours = 5
)

// near tells whether a text is next to one that the same person named within the
// hour, and remembers it.
func (t *typed) near(staff string, form value.Form, now time.Time) (is bool) {
	switch form.Kind {
	case value.KindNumber, value.KindRef, value.KindPhone:
	default:
		return false
	}
	head := strings.TrimRight(form.Text, "0123456789")
	number, err := strconv.ParseUint(form.Text[len(head):], 10, 64)
	if err != nil || utf8.RuneCountInString(head) > 32 { // no digits, or too many
		return false
	}
	t.by.with(staff, now, func(list *[]word) {
		kept := 0
		for _, w := range *list {
			if now.Sub(w.at) > typedFor {
				continue
			}
			(*list)[kept] = w
			kept++
			apart := max(w.number, number) - min(w.number, number)
			is = is || w.head == head && apart > 0 && apart <= neighbours
		}
		*list = append((*list)[:kept], word{head, number, now})
		*list = (*list)[max(0, len(*list)-mostTyped):]
	})
	return is
}
