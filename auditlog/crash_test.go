package auditlog_test

import (
	"bufio"
	"context"
	"fmt"
	"math/rand"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"azekura/auditlog"

	"github.com/google/uuid"
)

// recorder is a program that records as fast as it can from eight goroutines,
// and says each receipt, until it is killed. Its arguments are the
// installation's.
func recorder() {
	in := &installation{url: os.Args[1], dir: os.Args[2]}
	if err := in.tryStart(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	inParallel(8, func(g int) {
		for i := 0; ; i++ {
			e := event(person((i*8+g)%100), auditlog.Session(g+1))
			e.Request = uuid.NewString()
			receipt, err := in.log.RecordOne(context.Background(), e)
			if err != nil {
				fmt.Fprintln(os.Stderr, err)
				os.Exit(1)
			}
			// One write a line, shorter than what a pipe takes whole.
			os.Stdout.WriteString(fmt.Sprintf("%d %s %s\n", receipt.Index(), e.Participant, e.Request))
		}
	})
}

// TestKill kills a process at random moments and looks for what it had given
// receipts for.
func TestKill(t *testing.T) {
	t.Parallel()
	rounds := 3
	if soak {
		rounds = 100
	}
	onBoth(t, func(t *testing.T, in *installation) {
		random := rand.New(rand.NewSource(seed(t)))
		in.stop(t)
		for round := range rounds {
			receipts := in.runAndKill(t, time.Duration(random.Intn(300_000))*time.Microsecond)
			in.start(t)
			in.mustVerify(t)
			for _, said := range receipts {
				var index int64
				var participant, request string
				if _, err := fmt.Sscan(said, &index, &participant, &request); err != nil {
					t.Fatalf("the child said %q: %v", said, err)
				}
				if e := in.line(t, index); e.Participant.String() != participant || e.Request != request {
					t.Fatalf("round %d: receipt %q, but event %d is %+v", round, said, index, e)
				}
			}
			t.Logf("round %d: %d receipts, %d events in the log", round, len(receipts), in.log.Committed())
			in.stop(t)
		}
		in.start(t)
		in.mustBeNumbered(t)
	})
}

// runAndKill runs the recorder and kills it some time after its first receipt.
func (in *installation) runAndKill(t *testing.T, after time.Duration) (receipts []string) {
	child := exec.Command(os.Args[0], in.url, in.dir)
	child.Env = append(os.Environ(), asChild+"=recorder")
	var complaint strings.Builder
	child.Stderr = &complaint
	out, err := child.StdoutPipe()
	ok(t, err)
	ok(t, child.Start())
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if receipts = append(receipts, lines.Text()); len(receipts) == 1 {
			time.AfterFunc(after, func() { child.Process.Kill() })
		}
	}
	child.Wait()
	if complaint.Len() > 0 || len(receipts) == 0 {
		t.Fatalf("the child gave %d receipts and said: %s", len(receipts), &complaint)
	}
	return receipts
}

// mustBeNumbered wants each participant's and each session's numbers to be
// 1 to n, in the order of the log.
func (in *installation) mustBeNumbered(t testing.TB) {
	t.Helper()
	rows, err := in.d.Query(t.Context(), "SELECT line FROM log_event WHERE log_id = 1 ORDER BY idx")
	ok(t, err)
	defer rows.Close()
	persons, sessions := map[uuid.UUID]int64{}, map[auditlog.Session]int64{}
	for rows.Next() {
		var line []byte
		ok(t, rows.Scan(&line))
		e, err := auditlog.ParseLine(line)
		ok(t, err)
		if e.Participant != (uuid.UUID{}) {
			if persons[e.Participant]++; e.ParticipantSeq != persons[e.Participant] {
				t.Fatalf("event %d has number %d of its participant's, not %d", e.Index, e.ParticipantSeq, persons[e.Participant])
			}
		}
		if e.Session != 0 {
			if sessions[e.Session]++; e.SessionSeq != sessions[e.Session] {
				t.Fatalf("event %d has number %d of its session's, not %d", e.Index, e.SessionSeq, sessions[e.Session])
			}
		}
	}
	ok(t, rows.Err())
}
