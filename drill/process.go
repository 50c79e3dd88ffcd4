package drill

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"azekura/api"
)

// process is a child, in a process group of its own: a Ctrl-C at the terminal
// reaches the drill alone, which then ends its children in order.
type process struct {
	name   string
	cmd    *exec.Cmd
	said   tail
	done   chan struct{} // closed when it has ended
	err    error         // set by then
	keeper *exec.Cmd
	hold   io.WriteCloser // the keeper's input
}

// keeperScript kills a process group when its input ends without a word: when the
// drill died in whatever way, a kill -9 too.
const keeperScript = `read -r _ || kill -s KILL -- "-$1"`

// start starts a program whose environment has nothing of Azekura's but own.
func start(name string, cmd *exec.Cmd, own ...string) (*process, error) {
	p := &process{name: name, cmd: cmd, done: make(chan struct{})}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Env = own
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "AZEKURA_") {
			cmd.Env = append(cmd.Env, v)
		}
	}
	if cmd.Stdout == nil {
		cmd.Stdout = &p.said
	}
	cmd.Stderr = &p.said
	cmd.WaitDelay = time.Second // a grandchild may hold its output open
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	go func() {
		p.err = cmd.Wait()
		close(p.done)
	}()
	if err := p.keep(); err != nil {
		return nil, errors.Join(fmt.Errorf("watch over %s: %w", name, err), p.stop(0))
	}
	return p, nil
}

// keep starts the process that ends this one's group if the drill dies. It has a
// group of its own too.
func (p *process) keep() (err error) {
	p.keeper = exec.Command("/bin/sh", "-c", keeperScript, "drill-keeper", strconv.Itoa(p.cmd.Process.Pid))
	p.keeper.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if p.hold, err = p.keeper.StdinPipe(); err != nil {
		return err
	}
	return p.keeper.Start()
}

// dismiss ends the keeper, which then kills nobody: the group's number may be a
// stranger's by the time this process ends.
func (p *process) dismiss() {
	if p.keeper == nil || p.keeper.Process == nil || p.keeper.ProcessState != nil {
		return
	}
	_, _ = io.WriteString(p.hold, "\n")
	p.hold.Close()
	_ = p.keeper.Wait()
}

// stop asks the process to end, and kills its group once grace is over. A
// process that has ended already only has its group cleared.
func (p *process) stop(grace time.Duration) error {
	defer p.dismiss()
	// The group's id is the child's, and stays taken while any of it lives.
	defer func() { _ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL) }()
	select {
	case <-p.done:
		return nil
	default:
	}
	if err := syscall.Kill(-p.cmd.Process.Pid, syscall.SIGTERM); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("stop %s: %w", p.name, err)
	}
	select {
	case <-p.done:
		return nil
	case <-time.After(grace):
	}
	if err := syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("kill %s: %w", p.name, err)
	}
	<-p.done
	return nil
}

// ended explains a process that ended by itself.
func (p *process) ended() error {
	p.dismiss()
	said := strings.TrimSpace(p.said.String())
	if said == "" {
		said = "it said nothing"
	}
	return fmt.Errorf("%s ended too early (%v); its last words: %s", p.name, p.cmd.ProcessState, said)
}

// tail keeps the last of what a process says.
type tail struct {
	mu   sync.Mutex
	text []byte
}

const maxTail = 2 << 10

func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, b...)
	if over := len(t.text) - maxTail; over > 0 {
		t.text = append(t.text[:0], t.text[over:]...)
	}
	return len(b), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.ToValidUTF8(string(t.text), "")
}

const (
	serverGrace = 15 * time.Second
	serverStart = 2 * time.Minute
	thiefGrace  = 3 * time.Second
)

// serve starts the server and learns its address from its first line.
func (d *drill) serve(ctx context.Context) (err error) {
	cmd := exec.Command(d.Program, "--dir", d.dir, "serve", "--listen", "127.0.0.1:0")
	first := &firstLine{line: make(chan string, 1)}
	cmd.Stdout = first
	if d.server, err = start("the server", cmd); err != nil {
		return err
	}
	select {
	case line := <-first.line:
		_, rest, ok := strings.Cut(line, "https://")
		if d.address, _, _ = strings.Cut(rest, " "); ok && d.address != "" {
			return nil
		}
		err = errors.New("the server doesn't say where it listens")
	case <-d.server.done:
		return d.server.ended()
	case <-ctx.Done():
		err = ctx.Err()
	case <-time.After(serverStart):
		err = fmt.Errorf("the server isn't ready after %s", serverStart)
	}
	return errors.Join(err, d.server.stop(serverGrace))
}

// firstLine hands on the first line that is written to it, and forgets the rest.
type firstLine struct {
	line chan string
	text []byte
	told bool
}

func (f *firstLine) Write(b []byte) (int, error) {
	if !f.told && len(f.text) < maxTail {
		f.text = append(f.text, b...)
		if line, _, whole := strings.Cut(string(f.text), "\n"); whole {
			f.told = true
			f.line <- line
		}
	}
	return len(b), nil
}

// attack starts the attacker.
func (d *drill) attack(token string, more ...string) (*process, error) {
	out, ca := tallyFile(d.scene), certFile(d.scene)
	if err := os.WriteFile(out, nil, 0o600); err != nil {
		return nil, err
	}
	if err := copyFile(ca, api.CertFile(d.dir)); err != nil {
		return nil, err
	}
	cmd := exec.Command(d.Program, "drill", "attacker")
	if d.Command != "" {
		cmd = exec.Command("/bin/sh", "-c", d.Command)
	}
	return start("the attacker", cmd, append(more, "AZEKURA_DRILL_URL=https://"+d.address, "AZEKURA_DRILL_CA="+ca, "AZEKURA_DRILL_TOKEN="+token,
		"AZEKURA_DRILL_OUT="+out, fmt.Sprintf("AZEKURA_DRILL_PEOPLE=%d", d.People), fmt.Sprintf("AZEKURA_DRILL_SECONDS=%d", int64(d.Theft.Seconds()+0.999)))...)
}
