package apart

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/gob"
	"encoding/json"
	"errors"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"azekura/leakscan"
	"azekura/leakscan/leaktest"
	"azekura/leakscan/scan"
	"azekura/population"

	"github.com/google/go-cmp/cmp"
	ll "github.com/landlock-lsm/go-landlock/landlock/syscall"
	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) {
	switch {
	case len(os.Args) == 2 && os.Args[1] == "scan":
		if Main(context.Background(), os.Stdin, os.Stdout) != nil {
			os.Exit(1)
		}
	case len(os.Args) == 3 && os.Args[1] == "lie":
		if lie(os.Args[2]) != nil {
			os.Exit(1)
		}
	case len(os.Args) > 2 && os.Args[1] == "pry":
		if err := json.NewEncoder(os.Stdout).Encode(pry(os.Args[2:])); err != nil {
			os.Exit(1)
		}
	default:
		os.Exit(m.Run())
	}
}

// room is a folder with an index, files of 60 people to scan, and an empty folder
// for what is found.
func room(t *testing.T) (o Order) {
	t.Helper()
	dir, key := t.TempDir(), leaktest.Key()
	o = Order{Index: leaktest.Build(t, 1, 500, key, 1), Key: key, Paths: []string{filepath.Join(dir, "files")}, Folder: filepath.Join(dir, "found")}
	for _, path := range []string{o.Paths[0], o.Folder} {
		if err := os.Mkdir(path, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	list, g := make([]population.Person, 60), population.New(1)
	for i := range list {
		g.Next(&list[i])
	}
	pdf, _ := leaktest.PDF(t, list, "")
	var packed bytes.Buffer
	w := zip.NewWriter(&packed)
	f, err := w.Create("list.pdf")
	if err == nil {
		_, err = f.Write(pdf)
	}
	if err = errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
	for name, raw := range map[string][]byte{"list.pdf": pdf, "list.zip": packed.Bytes()} {
		if err := os.WriteFile(filepath.Join(o.Paths[0], name), raw, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return o
}

// TestScansApart: the process of its own, confined, finds what a scan in this one
// does, in files that another program reads for it, and leaves nothing in the
// temporary folder.
func TestScansApart(t *testing.T) {
	o := room(t)
	temp := t.TempDir()
	t.Setenv("TMPDIR", temp)
	here, err := scan.Run(t.Context(), leaktest.Open(t, o.Index, o.Key), scan.Options{Paths: o.Paths})
	if err != nil {
		t.Fatal(err)
	}
	want := t.TempDir()
	if err := here.WriteFolder(want); err != nil {
		t.Fatal(err)
	}
	if _, err := Run(t.Context(), []string{os.Args[0], "scan"}, o, func(int64, int64) {}); err != nil {
		t.Fatal(err)
	}
	people := 0
	if err := here.Each(func(scan.Line) error { people++; return nil }); err != nil || people != 60 {
		t.Fatalf("%d people, %v", people, err)
	}
	entries, err := os.ReadDir(want)
	if err != nil || len(entries) == 0 {
		t.Fatalf("%d files, %v", len(entries), err)
	}
	for _, e := range entries {
		one, err := os.ReadFile(filepath.Join(want, e.Name()))
		other, err2 := os.ReadFile(filepath.Join(o.Folder, e.Name()))
		if diff := cmp.Diff(string(one), string(other)); diff != "" || err != nil || err2 != nil {
			t.Errorf("%s: %v, %v, %s", e.Name(), err, err2, diff)
		}
	}
	if left, err := os.ReadDir(temp); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// tries are what a parser that a file has taken over would do next.
var tries = []struct {
	name string
	do   func(outside, address string) error
	// needs is what refuses it: landlock, network, seccomp, or nothing.
	needs string
}{
	{"read what is to be scanned", func(string, string) error { return open(prying.Paths[0]+"/list.zip", os.O_RDONLY) }, ""},
	{"read the index", func(string, string) error { return open(prying.Index, os.O_RDONLY) }, ""},
	{"write into the scan's folder", func(string, string) error { return open(prying.Folder+"/x", os.O_CREATE|os.O_WRONLY) }, ""},
	{"write a temporary file", func(string, string) error { return open(os.TempDir()+"/x", os.O_CREATE|os.O_WRONLY) }, ""},
	{"begin a program of the system's", func(string, string) error { return exec.Command("/bin/true").Run() }, ""},
	{"read another file", func(outside, _ string) error { return open(outside, os.O_RDONLY) }, "landlock"},
	{"have another program read it", func(outside, _ string) error {
		if err := exec.Command("/bin/cat", outside).Run(); err != nil {
			return fs.ErrPermission
		}
		return nil
	}, "landlock"},
	{"link another file", func(outside, _ string) error { return os.Link(outside, prying.Folder+"/linked") }, "landlock"},
	{"list another folder", func(outside, _ string) error { _, err := os.ReadDir(filepath.Dir(outside)); return err }, "landlock"},
	{"read what another process has", func(string, string) error { return open("/proc/1/environ", os.O_RDONLY) }, "landlock"},
	{"write what is to be scanned", func(string, string) error { return open(prying.Paths[0]+"/list.zip", os.O_WRONLY) }, "landlock"},
	{"write beside it", func(string, string) error { return open(prying.Paths[0]+"/x", os.O_CREATE|os.O_WRONLY) }, "landlock"},
	{"write the index", func(string, string) error { return open(prying.Index, os.O_WRONLY) }, "landlock"},
	{"call by TCP", func(_, address string) error { return call(&net.Dialer{}, "tcp", address) }, "network"},
	{"call by MPTCP", func(_, address string) error {
		var d net.Dialer
		d.SetMultipathTCP(true)
		return call(&d, "tcp", address)
	}, "network"},
	{"call by UDP", func(_, address string) error { return call(&net.Dialer{}, "udp", address) }, "network"},
	{"call by a socket with a path", func(outside, _ string) error { return call(&net.Dialer{}, "unix", outside+".sock") }, "seccomp"},
	{"call by a socket with a name", func(outside, _ string) error { return call(&net.Dialer{}, "unix", "@"+outside) }, "seccomp"},
	{"make a socket by amd64's other calls", func(string, string) error {
		_, _, err := unix.RawSyscall(x32|unix.SYS_SOCKET, unix.AF_UNIX, unix.SOCK_STREAM, 0)
		return err
	}, "seccomp"},
	{"look into another process", func(string, string) error { return unix.PtraceAttach(os.Getppid()) }, "seccomp"},
	{"begin in a namespace of its own", func(string, string) error { return unix.Unshare(unix.CLONE_NEWUSER) }, "seccomp"},
}

func call(d *net.Dialer, network, address string) error {
	c, err := d.Dial(network, address)
	if err == nil {
		_, err = c.Write([]byte("what was read"))
		c.Close()
	}
	return err
}

var prying Order

func open(path string, how int) error {
	f, err := os.OpenFile(path, how, 0o600)
	if err == nil {
		err = f.Close()
	}
	return err
}

// pry confines itself and says what came of each try.
func pry(args []string) map[string]string {
	said := map[string]string{}
	err := json.Unmarshal([]byte(args[0]), &prying)
	if err == nil {
		err = prying.confine()
	}
	if err != nil {
		return map[string]string{"confine": err.Error()}
	}
	for _, try := range tries {
		switch err := try.do(args[1], args[2]); {
		case err == nil:
			said[try.name] = "done"
		case errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.ENETUNREACH) ||
			errors.Is(err, syscall.EXDEV): // a link's, across what each may
			said[try.name] = "refused"
		default:
			said[try.name] = err.Error()
		}
	}
	return said
}

// TestConfined: a parser that a file has taken over reads, writes and calls nothing
// that the scan isn't about.
func TestConfined(t *testing.T) {
	// What the kernel that the tests run on offers: where it is less, so is promised.
	abi, err := ll.LandlockGetABIVersion()
	landlocked := err == nil && abi > 0
	lone := exec.Command("/bin/true")
	lone.SysProcAttr = alone()
	apart := lone.Run() == nil
	t.Logf("Landlock %v, a network of its own %v", landlocked, apart)
	o := room(t)
	outside := filepath.Join(t.TempDir(), "outside")
	if err := os.WriteFile(outside, []byte("of no concern"), 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for _, name := range []string{outside + ".sock", "@" + outside} { // as the operator's
		l, err := net.Listen("unix", name)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
	}
	order, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	cmd, _, out, err := start(t.Context(), []string{os.Args[0], "pry", string(order), outside, l.Addr().String()}, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	said := map[string]string{}
	if err := json.NewDecoder(out).Decode(&said); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	for _, try := range tries {
		want := "refused"
		switch {
		case try.needs == "":
			want = "done"
		case try.needs == "landlock" && !landlocked, try.needs == "network" && !apart:
			continue
		}
		if said[try.name] != want {
			t.Errorf("%s: %q, not %s; %s", try.name, said[try.name], want, said["confine"])
		}
	}
}

// TestPieces: pieces that the other process does, cut ones and files whose names are
// of no charset among them, make the result of a scan in this one; it may be killed
// between two of them, and it is gone when it isn't needed.
func TestPieces(t *testing.T) {
	o := room(t)
	temp := t.TempDir()
	t.Setenv("TMPDIR", temp)
	long := bytes.Repeat([]byte("0123456789,nobody,1950-04-12\n"), 200_000)
	if err := os.WriteFile(filepath.Join(o.Paths[0], "\x96\xbc\x95\xeb.csv"), long, 0o600); err != nil {
		t.Fatal(err)
	}
	x := leaktest.Open(t, o.Index, o.Key)
	here, err := scan.Run(t.Context(), x, scan.Options{Paths: o.Paths})
	if err != nil {
		t.Fatal(err)
	}
	files, err := scan.List(t.Context(), o.Paths)
	if err != nil {
		t.Fatal(err)
	}
	w := &Worker{Program: []string{os.Args[0], "scan"}, Order: Order{Index: o.Index, Key: bytes.Clone(o.Key), Paths: o.Paths}}
	do := func(pieces []scan.Piece) []scan.Came {
		t.Helper()
		came, err := w.Do(t.Context(), scan.Options{Stretch: 1}, pieces)
		if err != nil {
			t.Fatal(err)
		}
		return came
	}
	whole := do(files)
	if err := w.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Do(t.Context(), scan.Options{}, files); !errors.Is(err, ErrFailed) {
		t.Errorf("of a killed process: %v", err)
	}
	stretches := 0
	there, err := scan.Join(x, len(files), func(file, stretch int) ([]byte, error) {
		if stretch < 0 {
			return whole[file].Result, nil
		}
		stretches++
		return do(whole[file].More[stretch : stretch+1])[0].Result, nil
	})
	if err != nil || stretches < 3 {
		t.Fatalf("%d stretches, %v", stretches, err)
	}
	var one, other bytes.Buffer
	if err := errors.Join(here.WriteFindings(&one), here.WriteLedger(&one), there.WriteFindings(&other), there.WriteLedger(&other)); err != nil {
		t.Fatal(err)
	}
	if one.Len() == 0 || one.String() != other.String() {
		t.Error("the other process says something else")
	}
	cut, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := w.Do(cut, scan.Options{}, files); !errors.Is(err, context.Canceled) {
		t.Errorf("told to stop: %v", err)
	}
	if _, err := Run(cut, w.Program, o, func(int64, int64) {}); !errors.Is(err, context.Canceled) {
		t.Errorf("a scan that is told to stop: %v", err)
	}
	do(files[:1])
	if err := os.Chtimes(files[0].Path, time.Time{}, time.Unix(1, 0)); err != nil {
		t.Fatal(err)
	}
	of := files[0]
	of.Stretch = &scan.Stretch{Blocks: []scan.Block{{From: 0, To: 1}}}
	if _, err := w.Do(t.Context(), scan.Options{}, []scan.Piece{of}); !errors.Is(err, scan.ErrChanged) {
		t.Errorf("of a file that was changed: %v", err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(temp); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	w = &Worker{Program: []string{os.Args[0], "scan"}, Order: Order{Index: o.Index, Key: make([]byte, len(o.Key)), Paths: o.Paths}}
	if _, err := w.Do(t.Context(), scan.Options{}, files); err == nil || !strings.Contains(err.Error(), leakscan.ErrIndex.Error()) {
		t.Errorf("under another key: %v", err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
}

// lies are what a process may say that was taken over.
var lies = map[string]answer{
	"nothing":                    {},
	"too much":                   {Came: make([]scan.Came, 3)},
	"another file's stretch":     {Came: []scan.Came{{More: []scan.Piece{{Path: "/etc/shadow", Stretch: &scan.Stretch{Blocks: make([]scan.Block, 1)}}}}, {}}},
	"a whole file for a stretch": {Came: []scan.Came{{More: []scan.Piece{{Path: "/etc/shadow"}}}, {}}},
	"a stretch of no blocks":     {Came: []scan.Came{{More: []scan.Piece{{Stretch: &scan.Stretch{}}}}, {}}},
}

// lie is such a process.
func lie(what string) error {
	d := gob.NewDecoder(os.Stdin)
	var o Order
	var r request
	if err := errors.Join(d.Decode(&o), d.Decode(&r)); err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(lies[what])
}

// TestLies: what the other process says makes nobody read another file.
func TestLies(t *testing.T) {
	asked := []scan.Piece{{Path: "a"}, {Path: "b"}}
	for what := range lies {
		w := &Worker{Program: []string{os.Args[0], "lie", what}}
		came, err := w.Do(t.Context(), scan.Options{}, asked)
		if what == "another file's stretch" && err == nil && came[0].More[0].Path == "a" {
			err = ErrFailed
		}
		if !errors.Is(err, ErrFailed) {
			t.Errorf("%s: %v", what, err)
		}
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	}
}
