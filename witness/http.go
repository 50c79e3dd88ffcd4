package witness

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"azekura/auditlog/check"
)

// SizeType is the type of an answer that says the size of the last head that was
// cosigned (C2SP tlog-witness).
const SizeType = "text/x.tlog.size"

// Handler answers add-checkpoint, shows what is witnessed, and takes and gives
// what is mirrored.
func (w *Witness) Handler(logError func(error)) http.Handler {
	h := &handler{w, logError}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /add-checkpoint", h.addCheckpoint)
	mux.HandleFunc("GET /{$}", h.show)
	mux.HandleFunc("GET /.well-known/azekura-witness.json", h.describe)
	mux.HandleFunc("GET /logs/{name}/checkpoint", h.checkpoint)
	mux.HandleFunc("POST /logs/{name}/successor", h.follow)
	mux.HandleFunc("GET /logs/{name}/mirror", h.mirrored)
	mux.HandleFunc("POST /logs/{name}/mirror", h.upload)
	mux.HandleFunc("GET /logs/{name}/mirror/{from}/{part}", h.download)
	return mux
}

type handler struct {
	w        *Witness
	logError func(error)
}

func (h *handler) addCheckpoint(out http.ResponseWriter, in *http.Request) {
	body, err := read(out, in, MaxRequest)
	if err != nil {
		h.refuse(out, err)
		return
	}
	r, err := ParseRequest(body)
	if err != nil {
		h.refuse(out, err)
		return
	}
	lines, err := h.w.Cosign(r)
	if err != nil {
		h.refuse(out, err)
		return
	}
	out.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = out.Write(lines) // a client that went away asks again
}

// read reads a bounded body. A client that breaks off is at fault, and not we.
func read(out http.ResponseWriter, in *http.Request, most int64) ([]byte, error) {
	return readAll(http.MaxBytesReader(out, in.Body, most))
}

func readAll(in io.Reader) ([]byte, error) {
	body, err := io.ReadAll(in)
	var long *http.MaxBytesError
	if err != nil && !errors.As(err, &long) {
		err = malformed("the body ends early")
	}
	return body, err
}

// statuses are the answers of C2SP tlog-witness; the first that fits counts.
var statuses = []struct {
	err    error
	status int
}{
	{ErrMalformed, http.StatusBadRequest},
	{ErrUnknownLog, http.StatusNotFound},
	{os.ErrNotExist, http.StatusNotFound},
	{ErrSignature, http.StatusForbidden},
	{ErrFork, http.StatusConflict},
	{ErrProof, http.StatusUnprocessableEntity},
	{ErrUpload, http.StatusUnprocessableEntity},
	{ErrFollow, http.StatusUnprocessableEntity},
	{ErrAlone, http.StatusForbidden},
	{ErrParked, http.StatusRequestEntityTooLarge},
	{errBusy, http.StatusServiceUnavailable},
}

func (h *handler) refuse(out http.ResponseWriter, err error) {
	var conflict Conflict
	var long *http.MaxBytesError
	switch {
	case errors.As(err, &conflict):
		out.Header().Set("Content-Type", SizeType)
		out.WriteHeader(http.StatusConflict)
		fmt.Fprintf(out, "%d\n", conflict.Size)
		return
	case errors.As(err, &long):
		http.Error(out, fmt.Sprintf("the request is longer than %d bytes", long.Limit), http.StatusRequestEntityTooLarge)
		return
	}
	for _, known := range statuses {
		if errors.Is(err, known.err) {
			http.Error(out, known.err.Error(), known.status)
			return
		}
	}
	h.logError(err)
	http.Error(out, "the witness can't answer now", http.StatusInternalServerError)
}

// Description is what a witness says of itself.
type Description struct {
	Name string   `json:"name"`
	Keys []string `json:"keys"`
	Logs []Head   `json:"logs"`
}

func (h *handler) description() (Description, error) {
	heads, err := Heads(h.w.dir)
	return Description{Name: h.w.Name, Keys: h.w.Keys, Logs: heads}, err
}

func (h *handler) describe(out http.ResponseWriter, _ *http.Request) {
	d, err := h.description()
	if err != nil {
		h.refuse(out, err)
		return
	}
	answer(out, d)
}

func answer(out http.ResponseWriter, v any) {
	out.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(out).Encode(v) // who went away asks again
}

func (h *handler) show(out http.ResponseWriter, _ *http.Request) {
	d, err := h.description()
	if err != nil {
		h.refuse(out, err)
		return
	}
	out.Header().Set("Content-Type", "text/plain; charset=utf-8")
	fmt.Fprintf(out, "%s, a witness of transparency logs (C2SP tlog-witness). Public keys:\n", d.Name)
	for _, key := range d.Keys {
		fmt.Fprintln(out, key)
	}
	for _, l := range d.Logs {
		fmt.Fprintf(out, "\n%s\n%d\n%s\n", l.Origin, l.Size, l.Root)
	}
}

func (h *handler) checkpoint(out http.ResponseWriter, in *http.Request) {
	signed, err := h.w.Checkpoint(logName(in))
	if err != nil {
		h.refuse(out, err)
		return
	}
	out.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = out.Write(signed)
}

// maxStep bounds a request to follow: a proof and a line.
const maxStep = 512 << 10

// follow isn't of C2SP tlog-witness: it takes a log's signed word for who goes on.
func (h *handler) follow(out http.ResponseWriter, in *http.Request) {
	body, err := read(out, in, maxStep)
	if err != nil {
		h.refuse(out, err)
		return
	}
	var step check.Step
	if json.Unmarshal(body, &step) != nil {
		h.refuse(out, malformed("the body isn't a step"))
		return
	}
	next, err := h.w.Follow(logName(in), step)
	if err != nil {
		h.refuse(out, err)
		return
	}
	answer(out, next)
}

// logName takes no path for a name: it becomes part of one.
func logName(in *http.Request) string {
	name := in.PathValue("name")
	if len(name) != 64 || strings.Trim(name, "0123456789abcdef") != "" {
		return LogName("")
	}
	return name
}

func (h *handler) mirrored(out http.ResponseWriter, in *http.Request) {
	held, err := h.w.Mirrored(logName(in))
	if err != nil {
		h.refuse(out, err)
		return
	}
	answer(out, held)
}

// The note that an upload begins with comes within notePatience, and the rest
// within bodyPatience.
const (
	notePatience = 5 * time.Second
	bodyPatience = time.Minute
)

func (h *handler) upload(out http.ResponseWriter, in *http.Request) {
	held, err := h.take(out, in)
	if err != nil {
		h.refuse(out, err)
		return
	}
	answer(out, held)
}

// take reads an upload's note first, and takes one of the few places for the rest
// only if the log signed it and it is the next one: a stranger holds nobody up.
func (h *handler) take(out http.ResponseWriter, in *http.Request) (Held, error) {
	name := logName(in)
	if _, err := h.w.mirror(name); err != nil { // before a body is read for nobody
		return Held{}, err
	}
	deadline := http.NewResponseController(out)
	if err := deadline.SetReadDeadline(time.Now().Add(notePatience)); err != nil {
		return Held{}, err
	}
	body := http.MaxBytesReader(out, in.Body, MaxUpload)
	signed, raw, err := readNote(body)
	if err != nil {
		return Held{}, err
	}
	if err := h.w.Expects(name, signed); err != nil {
		return Held{}, err
	}
	select {
	case h.w.uploads <- struct{}{}:
		defer func() { <-h.w.uploads }()
	default:
		return Held{}, errBusy
	}
	if err := deadline.SetReadDeadline(time.Now().Add(bodyPatience)); err != nil {
		return Held{}, err
	}
	rest, err := readAll(body)
	if err != nil {
		return Held{}, err
	}
	return h.w.Take(name, append(raw, rest...))
}

// errBusy asks an uploader to come back.
var errBusy = errors.New("other uploads are under way; try again")

func (h *handler) download(out http.ResponseWriter, in *http.Request) {
	from, err := strconv.ParseInt(in.PathValue("from"), 10, 64)
	part, err2 := strconv.Atoi(in.PathValue("part"))
	if err != nil || err2 != nil || from < 0 || part < 0 {
		h.refuse(out, ErrMalformed)
		return
	}
	f, err := h.w.Upload(logName(in), from, part)
	if err != nil {
		h.refuse(out, err)
		return
	}
	defer f.Close()
	out.Header().Set("Content-Type", "application/octet-stream")
	_, _ = io.Copy(out, f)
}

// Serve answers on a listener until ctx ends, and then lets requests under way
// finish. With a certificate it speaks TLS.
func (w *Witness) Serve(ctx context.Context, l net.Listener, certFile, keyFile string, logError func(error)) error {
	s := &http.Server{Handler: w.Handler(logError), ReadHeaderTimeout: 5 * time.Second, ReadTimeout: time.Minute, WriteTimeout: 2 * time.Minute,
		IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 16 << 10, ErrorLog: log.New(io.Discard, "", 0)}
	failed := make(chan error, 1)
	go func() {
		if certFile != "" {
			failed <- s.ServeTLS(l, certFile, keyFile)
		} else {
			failed <- s.Serve(l)
		}
	}()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	err := s.Shutdown(end)
	if errors.Is(err, context.DeadlineExceeded) {
		err = s.Close()
	}
	return err
}
