package cli

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/term"
)

// progress draws a bar on a terminal, and says a line now and then elsewhere.
type progress struct {
	w       io.Writer
	what    string
	tty     bool
	start   time.Time
	last    time.Time
	started bool
}

func newProgress(w io.Writer, what string) *progress {
	f, ok := w.(*os.File)
	return &progress{w: w, what: what, tty: ok && term.IsTerminal(int(f.Fd())), start: time.Now()}
}

// at says how far the work is; extra follows the bar.
func (p *progress) at(done, total int64, extra string) {
	every := 5 * time.Second
	if p.tty {
		every = 100 * time.Millisecond
	}
	if now := time.Now(); now.Sub(p.last) >= every {
		p.last = now
		p.draw(done, total, extra)
	}
}

func (p *progress) draw(done, total int64, extra string) {
	share := 1.0
	if total > 0 {
		share = min(1, float64(done)/float64(total))
	}
	left := ""
	if spent := time.Since(p.start); share > 0.02 && share < 1 {
		left = fmt.Sprintf(", %s left", time.Duration(float64(spent)*(1-share)/share).Round(time.Second))
	}
	if p.tty {
		full := int(30 * share)
		fmt.Fprintf(p.w, "\r\x1b[K%s [%s%s] %3.0f %% %s%s", p.what, strings.Repeat("#", full), strings.Repeat(".", 30-full), 100*share, extra, left)
		p.started = true
		return
	}
	fmt.Fprintf(p.w, "%s: %.0f %% %s%s\n", p.what, 100*share, extra, left)
}

// end clears the bar.
func (p *progress) end() {
	if p.started {
		fmt.Fprint(p.w, "\r\x1b[K")
	}
}
