package clock

import (
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

var may8 = time.Date(2015, 5, 8, 0, 0, 0, 0, time.UTC)

func TestTwoSeeOneClock(t *testing.T) {
	path := filepath.Join(t.TempDir(), "clock")
	driver, err := Create(path, may8)
	if err != nil {
		t.Fatal(err)
	}
	defer driver.Close()
	reader, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	if at := reader.Now(); !at.Equal(may8) {
		t.Errorf("a new clock says %s, not %s", at, may8)
	}
	driver.Set(may8.Add(time.Hour))
	driver.Set(may8)
	if at := reader.Now(); !at.Equal(may8.Add(time.Hour)) {
		t.Errorf("the clock says %s after it was set on and back; want %s", at, may8.Add(time.Hour))
	}
}

// TestNeverBack: whoever sets it, and however many, a reader sees it go one way.
func TestNeverBack(t *testing.T) {
	d, err := Create(filepath.Join(t.TempDir(), "clock"), may8)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	var setters sync.WaitGroup
	for i := range 4 {
		setters.Go(func() {
			for n := range 10_000 {
				d.Set(may8.Add(time.Duration(n*4+i) * time.Microsecond))
			}
		})
	}
	done := make(chan struct{})
	go func() { setters.Wait(); close(done) }()
	for last := may8; ; {
		at := d.Now()
		if at.Before(last) {
			t.Fatalf("the clock went back from %s to %s", last, at)
		}
		last = at
		select {
		case <-done:
			if at, want := d.Now(), may8.Add(39_999*time.Microsecond); !at.Equal(want) {
				t.Errorf("the clock ends at %s, not at the last that was set, %s", at, want)
			}
			return
		default:
		}
	}
}

func TestNoClock(t *testing.T) {
	path := filepath.Join(t.TempDir(), "clock")
	if _, err := Open(path); err == nil {
		t.Error("a clock that isn't there was opened")
	}
	if err := os.WriteFile(path, make([]byte, 7), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(path); err == nil {
		t.Error("a file of 7 bytes was opened as a clock")
	}
	if _, err := Create(path, may8); err == nil {
		t.Error("a clock was made where a file was")
	}
}
