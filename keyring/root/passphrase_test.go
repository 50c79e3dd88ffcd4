package root_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"azekura/keyring/root"
)

// asChild makes this test binary a program that asks for a passphrase and
// prints what it got; "confirm" asks for a new one.
const asChild = "AZEKURA_ROOT_CHILD"

func TestMain(m *testing.M) {
	if how := os.Getenv(asChild); how != "" {
		p, err := root.Passphrase("Passphrase", how == "confirm")
		if err != nil {
			fmt.Println("error:", err)
			os.Exit(1)
		}
		fmt.Printf("got %q\n", p)
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func TestPassphraseFromAFile(t *testing.T) {
	for _, c := range []struct {
		name, text string
		mode       os.FileMode
		confirm    bool
		want, err  string
	}{
		{"a line", passphrase + "\n", 0o600, false, passphrase, ""},
		{"without a line end", passphrase, 0o400, true, passphrase, ""},
		{"a line end of Windows", passphrase + "\r\n", 0o600, false, passphrase, ""},
		{"more lines", passphrase + "\nnotes\n", 0o600, false, passphrase, ""},
		{"spaces count", " " + passphrase + " \n", 0o600, false, " " + passphrase + " ", ""},
		{"an old short one", "short", 0o600, false, "short", ""},
		{"a new short one", "short", 0o600, true, "", "12 characters"},
		{"empty", "", 0o600, false, "", "empty"},
		{"an empty line", "\n" + passphrase, 0o600, false, "", "empty"},
		{"too long", strings.Repeat("x", 1025), 0o600, false, "", "longer"},
		{"the longest", strings.Repeat("x", 1024), 0o600, false, strings.Repeat("x", 1024), ""},
		{"readable by the group", passphrase, 0o640, false, "", "chmod 600"},
		{"readable by all", passphrase, 0o604, false, "", "chmod 600"},
		{"writable by all", passphrase, 0o602, false, "", "chmod 600"},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "passphrase")
			write(t, path, c.text, c.mode)
			t.Setenv(root.EnvPassphraseFile, path)
			got, err := root.Passphrase("Passphrase", c.confirm)
			if c.err == "" && (err != nil || string(got) != c.want) {
				t.Errorf("%q, %v", got, err)
			}
			if c.err != "" {
				if err == nil || got != nil || !strings.Contains(err.Error(), c.err) {
					t.Fatalf("%q, %v; want %q", got, err, c.err)
				}
				mustNotTell(t, err, passphrase)
			}
		})
	}
	t.Run("no file", func(t *testing.T) {
		t.Setenv(root.EnvPassphraseFile, filepath.Join(t.TempDir(), "none"))
		if _, err := root.Passphrase("Passphrase", false); err == nil || !strings.Contains(err.Error(), root.EnvPassphraseFile) {
			t.Errorf("got %v", err)
		}
	})
}

// TestPassphraseFromSystemd: a credential's mode shows its access list, and
// nobody else gets at its folder.
func TestPassphraseFromSystemd(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "root"), passphrase, 0o440)
	t.Setenv("CREDENTIALS_DIRECTORY", dir)
	t.Setenv(root.EnvPassphraseFile, filepath.Join(dir, "root"))
	if got, err := root.Passphrase("", false); err != nil || string(got) != passphrase {
		t.Errorf("%q, %v", got, err)
	}
	t.Setenv("CREDENTIALS_DIRECTORY", filepath.Dir(dir))
	if _, err := root.Passphrase("", false); err == nil {
		t.Error("a file outside the folder was taken for a credential")
	}
}

func TestNoTerminalSaysWhatToSet(t *testing.T) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(environment(), asChild+"=ask")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // which leaves the terminal, if there is one
	out, err := cmd.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "set "+root.EnvPassphraseFile) {
		t.Errorf("%s, %v", out, err)
	}
}

func environment() (env []string) {
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, root.EnvPassphraseFile+"=") {
			env = append(env, v)
		}
	}
	return env
}

// TestPassphraseTypedUnseen types at a real terminal.
func TestPassphraseTypedUnseen(t *testing.T) {
	for _, c := range []struct {
		name, how string
		typed     []string
		want      string
	}{
		{"once", "ask", []string{passphrase}, `got "` + passphrase + `"`},
		{"an old short one", "ask", []string{"short"}, `got "short"`},
		{"in Japanese", "ask", []string{"校倉造りの正倉院宝庫です"}, `got "校倉造りの正倉院宝庫です"`},
		{"too long", "ask", []string{strings.Repeat("x", 1025)}, "1024 bytes at most"},
		{"twice", "confirm", []string{passphrase, passphrase}, `got "` + passphrase + `"`},
		{"twice, and not the same", "confirm", []string{passphrase, renewed}, "error: the two passphrases differ"},
		{"a new short one", "confirm", []string{"short"}, "12 characters"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			tty := newTerminal(t)
			cmd := exec.Command(os.Args[0])
			cmd.Env = append(environment(), asChild+"="+c.how)
			var out bytes.Buffer
			cmd.Stdout, cmd.Stderr = &out, &out
			cmd.ExtraFiles = []*os.File{tty.end}
			cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true, Ctty: 3}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			for i, text := range c.typed {
				tty.waitFor([]string{"Passphrase: ", "The same again: "}[i])
				tty.typeIn(text)
			}
			err := cmd.Wait()
			if !strings.Contains(out.String(), c.want) || (err == nil) != strings.HasPrefix(c.want, "got") {
				t.Errorf("%s, %v; want %s", out.String(), err, c.want)
			}
			for _, text := range c.typed {
				if strings.Contains(tty.shown(), text) {
					t.Errorf("the terminal showed it: %q", tty.shown())
				}
			}
		})
	}
}

// terminal is a pseudo-terminal (pty(7)).
type terminal struct {
	t         *testing.T
	hand, end *os.File // where a person is, and where the program is

	mu  sync.Mutex
	out bytes.Buffer
}

func newTerminal(t *testing.T) *terminal {
	t.Helper()
	hand, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	var locked int32
	ioctl(t, hand, syscall.TIOCSPTLCK, unsafe.Pointer(&locked))
	var n uint32
	ioctl(t, hand, syscall.TIOCGPTN, unsafe.Pointer(&n))
	end, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	tty := &terminal{t: t, hand: hand, end: end}
	go func() {
		buf := make([]byte, 1024)
		for {
			n, err := hand.Read(buf)
			tty.mu.Lock()
			tty.out.Write(buf[:n])
			tty.mu.Unlock()
			if err != nil {
				return
			}
		}
	}()
	t.Cleanup(func() { end.Close(); hand.Close() })
	return tty
}

func ioctl(t *testing.T, f *os.File, request uintptr, arg unsafe.Pointer) {
	t.Helper()
	conn, err := f.SyscallConn() // not Fd, which would make reads block a close
	if err != nil {
		t.Fatal(err)
	}
	var failed syscall.Errno
	if err := conn.Control(func(fd uintptr) { _, _, failed = syscall.Syscall(syscall.SYS_IOCTL, fd, request, uintptr(arg)) }); err != nil {
		t.Fatal(err)
	}
	if failed != 0 {
		t.Fatal(failed)
	}
}

func (tty *terminal) shown() string {
	tty.mu.Lock()
	defer tty.mu.Unlock()
	return tty.out.String()
}

// waitFor waits until the prompt is there and the terminal shows no more what
// is typed.
func (tty *terminal) waitFor(prompt string) {
	tty.t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		var mode syscall.Termios
		ioctl(tty.t, tty.hand, syscall.TCGETS, unsafe.Pointer(&mode))
		if strings.HasSuffix(tty.shown(), prompt) && mode.Lflag&syscall.ECHO == 0 {
			return
		}
		if time.Now().After(deadline) {
			tty.t.Fatalf("no %q after a minute; the terminal shows %q", prompt, tty.shown())
		}
	}
}

func (tty *terminal) typeIn(text string) {
	tty.t.Helper()
	if _, err := tty.hand.WriteString(text + "\n"); err != nil {
		tty.t.Fatal(err)
	}
}
