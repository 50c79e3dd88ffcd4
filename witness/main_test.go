package witness_test

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"azekura/witness"

	"github.com/transparency-dev/formats/log"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// asChild makes this test binary a witness of its own, to be killed: it names
// the folder.
const asChild = "AZEKURA_WITNESS_CHILD"

func TestMain(m *testing.M) {
	if dir := os.Getenv(asChild); dir != "" {
		fmt.Fprintln(os.Stderr, serveFolder(dir))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

func serveFolder(dir string) error {
	w, err := witness.Open(dir)
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Println(l.Addr())
	return http.Serve(l, w.Handler(func(err error) { fmt.Fprintln(os.Stderr, err) }))
}

// history is a log in memory, with all its heads; a fork of it shares its
// beginning.
type history struct {
	origin string
	key    note.Signer
	vkey   string
	hashes []tlog.Hash // as tlog stores them
	size   int64
}

func newHistory(t testing.TB, origin string) *history {
	t.Helper()
	skey, vkey, err := note.GenerateKey(rand.Reader, origin)
	ok(t, err)
	key, err := note.NewSigner(skey)
	ok(t, err)
	return &history{origin: origin, key: key, vkey: vkey}
}

// ReadHashes is tlog's way to read them.
func (h *history) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	list := make([]tlog.Hash, len(indexes))
	for i, index := range indexes {
		list[i] = h.hashes[index]
	}
	return list, nil
}

// grow adds n entries that begin with a text.
func (h *history) grow(t testing.TB, n int, text string) *history {
	t.Helper()
	for range n {
		more, err := tlog.StoredHashes(h.size, fmt.Appendf(nil, "%s %d", text, h.size), h)
		ok(t, err)
		h.hashes, h.size = append(h.hashes, more...), h.size+1
	}
	return h
}

func (h *history) fork() *history {
	f := *h
	f.hashes = append([]tlog.Hash(nil), h.hashes...)
	return &f
}

func (h *history) root(t testing.TB, size int64) tlog.Hash {
	t.Helper()
	root, err := tlog.TreeHash(size, h)
	ok(t, err)
	return root
}

// note is the signed head at a size.
func (h *history) note(t testing.TB, size int64) []byte {
	t.Helper()
	root := h.root(t, size)
	return sign(t, string(log.Checkpoint{Origin: h.origin, Size: uint64(size), Hash: root[:]}.Marshal()), h.key)
}

func sign(t testing.TB, text string, keys ...note.Signer) []byte {
	t.Helper()
	signed, err := note.Sign(&note.Note{Text: text}, keys...)
	ok(t, err)
	return signed
}

func (h *history) proof(t testing.TB, old, size int64) tlog.TreeProof {
	t.Helper()
	if old == 0 || old == size {
		return nil
	}
	proof, err := tlog.ProveTree(size, old, h)
	ok(t, err)
	return proof
}

// request is an add-checkpoint body from one size to another.
func (h *history) request(t testing.TB, old, size int64) []byte {
	t.Helper()
	return witness.Request{Old: old, Proof: h.proof(t, old, size), Note: h.note(t, size)}.Format()
}

// newFolder makes a witness that knows a log.
func newFolder(t testing.TB, logs ...witness.LogSettings) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "witness")
	ok(t, witness.Create(dir, "witness.invalid/w1", false))
	for _, l := range logs {
		_, err := witness.AddLog(dir, l)
		ok(t, err)
	}
	return dir
}

func (h *history) settings(mirror bool) witness.LogSettings {
	return witness.LogSettings{Origin: h.origin, Keys: []string{h.vkey}, Mirror: mirror}
}

// serve opens a witness and answers for it until the test ends.
func serve(t testing.TB, dir string) (*witness.Witness, string) {
	t.Helper()
	w, err := witness.Open(dir)
	ok(t, err)
	s := httptest.NewServer(w.Handler(func(err error) { t.Error(err) }))
	t.Cleanup(func() {
		s.Close()
		ok(t, w.Close())
	})
	return w, s.URL
}

type answer struct {
	status     int
	kind, body string
}

func post(t testing.TB, url string, body []byte) answer {
	t.Helper()
	a, err := tryPost(url, body)
	ok(t, err)
	return a
}

func tryPost(url string, body []byte) (answer, error) {
	r, err := http.Post(url, "application/octet-stream", bytes.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	defer r.Body.Close()
	raw, err := io.ReadAll(r.Body)
	return answer{r.StatusCode, r.Header.Get("Content-Type"), string(raw)}, err
}

func get(t testing.TB, url string) answer {
	t.Helper()
	r, err := http.Get(url)
	ok(t, err)
	defer r.Body.Close()
	raw, err := io.ReadAll(r.Body)
	ok(t, err)
	return answer{r.StatusCode, r.Header.Get("Content-Type"), string(raw)}
}

func ok(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func random(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b)
	return b
}

// leaves are the leaf hashes from one entry up to another.
func (h *history) leaves(from, to int64) []tlog.Hash {
	var list []tlog.Hash
	for n := from; n < to; n++ {
		list = append(list, h.hashes[tlog.StoredHashIndex(0, n)])
	}
	return list
}
