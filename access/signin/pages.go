package signin

import (
	"embed"
	"html/template"
	"net/http"

	"golang.org/x/text/language"
)

//go:embed page
var files embed.FS

var pages = template.Must(template.ParseFS(files, "page/*.html"))

// policy lets a page load this server's own script and style, and nothing else; and
// keeps it out of frames (CSP level 3).
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; require-trusted-types-for 'script'"

var languages = language.NewMatcher([]language.Tag{language.Japanese, language.English})

func (s *Server) addPages(mux *http.ServeMux) {
	for _, name := range []string{"signin", "enrol", "session"} {
		path := "GET /signin/" + name
		if name == "signin" {
			path = "GET /signin"
		}
		mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) { s.page(w, r, name, nil) })
	}
	for name, kind := range map[string]string{"signin.js": "text/javascript; charset=utf-8", "signin.css": "text/css; charset=utf-8"} {
		mux.HandleFunc("GET /signin/"+name, func(w http.ResponseWriter, _ *http.Request) {
			text, err := files.ReadFile("page/" + name)
			if err != nil { // it is in the binary
				panic(err)
			}
			w.Header().Set("Content-Type", kind)
			_, _ = w.Write(text) // the reader may be gone
		})
	}
}

// shown is what a page shows.
type shown struct {
	Page     string
	Japanese bool
	Provider bool
	Problem  string
}

// T is one of two texts, in the reader's language.
func (p shown) T(japanese, english string) string {
	if p.Japanese {
		return japanese
	}
	return english
}

func (s *Server) page(w http.ResponseWriter, r *http.Request, name string, failed error) {
	_, at := language.MatchStrings(languages, r.URL.Query().Get("lang"), r.Header.Get("Accept-Language"))
	p := shown{Page: name, Japanese: at == 0, Provider: s.provider != nil}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", policy)
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cache-Control", "no-store")
	if failed != nil {
		var status int
		status, p.Problem = s.told(failed)
		w.WriteHeader(status)
	}
	if err := pages.ExecuteTemplate(w, "page.html", p); err != nil {
		s.trouble(err)
	}
}

func (s *Server) fail(w http.ResponseWriter, r *http.Request, err error) { s.page(w, r, "signin", err) }
