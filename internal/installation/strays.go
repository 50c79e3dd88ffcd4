package installation

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"

	"azekura/auditlog"
)

// Strays are what a sweep of shared folders found and nobody was told of yet: numbers
// only, since a folder's name may name somebody.
type Strays struct {
	Case   string `json:"case"`
	Files  int64  `json:"files"`
	People int64  `json:"people"`
	Report string `json:"report"` // SHA-256 of the report, in hexadecimal
}

// ErrStrays refuses a report of stray copies.
var ErrStrays = errors.New("this isn't a report of stray copies")

var hexSum = regexp.MustCompile(`^[0-9a-f]{64}$`)

// RaiseStrays records an alarm for stray copies, which is sent where alarms go.
func (i *Installation) RaiseStrays(ctx context.Context, s Strays) (event int64, err error) {
	if s.Files < 1 || s.People < 1 || !hexSum.MatchString(s.Report) {
		return 0, fmt.Errorf("%w: it takes files, people and the report's sum", ErrStrays)
	}
	key, err := i.Ring.Case(ctx, i.DB, s.Case)
	clear(key)
	if err != nil {
		return 0, err
	}
	detail, err := json.Marshal(map[string]any{"rule": "stray-copies", "severity": "high", "files": s.Files, "people": s.People, "report": s.Report,
		"says": fmt.Sprintf("%d files in shared folders hold data of people of the register (%d, by file), which no sweep saw before; its report says where and whose files they are", s.Files, s.People)})
	if err != nil {
		return 0, err
	}
	r, err := i.Log.RecordOne(ctx, auditlog.Event{Action: auditlog.Alarm, Outcome: "found", Purpose: "leak-watch", Case: s.Case, Detail: detail})
	if err != nil {
		return 0, err
	}
	return r.Index(), nil
}
