package slotfile

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// envMake names the folder in which a child makes one state after another.
const envMake = "AZEKURA_TEST_MAKE"

func TestMain(m *testing.M) {
	if dir := os.Getenv(envMake); dir != "" {
		fmt.Println("begun")
		for n := 0; ; n++ {
			if err := Create(filepath.Join(dir, strconv.Itoa(n)), []byte("first")); err != nil {
				fmt.Fprintln(os.Stderr, err)
				os.Exit(1)
			}
		}
	}
	os.Exit(m.Run())
}

// TestCreateKilled: whoever is killed while making states leaves whole ones, or none
// under their name. One that was there half made would be damaged for good.
func TestCreateKilled(t *testing.T) {
	made := 0
	for range 60 {
		dir := t.TempDir()
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), envMake+"="+dir)
		cmd.Stderr = os.Stderr
		cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		out, err := cmd.StdoutPipe()
		if err == nil {
			err = cmd.Start()
		}
		if err == nil {
			_, err = bufio.NewReader(out).ReadString('\n')
		}
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(rand.Int64N(int64(8 * time.Millisecond))))
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // it was killed
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			if strings.Contains(e.Name(), ".new") {
				continue
			}
			f, state, err := Open(filepath.Join(dir, e.Name()))
			if err != nil || string(state) != "first" {
				t.Fatalf("after a kill: %q, %v", state, err)
			}
			f.Close()
			made++
		}
	}
	if made == 0 {
		t.Error("every child was killed before it had made one")
	}
}
