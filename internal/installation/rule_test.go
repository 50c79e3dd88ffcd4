package installation

import (
	"strings"
	"testing"
	"time"
)

// TestFreezeRule: a log ends by its rule when its year is over or its size is
// reached, and not before.
func TestFreezeRule(t *testing.T) {
	first := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	last, next := time.Date(2026, 12, 31, 23, 59, 59, 0, time.UTC), time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)
	yearly, sized := &FreezeRule{Yearly: true}, &FreezeRule{Events: 1000}
	for name, c := range map[string]struct {
		rule *FreezeRule
		size int64
		now  time.Time
		want string
	}{
		"none":              {nil, 1 << 40, next, ""},
		"neither":           {&FreezeRule{}, 1 << 40, next, ""},
		"the year goes on":  {yearly, 1 << 40, last, ""},
		"the year is over":  {yearly, 1, next, "the year 2026 is over"},
		"an empty log":      {yearly, 0, next, ""},
		"not that many yet": {sized, 999, next, ""},
		"that many":         {sized, 1000, last, "it has 1000 events"},
	} {
		if got := c.rule.due(c.size, first, c.now).Error(); !strings.Contains(got, c.want) || (got == "") != (c.want == "") {
			t.Errorf("%s: %q", name, got)
		}
	}
}
