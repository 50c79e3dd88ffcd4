package runs

import (
	"context"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"time"

	"azekura/internal/screen"
)

// Quantile is the value that a share of the outcomes doesn't pass: the nearest rank.
func Quantile(list []Outcome, share float64, of func(Outcome) int64) int64 {
	values := make([]int64, len(list))
	for i, o := range list {
		values[i] = of(o)
	}
	slices.Sort(values)
	return values[min(len(values)-1, max(0, int(math.Ceil(share*float64(len(values))))-1))]
}

func stolen(o Outcome) int64 { return o.Stolen }

// Write says what many runs came to.
func Write(w io.Writer, s Setup, list []Outcome) error {
	var openings, refused, clean, never int64
	contained, wronged := 0, 0
	for _, o := range list {
		openings, refused, clean, never = openings+o.Openings, refused+o.Refused, clean+o.AtClean, never+o.NeverDone
		contained += o.Contained
		wronged += o.Wronged
	}
	_, err := fmt.Fprintf(w, "stolen in %s runs in memory, before the real judges (no database, no HTTP):\n"+
		"  median %s, 90 %% %s, 99 %% %s, 99.9 %% %s, most %s participants\n"+
		"honest work: %s openings, %.2f in 10,000 refused, %.2f at PCs that the thief didn't hold then, %.2f never done\n"+
		"infected PCs contained: %.1f of %d on average, the slowest of a run after %.1f h (median), %.1f h (99 %%); staff contained at PCs that the thief didn't hold: %d\n"+
		"the model: %d staff, %d days, %s people, %s known from elsewhere, a quiet step each %s and PC, then %.0f fast searches a second;\n  %s\n",
		screen.Grouped(int64(len(list))), screen.Grouped(Quantile(list, 0.5, stolen)), screen.Grouped(Quantile(list, 0.9, stolen)),
		screen.Grouped(Quantile(list, 0.99, stolen)), screen.Grouped(Quantile(list, 0.999, stolen)), screen.Grouped(Quantile(list, 1, stolen)),
		screen.Grouped(openings), perTenK(refused, openings), perTenK(clean, openings), perTenK(never, openings), float64(contained)/float64(len(list)), s.Infected,
		hours(Quantile(list, 0.5, slowest)), hours(Quantile(list, 0.99, slowest)), wronged,
		s.Staff, s.Days, screen.Grouped(s.People), screen.Grouped(int64(s.Known)), s.Between, s.Fast, s.Model)
	return err
}

func slowest(o Outcome) int64 { return int64(o.Slowest) }
func hours(n int64) float64   { return time.Duration(n).Hours() }

func perTenK(n, of int64) float64 { return 1e4 * float64(n) / float64(max(1, of)) }

// Point is one of the curve: the median stolen at a speed, with so many PCs, by a thief
// whom only budgets hold: one who knows enough of everybody to answer as they would.
type Point struct {
	PCs    int   `json:"pcs"`
	Hourly int   `json:"looks_an_hour"` // at the users' own cases, at each PC
	Stolen int64 `json:"stolen"`
}

// Curve sweeps the attacker's speed and how many PCs it has.
func Curve(ctx context.Context, s Setup, seed uint64, tell func(done, total int)) ([]Point, error) {
	var points []Point
	speeds, counts := []int{2, 10, 20, 60, 200}, []int{1, 5, 10, 31}
	for _, pcs := range counts {
		if pcs > s.Staff {
			continue
		}
		for _, hourly := range speeds {
			one := s
			one.Infected, one.Between, one.Fast, one.Rides, one.Bound, one.Known = pcs, time.Hour/time.Duration(hourly), 0, true, false, int(s.People)
			list, err := Many(ctx, one, seed, 3, func(int) {})
			if err != nil {
				return nil, err
			}
			points = append(points, Point{pcs, hourly, Quantile(list, 0.5, stolen)})
			tell(len(points), len(speeds)*len(counts))
		}
	}
	return points, nil
}

// WriteCurve writes it as a table.
func WriteCurve(w io.Writer, points []Point) error {
	var text strings.Builder
	text.WriteString("stolen (median of 3 seeds) by who knows everybody from elsewhere and uses the users' own cases, where no policy binds these to a search, by PCs and looks an hour at each:\n")
	for i, p := range points {
		if i == 0 || points[i-1].PCs != p.PCs {
			fmt.Fprintf(&text, "\n  %3d PCs", p.PCs)
		}
		fmt.Fprintf(&text, "   %d: %s", p.Hourly, screen.Grouped(p.Stolen))
	}
	_, err := fmt.Fprintln(w, text.String())
	return err
}

// SVG draws the curve, on two logarithmic axes, with the limit.
func SVG(w io.Writer, points []Point, limit int64) error {
	const wide, high, left, foot = 640, 400, 70, 50
	x := func(hourly int) float64 { return left + math.Log10(float64(hourly))/math.Log10(250)*(wide-left-90) }
	y := func(n int64) float64 { return high - foot - math.Log10(float64(max(1, n)))/6*(high-foot-20) }
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="12">`+"\n", wide, high)
	b.WriteString("<title>Participants stolen in the users' own cases, by the attacker's speed and PCs</title>\n<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n")
	for n := int64(1); n <= 1_000_000; n *= 10 {
		fmt.Fprintf(&b, `<path d="M%d %.1fH%d" stroke="#ddd"/><text x="%d" y="%.1f" text-anchor="end">%s</text>`+"\n", left, y(n), wide-90, left-6, y(n)+4, screen.Grouped(n))
	}
	fmt.Fprintf(&b, `<path d="M%d %.1fH%d" stroke="#c00" stroke-dasharray="4"/><text x="%d" y="%.1f" fill="#c00">limit</text>`+"\n", left, y(limit), wide-90, wide-84, y(limit)+4)
	fmt.Fprintf(&b, `<text x="%d" y="%d">looks an hour at each PC</text>`+"\n", left+140, high-8)
	for i := 0; i < len(points); {
		line, last := "", points[i]
		for pcs := points[i].PCs; i < len(points) && points[i].PCs == pcs; i++ {
			last = points[i]
			line += fmt.Sprintf(" %.1f,%.1f", x(last.Hourly), y(last.Stolen))
			fmt.Fprintf(&b, `<text x="%.1f" y="%d" text-anchor="middle">%d</text>`+"\n", x(last.Hourly), high-foot+18, last.Hourly)
		}
		fmt.Fprintf(&b, `<polyline fill="none" stroke="#0017c1" points="%s"/><text x="%.1f" y="%.1f">%d PCs</text>`+"\n", strings.TrimSpace(line), x(last.Hourly)+6, y(last.Stolen)+4, last.PCs)
	}
	b.WriteString("</svg>\n")
	_, err := io.WriteString(w, b.String())
	return err
}
