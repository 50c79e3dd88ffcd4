package drill

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"azekura/api"
)

func tallyFile(scene string) string { return filepath.Join(scene, "stolen.ndjson") }
func certFile(scene string) string  { return filepath.Join(scene, "server.pem") }

// byEnd stops an attempt where nothing else does.
const byEnd = "the drill's end"

// theft is how the stealing went.
type theft struct {
	lasted    time.Duration
	stoppedBy string // "" if the attacker ended by itself
}

// theft lets the office work and the attacker steal until it has enough or the
// time is up. Whatever happens, the attacker has ended when it returns.
func (d *drill) theft(ctx context.Context) (t theft, err error) {
	d.begin(Stealing)
	if err := d.office.open(ctx, "https://"+d.address, api.CertFile(d.dir), d.team); err != nil {
		return t, err
	}
	attacker, err := d.attack(d.team[0].token)
	if err != nil {
		return t, errors.Join(err, d.office.close())
	}
	began := time.Now()
	watched := d.watch(ctx, attacker, &t)
	t.lasted = time.Since(began)
	err = errors.Join(watched, attacker.stop(thiefGrace), d.office.close())
	if err != nil {
		return t, err
	}
	d.end(0)
	return t, nil
}

// watch waits, and tells how much the attacker has written.
func (d *drill) watch(ctx context.Context, attacker *process, t *theft) error {
	tally, err := os.Open(tallyFile(d.scene))
	if err != nil {
		return err
	}
	defer tally.Close()
	enough := time.After(d.Theft)
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	var lines int64
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-d.server.done:
			return d.server.ended()
		case <-attacker.done:
			// One that wrote nothing down didn't play.
			if lines += newLines(tally); lines == 0 {
				return attacker.ended()
			}
			return nil
		case <-enough:
			t.stoppedBy = byEnd
			return nil
		case <-tick.C:
			lines += newLines(tally)
			// It ends with whichever ends first: the time or the people.
			p := Progress{Stage: Stealing, Count: lines, Done: int64(time.Since(d.began)), Total: int64(d.Theft), Took: time.Since(d.began)}
			if float64(lines)/float64(d.People) > float64(p.Done)/float64(p.Total) {
				p.Done, p.Total = lines, d.People
			}
			d.Tell(p)
		}
	}
}

// newLines counts the lines that were written since it was last asked. It is
// for the display: the file is read in earnest when the theft is over.
func newLines(f io.Reader) (n int64) {
	buffer := make([]byte, 64<<10)
	for {
		got, err := f.Read(buffer)
		n += int64(bytes.Count(buffer[:got], []byte{'\n'}))
		if err != nil || got == 0 {
			return n
		}
	}
}

// openTally opens what the attacker wrote, which it may have replaced.
func openTally(scene string) (*os.File, error) {
	info, err := os.Lstat(tallyFile(scene))
	if err != nil {
		return nil, fmt.Errorf("read what the attacker wrote down: %w", err)
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New("what the attacker wrote down isn't a file")
	}
	return os.Open(tallyFile(scene))
}
