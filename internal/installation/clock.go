package installation

import (
	"errors"
	"os"
	"path/filepath"
	"time"

	"azekura/internal/clock"
)

// clockFile is the clock by which a made-up installation goes, where a drill put
// one there.
const clockFile = "clock"

// goBy is the clock that the installation goes by: the machine's, and another only
// where nobody is real. Whoever could turn a real one's clock could let a budget's
// day be over, or a session last.
func (i *Installation) goBy() (now func() time.Time, err error) {
	if !i.Config.MadeUp {
		return time.Now, nil
	}
	driven, err := clock.Open(filepath.Join(i.Dir, clockFile))
	if errors.Is(err, os.ErrNotExist) {
		return time.Now, nil
	}
	if err != nil {
		return nil, err
	}
	return driven.Now, nil // never closed: whoever is late may still ask the time
}

// CreateClock makes the clock that a made-up installation goes by whenever it is
// opened from now on.
func CreateClock(dir string, at time.Time) (*clock.Driven, error) {
	config, err := ReadConfig(dir)
	if err != nil {
		return nil, err
	}
	if !config.MadeUp {
		return nil, errors.New("only an installation of made-up people goes by another clock than the machine's")
	}
	return clock.Create(filepath.Join(dir, clockFile), at)
}
