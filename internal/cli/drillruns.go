package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"azekura/access/budget"
	"azekura/auditlog"
	"azekura/drill"
	"azekura/drill/runs"
	"azekura/drill/workday"
	"azekura/incident/rules"

	"github.com/spf13/cobra"
)

// maxRuns bounds what is kept of them.
const maxRuns = 100_000

// runMany holds drills in memory, and may draw the curve.
func runMany(cmd *cobra.Command, o drill.Options, n int, picture string, asJSON bool) error {
	if n > maxRuns {
		return fmt.Errorf("%w: up to %d runs", drill.ErrOptions, maxRuns)
	}
	if o.Days == 0 {
		return fmt.Errorf("%w: --runs is of days", drill.ErrOptions)
	}
	if o.Policy != "" {
		return fmt.Errorf("%w: the runs in memory have no policies; leave --runs out", drill.ErrOptions)
	}
	o.Theft = time.Minute
	if err := o.Check(); err != nil {
		return err
	}
	s := runs.Setup{Model: workday.Default(), People: o.People, Days: o.Days, Staff: o.Staff, Infected: o.Infected, Known: o.Known,
		Spares: o.Devices - o.Staff, Between: 3 * time.Minute, Fast: 200, Canaries: o.Canaries, Bound: true,
		Judges: func() []auditlog.Judge {
			return []auditlog.Judge{budget.New(), rules.New(rules.InForce(), runs.IsCanary)}
		}}
	bar := newProgress(cmd.ErrOrStderr(), "runs in memory")
	list, err := runs.Many(cmd.Context(), s, o.Seed, n, func(done int) { bar.at(int64(done), int64(n), "") })
	bar.end()
	if err != nil {
		return err
	}
	var points []runs.Point
	if picture != "" {
		if points, err = curve(cmd, s, o.Seed, picture); err != nil {
			return err
		}
	}
	w := cmd.OutOrStdout()
	if asJSON {
		return json.NewEncoder(w).Encode(map[string]any{"runs": list, "curve": points})
	}
	if err := runs.Write(w, s, list); err != nil || points == nil {
		return err
	}
	return runs.WriteCurve(w, points)
}

func curve(cmd *cobra.Command, s runs.Setup, seed uint64, picture string) ([]runs.Point, error) {
	bar := newProgress(cmd.ErrOrStderr(), "the curve")
	points, err := runs.Curve(cmd.Context(), s, seed, func(done, total int) { bar.at(int64(done), int64(total), "") })
	bar.end()
	if err != nil {
		return nil, err
	}
	f, err := os.Create(picture)
	if err != nil {
		return nil, fmt.Errorf("draw the curve: %w", err)
	}
	return points, errors.Join(runs.SVG(f, points, drill.Limit), f.Close())
}
