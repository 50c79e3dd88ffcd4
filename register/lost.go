package register

import (
	"encoding/json"
	"fmt"

	"azekura/auditlog"

	"github.com/google/uuid"
)

// Refill is the purpose of the system event after a refill: the log is as long
// again as it was, and the register isn't what it was.
const Refill = "refill"

// Lost is what such an event says that the register lacks since: an older backup
// holds none of it. The guard takes it for no tampering then, and nothing else.
type Lost struct {
	Changes []LostVersion `json:"changes,omitempty"`
	// Imports are those of whose rows some are lost.
	Imports []int64 `json:"imports,omitempty"`
}

// LostVersion is the version that a change wrote.
type LostVersion struct {
	Participant uuid.UUID `json:"participant"`
	Version     int64     `json:"version"`
	Event       int64     `json:"event"`
}

type lost struct {
	changes map[LostVersion]bool
	imports map[int64]bool
}

// replay takes such an event in. It runs before the register is used.
func (l *lost) replay(e auditlog.Event) error {
	var says Lost
	if err := json.Unmarshal(e.Detail, &says); err != nil {
		return fmt.Errorf("read what a refill found lost: %w", err)
	}
	if l.changes == nil {
		l.changes, l.imports = map[LostVersion]bool{}, map[int64]bool{}
	}
	for _, c := range says.Changes {
		l.changes[c] = true
	}
	for _, job := range says.Imports {
		l.imports[job] = true
	}
	return nil
}

// change tells whether the version that a change wrote is lost.
func (l *lost) change(e *auditlog.Event) bool {
	return l.changes[LostVersion{e.Participant, e.Fields[0].Version, e.Index}]
}
