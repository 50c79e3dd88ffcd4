package installation

import (
	"path/filepath"
	"testing"
	"time"

	"azekura/internal/clock"
)

func TestMadeUpGoesByItsClock(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "made-up")
	if err := MakeUp(t.Context(), dir, MadeUpOptions{People: 3, Seed: 1}); err != nil {
		t.Fatal(err)
	}
	// A drill's days lie in the past or to come; the log's events so far are of today.
	ahead := time.Now().AddDate(0, 0, 40).UTC().Truncate(time.Second)
	driven, err := CreateClock(dir, ahead)
	if err != nil {
		t.Fatal(err)
	}
	defer driven.Close()
	inst, err := OpenMadeUp(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer inst.Close()
	if now := inst.Log.Now(); !now.Equal(ahead) {
		t.Errorf("the installation's time is %s, not its clock's %s", now, ahead)
	}
	driven.Set(ahead.Add(time.Hour))
	staff, err := inst.Access.AddStaff(t.Context(), "s-1", "caseworker", "regional")
	if err != nil {
		t.Fatal(err)
	}
	if !staff.Added.Equal(ahead.Add(time.Hour)) {
		t.Errorf("an event's time is %s, not the clock's %s", staff.Added, ahead.Add(time.Hour))
	}
}

// TestRealGoesByTheMachine: a clock's file put into the folder of an installation
// whose people are real changes nothing, and none is made there.
func TestRealGoesByTheMachine(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "real")
	c := CreateOptions{Passphrase: []byte("a clock's test"), WorkFactor: 10}
	if _, err := Create(t.Context(), dir, c); err != nil {
		t.Fatal(err)
	}
	ahead := time.Now().AddDate(0, 0, 40)
	if _, err := CreateClock(dir, ahead); err == nil {
		t.Error("a clock was made for an installation whose people are real")
	}
	driven, err := clock.Create(filepath.Join(dir, clockFile), ahead)
	if err != nil {
		t.Fatal(err)
	}
	defer driven.Close()
	inst, err := Open(t.Context(), dir, func() ([]byte, error) { return []byte("a clock's test"), nil })
	if err != nil {
		t.Fatal(err)
	}
	defer inst.Close()
	if now := inst.Log.Now(); now.After(time.Now()) {
		t.Errorf("a real installation goes by a file's clock: %s", now)
	}
}
