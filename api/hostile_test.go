package api_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"azekura/api"
	"azekura/auditlog"
	"azekura/internal/insttest"

	"github.com/google/uuid"
)

// secret stands where a caller may have put somebody's data; it comes back in no
// answer and in no line of the server's log.
const secret = "Himitsu-4649"

// honest is a body that is in order, but for what %s adds.
const honest = `{"ref":"A0000001","purpose":"enquiry","case":"K-1","fields":["name"]%s}`

var hostile = []struct {
	name, method, path, body string
	header                   [2]string // replaces one
	want                     int
}{
	{name: "no token", header: [2]string{"Authorization", ""}, want: 401},
	{name: "another scheme", header: [2]string{"Authorization", "Basic " + secret}, want: 401},
	{name: "a scheme alone", header: [2]string{"Authorization", "Bearer"}, want: 401},
	{name: "an empty token", header: [2]string{"Authorization", "Bearer "}, want: 401},
	{name: "an unknown token", header: [2]string{"Authorization", "Bearer azs_" + secret}, want: 401},
	{name: "no token on an unknown path", path: "/" + secret, header: [2]string{"Authorization", ""}, want: 404},

	{name: "a huge body", body: fmt.Sprintf(honest, `,"x":"`+strings.Repeat(secret, 2000)+`"`), want: 413},
	{name: "a body of blanks", body: strings.Repeat(" ", 1<<20), want: 413},
	{name: "no body", body: " ", want: 400},
	{name: "not JSON", body: secret, want: 400},
	{name: "a number cut short", body: `{"version":-` + secret, want: 400},
	{name: "JSON cut short", body: `{"ref":"` + secret, want: 400},
	{name: "JSON and more", body: fmt.Sprintf(honest, "") + secret, want: 400},
	{name: "null", body: "null", want: 422},
	{name: "an array", body: `["` + secret + `"]`, want: 422},
	{name: "a string", body: `"` + secret + `"`, want: 422},
	{name: "deep nesting", body: strings.Repeat("[", 16000), want: 400},
	{name: "deep nesting that ends", body: strings.Repeat("[", 8000) + strings.Repeat("]", 8000), want: 422},
	{name: "deep nesting within", body: fmt.Sprintf(honest, `,"x":`+strings.Repeat(`{"x":`, 2000)+"1"+strings.Repeat("}", 2000)), want: 422},
	{name: "a property twice", body: fmt.Sprintf(honest, `,"ref":"`+secret+`"`), want: 400},
	{name: "a property twice, spelt in two ways", body: fmt.Sprintf(honest, `,"\u0072ef":"`+secret+`"`), want: 400},
	{name: "a property twice within", path: "/v1/change", body: `{"ref":"A0000001","purpose":"change","case":"K-1","values":{"address":{"text":"x","text":"` + secret + `"}}}`, want: 400},
	{name: "bytes that aren't UTF-8", body: "{\"ref\":\"\xff\xfe" + secret + "\"}", want: 400},
	{name: "UTF-16", body: "\xff\xfe{\x00}\x00", want: 400},
	{name: "an unknown property", body: fmt.Sprintf(honest, `,"`+secret+`":1`), want: 422},
	{name: "a property in other letters", body: fmt.Sprintf(honest, `,"REF":"`+secret+`"`), want: 422},
	{name: "the purpose missing", body: `{"ref":"` + secret + `","case":"K-1","fields":["name"]}`, want: 422},
	{name: "a number for a text", body: `{"ref":4649,"purpose":"enquiry","case":"K-1","fields":["name"]}`, want: 422},
	{name: "a text for a list", body: `{"ref":"A0000001","purpose":"enquiry","case":"K-1","fields":"` + secret + `"}`, want: 422},
	{name: "an object in a list", body: `{"ref":"A0000001","purpose":"enquiry","case":"K-1","fields":[{"` + secret + `":1}]}`, want: 422},
	{name: "null for a text", body: `{"ref":null,"purpose":"enquiry","case":"K-1","fields":["name"]}`, want: 422},
	{name: "no fields", body: `{"ref":"A0000001","purpose":"enquiry","case":"K-1","fields":[]}`, want: 422},
	{name: "null fields", body: `{"ref":"A0000001","purpose":"enquiry","case":"K-1","fields":null}`, want: 422},
	{name: "too many fields", body: `{"ref":"A0000001","purpose":"enquiry","case":"K-1","fields":["name"` + strings.Repeat(`,"name"`, 11) + `]}`, want: 422},
	{name: "a field that there isn't", body: `{"ref":"A0000001","purpose":"enquiry","case":"K-1","fields":["` + secret + `"]}`, want: 422},
	{name: "a field that no record has", body: `{"ref":"A0000001","purpose":"enquiry","case":"K-1","fields":["mask"]}`, want: 422},
	{name: "a negative version", body: fmt.Sprintf(honest, `,"version":-1`), want: 422},
	{name: "half a version", body: fmt.Sprintf(honest, `,"version":1.5`), want: 422},
	{name: "a version out of range", body: fmt.Sprintf(honest, `,"version":46494649464946494649`), want: 422},
	{name: "a version out of any range", body: fmt.Sprintf(honest, `,"version":1e999`), want: 400},
	{name: "a version that there isn't", body: fmt.Sprintf(honest, `,"version":2`), want: 422},
	{name: "both ref and participant", body: fmt.Sprintf(honest, `,"participant":"0190163d-8694-739b-aea5-966c26f8ad91"`), want: 422},
	{name: "neither", body: `{"purpose":"enquiry","case":"K-1","fields":["name"]}`, want: 422},
	{name: "a participant that is no UUID", body: `{"participant":"` + secret + `","purpose":"enquiry","case":"K-1","fields":["name"]}`, want: 422},
	{name: "the nil UUID", body: `{"participant":"00000000-0000-0000-0000-000000000000","purpose":"enquiry","case":"K-1","fields":["name"]}`, want: 422},
	{name: "nobody's UUID", body: `{"participant":"0190163d-8694-739b-aea5-966c26f8ad91","purpose":"enquiry","case":"K-1","fields":["name"]}`, want: 404},
	{name: "nobody's ref", body: `{"ref":"` + secret + `","purpose":"enquiry","case":"K-1","fields":["name"]}`, want: 404},
	{name: "SQL", body: `{"ref":"A0000001' OR '1'='1","purpose":"enquiry","case":"K-1","fields":["name"]}`, want: 422},
	{name: "more SQL", body: `{"ref":"'; DROP TABLE log_event; --","purpose":"enquiry","case":"K-1","fields":["name"]}`, want: 422},
	{name: "a NUL", body: `{"ref":"A0000001\u0000","purpose":"enquiry","case":"K-1","fields":["name"]}`, want: 422},
	{name: "half a surrogate", body: `{"ref":"\ud800` + secret + `","purpose":"enquiry","case":"K-1","fields":["name"]}`, want: 422},
	{name: "a ref too long", body: `{"ref":"` + strings.Repeat(secret, 6) + `","purpose":"enquiry","case":"K-1","fields":["name"]}`, want: 422},
	{name: "a purpose that there isn't", body: `{"ref":"A0000001","purpose":"` + secret + `","case":"K-1","fields":["name"]}`, want: 422},
	{name: "a case of another form", body: `{"ref":"A0000001","purpose":"enquiry","case":"` + secret + `の件","fields":["name"]}`, want: 422},
	{name: "a case of two lines", body: `{"ref":"A0000001","purpose":"enquiry","case":"K-1\n` + secret + `","fields":["name"]}`, want: 422},

	{name: "a claim that can't be", path: "/v1/check", body: `{"ref":"A0000001","purpose":"enquiry","case":"K-1","field":"birth","claim":"` + secret + `"}`, want: 422},
	{name: "a claim about a mask", path: "/v1/check", body: `{"ref":"A0000001","purpose":"enquiry","case":"K-1","field":"mask","claim":"` + secret + `"}`, want: 422},
	{name: "a claim too long", path: "/v1/check", body: `{"ref":"A0000001","purpose":"enquiry","case":"K-1","field":"name","claim":"` + strings.Repeat(secret, 100) + `"}`, want: 422},
	{name: "a search by nothing", path: "/v1/search", body: `{"purpose":"enquiry","case":"K-1","by":"` + secret + `","value":"` + secret + `"}`, want: 422},
	{name: "a search for no number", path: "/v1/search", body: `{"purpose":"enquiry","case":"K-1","by":"number","value":"` + secret + `","birth":"1950-01-01"}`, want: 422},
	{name: "a search by a ref alone", path: "/v1/search", body: `{"purpose":"enquiry","case":"K-1","by":"ref","value":"` + secret + `"}`, want: 422},
	{name: "a search without its birth", path: "/v1/search", body: `{"purpose":"enquiry","case":"K-1","by":"name_birth","value":"` + secret + `"}`, want: 422},
	{name: "a search with a birth that can't be", path: "/v1/search", body: `{"purpose":"enquiry","case":"K-1","by":"name_birth","value":"佐藤","birth":"` + secret + `"}`, want: 422},
	{name: "a change of nothing", path: "/v1/change", body: `{"ref":"A0000001","purpose":"change","case":"K-1","values":{}}`, want: 422},
	{name: "a change to what can't be", path: "/v1/change", body: `{"ref":"A0000001","purpose":"change","case":"K-1","values":{"birth":"` + secret + `"}}`, want: 422},
	{name: "a change of an unknown field", path: "/v1/change", body: `{"ref":"A0000001","purpose":"change","case":"K-1","values":{"` + secret + `":"x"}}`, want: 422},
	{name: "set and cleared", path: "/v1/change", body: `{"ref":"A0000001","purpose":"change","case":"K-1","values":{"phone":"` + secret + `"},"clear":["phone"]}`, want: 422},
	{name: "a name cleared", path: "/v1/change", body: `{"ref":"A0000001","purpose":"change","case":"K-1","values":{},"clear":["name"]}`, want: 422},
	{name: "an account in parts", path: "/v1/change", body: `{"ref":"A0000001","purpose":"change","case":"K-1","values":{"account":{"bank_code":"` + secret + `"}}}`, want: 422},

	{name: "another method", method: "GET", want: 405},
	{name: "a method that there isn't", method: "HIMITSU", want: 405},
	{name: "HEAD", method: "HEAD", want: 405},
	{name: "OPTIONS", method: "OPTIONS", want: 405},
	{name: "a POST to a description", method: "POST", path: "/openapi.json", want: 405},
	{name: "no path", path: "/", want: 404},
	{name: "an unknown path", path: "/v1/" + secret, want: 404},
	{name: "a slash more", path: "/v1/read/", want: 404},
	{name: "two slashes", path: "//v1/read", want: 404},
	{name: "a way back", path: "/v1/../v1/read", want: 404},
	{name: "a way back to the operator", path: "/v1/../operator/staff", want: 404},
	{name: "a way to files", method: "GET", path: "/../../../../etc/passwd", want: 404},
	{name: "a way to files from the schemas", method: "GET", path: "/schemas/../azekura.json", want: 404},
	{name: "the operator", path: "/operator/staff", want: 404},
	{name: "the operator's list", method: "GET", path: "/operator/staff", want: 404},
	{name: "another content type", header: [2]string{"Content-Type", "text/plain"}, want: 415},
	{name: "a form", header: [2]string{"Content-Type", "application/x-www-form-urlencoded"}, body: "ref=" + secret, want: 415},
	{name: "an invented content type", header: [2]string{"Content-Type", secret}, want: 415},
}

func TestHostileRequests(t *testing.T) {
	each(t, func(t *testing.T, o *office) {
		for _, c := range hostile {
			t.Run(c.name, func(t *testing.T) {
				was := o.t
				o.t = t
				defer func() { o.t = was }()
				method, path, body := c.method, c.path, c.body
				if method == "" {
					method = http.MethodPost
				}
				if path == "" {
					path = "/v1/read"
				}
				if body == "" {
					body = fmt.Sprintf(honest, "")
				}
				r := o.request(method, path, body)
				if c.header[0] != "" {
					r.Header.Set(c.header[0], c.header[1])
				}
				w := answer(o.staff, r)
				if w.Code != c.want {
					t.Errorf("status %d, want %d: %s", w.Code, c.want, w.Body)
				}
				o.refusal(w, secret, "46494649")
				if (w.Header().Get("WWW-Authenticate") == "Bearer") != (w.Code == 401) {
					t.Errorf("WWW-Authenticate is %q", w.Header().Get("WWW-Authenticate"))
				}
				if (w.Header().Get("Allow") != "") != (w.Code == 405) {
					t.Errorf("Allow is %q", w.Header().Get("Allow"))
				}
			})
		}
		// They did no harm to anybody.
		o.reads()
		o.whole()
		for _, e := range insttest.Events(t, o.inst) {
			if strings.Contains(e.Case+e.Purpose+string(e.Detail), secret) {
				t.Errorf("event %d repeats what a request smuggled in", e.Index)
			}
		}
	})
}

// TestRequestIDs takes an id that is harmless, and makes one otherwise.
func TestRequestIDs(t *testing.T) {
	o := newOffice(t, insttest.Open(t, insttest.New(t, "sqlite")))
	for id, taken := range map[string]bool{
		"web-1.2_3": true, strings.Repeat("a", 64): true,
		strings.Repeat("a", 65): false, "a b": false, "a\r\nX-Evil: 1": false, "佐藤": false, `"}`: false, "": false, "a/b": false,
	} {
		r := o.request(http.MethodPost, "/v1/read", fmt.Sprintf(honest, ""))
		r.Header["X-Request-Id"] = []string{id}
		w := answer(o.staff, r)
		got := w.Header().Get("X-Request-Id")
		if w.Code != 200 || (got == id) != taken || got == "" {
			t.Errorf("id %q: status %d, answered with %q", id, w.Code, got)
		}
		events := insttest.Events(t, o.inst)
		if last := events[len(events)-1]; last.Request != got {
			t.Errorf("id %q: the event has %q, the answer %q", id, last.Request, got)
		}
	}
}

// TestRoles refuses who may not open, and says so in the log.
func TestRoles(t *testing.T) {
	each(t, func(t *testing.T, o *office) {
		s, token := insttest.Session(t, o.inst, "adm", "administrator", "d-1")
		o.token = token
		for _, path := range []string{"/v1/read", "/v1/check", "/v1/search", "/v1/change"} {
			body := map[string]string{
				"/v1/read": fmt.Sprintf(honest, ""), "/v1/change": `{"ref":"A0000001","purpose":"change","case":"K-1","values":{},"clear":["phone"]}`,
				"/v1/check":  `{"ref":"A0000001","purpose":"enquiry","case":"K-1","field":"birth","claim":"1950-01-01"}`,
				"/v1/search": `{"purpose":"enquiry","case":"K-1","by":"ref","value":"A0000001","birth":"1950-01-01"}`,
			}[path]
			w := answer(o.staff, o.request(http.MethodPost, path, body))
			if w.Code != http.StatusForbidden {
				t.Errorf("%s: status %d", path, w.Code)
			}
			o.refusal(w)
			events := insttest.Events(t, o.inst)
			if last := events[len(events)-1]; last.Action != auditlog.Deny || last.Staff != "adm" || last.Participant != (uuid.UUID{}) {
				t.Errorf("%s: the last event is a %s", path, last.Action)
			}
		}
		// A session that is closed is none.
		if _, err := o.inst.Access.CloseSession(t.Context(), s.ID()); err != nil {
			t.Fatal(err)
		}
		w := answer(o.staff, o.request(http.MethodPost, "/v1/read", fmt.Sprintf(honest, "")))
		if w.Code != http.StatusUnauthorized {
			t.Errorf("a closed session: status %d", w.Code)
		}
		o.refusal(w)
	})
}

// TestInternalErrors breaks the database under the server: what isn't known to
// be harmless stays in its log, under the request's id.
func TestInternalErrors(t *testing.T) {
	each(t, func(t *testing.T, o *office) {
		o.reads()
		for _, sql := range []string{"ALTER TABLE register_version RENAME TO lost", "ALTER TABLE lost RENAME TO register_version"} {
			if _, err := o.inst.DB.Exec(t.Context(), sql); err != nil {
				t.Fatal(err)
			}
			if strings.HasSuffix(sql, "lost") {
				r := o.request(http.MethodPost, "/v1/read", fmt.Sprintf(honest, ""))
				r.Header.Set("X-Request-Id", "r-4649")
				w := answer(o.staff, r)
				if w.Code != http.StatusInternalServerError || !strings.Contains(w.Body.String(), "under request r-4649") {
					t.Errorf("status %d: %s", w.Code, w.Body)
				}
				o.refusal(w)
				if strings.Contains(w.Body.String(), "register_version") {
					t.Errorf("the answer tells the cause: %s", w.Body)
				}
				if !strings.Contains(o.log(), "r-4649: ") || !strings.Contains(o.log(), "register_version") {
					t.Errorf("the server's log doesn't say why:\n%s", o.log())
				}
			}
		}
		o.reads()
		// The API's own client shows a problem's text.
		c := api.Local(o.staff)
		c.Token = "azs_x"
		if err := c.Do(t.Context(), http.MethodPost, "/v1/read", struct{}{}, nil); err == nil || !strings.Contains(err.Error(), "required") {
			t.Errorf("the client says %v", err)
		}
	})
}
