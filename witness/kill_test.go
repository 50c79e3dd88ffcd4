package witness_test

import (
	"bufio"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"azekura/witness"

	"golang.org/x/mod/sumdb/tlog"
)

// runChild runs a witness as a process of its own and returns its URL and what
// kills it.
func runChild(t *testing.T, dir string) (url string, kill func()) {
	t.Helper()
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), asChild+"="+dir)
	child.Stderr = os.Stderr
	child.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := child.StdoutPipe()
	ok(t, err)
	ok(t, child.Start())
	address, err := bufio.NewReader(out).ReadString('\n')
	ok(t, err)
	return "http://" + strings.TrimSpace(address), sync.OnceFunc(func() {
		_ = child.Process.Kill()
		_ = child.Wait()
	})
}

// TestKill kills a witness at random moments while two histories are fed to it
// that part at every step: what it answered stays true.
func TestKill(t *testing.T) {
	rounds := 3
	if os.Getenv("AZEKURA_SOAK") == "1" {
		rounds = 100
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	chance := rand.New(rand.NewPCG(seed, 0))
	h := newHistory(t, origin).grow(t, 1, "entry")
	dir := newFolder(t, h.settings(false))
	signed := map[int64]tlog.Hash{} // what was answered, by size
	most := int64(0)
	// A kill may come before the first answer, so a few rounds may have shown nothing.
	for round := 0; round < rounds || len(signed) == 0 && round < rounds+100; round++ {
		url, kill := runChild(t, dir)
		time.AfterFunc(time.Duration(chance.IntN(100_000))*time.Microsecond, kill)
		var may []*history
		h, may = feed(t, url, h, signed, &most)
		kill()
		heads, err := witness.Heads(dir)
		ok(t, err)
		for _, side := range may {
			if heads[0].Size == side.size && heads[0].Root == side.root(t, side.size).String() {
				h = side
			}
		}
		if heads[0].Size < most {
			t.Fatalf("round %d: the head %d was answered, and after the kill the witness remembers %d", round, most, heads[0].Size)
		}
		if heads[0].Size > 0 && h.root(t, heads[0].Size).String() != heads[0].Root {
			t.Fatalf("round %d: it remembers a root that nobody asked for", round)
		}
	}
	t.Logf("%d heads cosigned in %d rounds", len(signed), rounds)
	if len(signed) == 0 {
		t.Error("nothing was ever cosigned")
	}
}

// feed grows a log one step at a time, and at each step offers two histories at
// once, until the witness is gone. It returns the one that goes on, and those that may.
func feed(t *testing.T, url string, h *history, signed map[int64]tlog.Hash, most *int64) (*history, []*history) {
	old := int64(-1)
	for {
		if old < 0 { // learn where it stands
			a, err := tryPost(url+"/add-checkpoint", h.request(t, h.size, h.size))
			if err != nil {
				return h, nil
			}
			if a.status == 200 {
				old = h.size
			} else if old, err = strconv.ParseInt(strings.TrimSpace(a.body), 10, 64); err != nil || old > h.size {
				t.Fatalf("it stands where nobody asked it to: %v", a)
			}
		}
		sides := []*history{h.fork().grow(t, 1, "one"), h.fork().grow(t, 1, "two")}
		answers, errs := make([]answer, 2), make([]error, 2)
		var wg sync.WaitGroup
		for i, side := range sides {
			body := side.request(t, old, side.size)
			wg.Go(func() { answers[i], errs[i] = tryPost(url+"/add-checkpoint", body) })
		}
		wg.Wait()
		next := -1
		for i, side := range sides {
			if errs[i] != nil || answers[i].status != 200 {
				continue
			}
			root := side.root(t, side.size)
			if was, seen := signed[side.size]; seen && was != root {
				t.Fatalf("two roots were cosigned at the size %d", side.size)
			}
			if side.size < *most {
				t.Fatalf("the size %d was cosigned after %d", side.size, *most)
			}
			signed[side.size], *most, next = root, side.size, i
		}
		if errs[0] != nil || errs[1] != nil {
			if next < 0 { // either may have been taken before the kill, or neither
				return h, sides
			}
			return sides[next], nil
		}
		if next < 0 {
			t.Fatalf("neither history goes on: %v", answers)
		}
		h, old = sides[next], sides[next].size
	}
}
