package workday

import (
	"reflect"
	"slices"
	"testing"
	"time"
)

// TestDays: the parameters that are printed are those that hold.
func TestDays(t *testing.T) {
	m := Default()
	callers, mistyped, most := 0, 0, 0
	further, hasty, last, calls := 0, 0, 0, 0
	for staff := range 40 {
		for day := range 10 {
			list := m.Day(7, staff, day, 1000)
			if !reflect.DeepEqual(list, m.Day(7, staff, day, 1000)) {
				t.Fatal("the same day twice isn't the same")
			}
			if len(list) < m.Least || len(list) > m.Most {
				t.Errorf("%d callers in a day", len(list))
			}
			if !slices.IsSortedFunc(list, func(a, b Caller) int { return int(a.At - b.At) }) {
				t.Error("callers aren't in the order of their times")
			}
			if first, last := list[0].At, list[len(list)-1].At; first < time.Duration(m.Opens)*time.Minute || last > time.Duration(m.Closes)*time.Minute {
				t.Errorf("callers from %s to %s", first, last)
			}
			most = max(most, len(list))
			for _, c := range list {
				callers++
				if c.Mistyped {
					mistyped++
				}
				for n, is := range map[*int]bool{&calls: c.What == Enquiry, &further: c.Further, &hasty: c.Hasty, &last: c.Last} {
					if is {
						*n++
					}
				}
				if c.Place < 0 || c.Place >= 1000 {
					t.Fatal("a caller who isn't in the register")
				}
			}
		}
	}
	if mean := float64(callers) / 400; mean < 35 || mean > 75 {
		t.Errorf("%.1f callers a day", mean)
	}
	if share := float64(mistyped) / float64(callers); share < 0.06 || share > 0.1 {
		t.Errorf("%.3f of the searches are mistyped", share)
	}
	share := func(what string, of, all int, want float64) {
		if got := float64(of) / float64(all); got < 0.8*want || got > 1.2*want {
			t.Errorf("%s: %.4f", what, got)
		}
	}
	share("another field", further, calls, m.Further)
	share("asked for before a touch", hasty, further, m.Hasty)
	share("looked for in the last one's case", last, callers, m.Last)
	if most < 90 {
		t.Errorf("the busiest day has %d callers", most)
	}
}

func TestSpread(t *testing.T) {
	list := Spread(2015, 331, 31, 14)
	if len(list) != 31 || list[0].Day != 0 || list[0].At != 10*time.Hour+49*time.Minute {
		t.Errorf("%d PCs, the first %+v", len(list), list[0])
	}
	seen := map[int]bool{}
	for _, one := range list {
		if seen[one.Staff] || one.Day > 7 {
			t.Errorf("%+v", one)
		}
		seen[one.Staff] = true
	}
	if list[30].Day < 6 {
		t.Errorf("the last is taken on day %d already", list[30].Day)
	}
	if got := Spread(1, 3, 31, 1); len(got) != 3 {
		t.Errorf("%d of 3 PCs", len(got))
	}
}

func TestMidnight(t *testing.T) {
	monday := Monday(time.Date(2026, 1, 4, 23, 0, 0, 0, Japan))
	if monday.Weekday() != time.Monday || monday.Day() != 5 {
		t.Errorf("the Monday is %s", monday)
	}
	for n, want := range map[int]time.Weekday{0: time.Monday, 4: time.Friday, 5: time.Monday, 13: time.Thursday} {
		if got := Midnight(monday, n).Weekday(); got != want {
			t.Errorf("day %d is a %s", n, got)
		}
	}
}
