package api

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"path"
	"regexp"
	"runtime"
	"runtime/debug"
	"strings"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"
)

type requestKey struct{}

// described is where the API is.
const described = "/openapi.json describes what there is"

var requestID = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)

// guard stands before the operations: it gives each request an id, its own or
// ours, and says it back; answers what no operation is there for as every other
// error is answered, naming where to look; and tells a panic to the log instead
// of to nobody.
func (s *Server) guard(mux *http.ServeMux, look string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id := r.Header.Get("X-Request-Id")
		if !requestID.MatchString(id) {
			var raw [8]byte
			_, _ = rand.Read(raw[:]) // never fails: the program ends instead
			id = hex.EncodeToString(raw[:])
		}
		w.Header().Set("X-Request-Id", id)
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		defer s.fallen(w, id)
		if status, detail := misrouted(w, r, mux, look); status != 0 {
			writeProblem(w, status, detail)
			return
		}
		mux.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), requestKey{}, id)))
	})
}

func request(ctx context.Context) string {
	id, _ := ctx.Value(requestKey{}).(string)
	return id
}

// misrouted finds the status of a request that no operation is there for. A path
// is taken as it is: none is mended by a redirect.
func misrouted(w http.ResponseWriter, r *http.Request, mux *http.ServeMux, look string) (status int, detail string) {
	if r.URL.Path == path.Clean(r.URL.Path) {
		if _, pattern := mux.Handler(r); pattern != "" {
			return 0, ""
		}
		var allowed []string
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			other := *r
			other.Method = method
			if _, pattern := mux.Handler(&other); pattern != "" {
				allowed = append(allowed, method)
			}
		}
		if allowed != nil {
			w.Header().Set("Allow", strings.Join(allowed, ", "))
			return http.StatusMethodNotAllowed, "this takes " + strings.Join(allowed, " or ")
		}
	}
	return http.StatusNotFound, "there is nothing here; " + look
}

func writeProblem(w http.ResponseWriter, status int, detail string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(huma.NewError(status, detail)) // the reader may be gone
}

// fallen ends a request whose handler panicked. What a panic holds may be
// anybody's data; the runtime's own and the stack aren't.
func (s *Server) fallen(w http.ResponseWriter, id string) {
	p := recover()
	if p == nil {
		return
	}
	what := fmt.Sprintf("a %T", p)
	if fault, ok := p.(runtime.Error); ok {
		what = fault.Error()
	}
	s.logError(id, fmt.Errorf("panic: %s\n%s", what, debug.Stack()))
	writeProblem(w, http.StatusInternalServerError, internalError(id))
}

func internalError(id string) string {
	return "an internal error; the server's log has it under request " + id
}

// places are what an error may name as its place: our own names, not a caller's.
var places = regexp.MustCompile(`^(body|path|query|header)(\.[A-Za-z_]{1,24}|\[[0-9]{1,3}\])*$`)

func init() {
	huma.ValidateStrictCasing = true // "REF" beside "ref" would be a second reading of one property
	// Huma repeats the offending value in its error's details, and so do some of
	// the messages: it may be somebody's name. A property that we don't know is
	// named by the caller too.
	plain := huma.NewError
	huma.NewError = func(status int, message string, errs ...error) huma.StatusError {
		e := plain(status, message, errs...)
		model, ok := e.(*huma.ErrorModel)
		if !ok {
			return e
		}
		for _, d := range model.Errors {
			if d == nil {
				continue
			}
			d.Value = nil
			if !places.MatchString(d.Location) {
				d.Location, _, _ = strings.Cut(d.Location, ".")
			}
			switch {
			case strings.HasPrefix(d.Message, "json: "), strings.Contains(d.Message, "parsing "):
				d.Message = "a value isn't of the type or in the range that it must be"
			case status == http.StatusUnsupportedMediaType:
				d.Message = "a body is application/json"
			}
		}
		return e
	}
}

var errTwice = errors.New("a property is given twice")

// strict reads JSON, and refuses what two readers could understand in two ways:
// a property given twice, and bytes that aren't UTF-8.
func strict(data []byte, into any) error {
	parsed, first := into.(*any)
	if !first { // the second reading, of what was accepted
		return huma.DefaultJSONFormat.Unmarshal(data, into)
	}
	if !utf8.Valid(data) {
		return errors.New("the body isn't UTF-8")
	}
	if err := huma.DefaultJSONFormat.Unmarshal(data, parsed); err != nil {
		return errors.New("the body isn't JSON")
	}
	if colons(data) != members(*parsed) {
		return errTwice
	}
	return nil
}

// colons counts those outside strings: as many as an object's members are
// written, in JSON that is well formed.
func colons(data []byte) (n int) {
	for len(data) > 0 {
		i := bytes.IndexAny(data, `:"`)
		if i < 0 {
			break
		}
		if data[i] == ':' {
			n, data = n+1, data[i+1:]
			continue
		}
		for i++; data[i] != '"'; i++ {
			if data[i] == '\\' {
				i++
			}
		}
		data = data[i+1:]
	}
	return n
}

// members counts those that were understood.
func members(v any) (n int) {
	switch v := v.(type) {
	case map[string]any:
		n = len(v)
		for _, member := range v {
			n += members(member)
		}
	case []any:
		for _, item := range v {
			n += members(item)
		}
	}
	return n
}
