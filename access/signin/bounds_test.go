package signin

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// TestBodies: one JSON value, no property twice, in any case and at any depth.
func TestBodies(t *testing.T) {
	for text, taken := range map[string]bool{
		`{"code":"a"}`:                                    true,
		`{"a":{"code":"a"},"code":[{"a":1}]}`:             true,
		`{"code":"a","code":"b"}`:                         false,
		`{"code":"a","Code":"b"}`:                         false,
		"{\"code\":\"a\",\"c\\u006fde\":\"b\"}":           false,
		`{"a":{"b":1,"b":1}}`:                             false,
		`{"a":[{"b":1,"b":1}]}`:                           false,
		`{"a":1}{"a":1}`:                                  false,
		`{"a":1`:                                          false,
		"{\"a\":\"\xff\"}":                                false,
		strings.Repeat("[", 40) + strings.Repeat("]", 40): false,
		`{"a":"` + strings.Repeat("x", maxBody) + `"}`:    false,
	} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", strings.NewReader(text))
		r.Header.Set("Content-Type", "application/json")
		if _, err := body(httptest.NewRecorder(), r); (err == nil) != taken {
			t.Errorf("%.40q: %v", text, err)
		}
	}
}

// TestRefusalsAMinute: those beyond the bound aren't recorded, and the next minute's
// first says how many they were.
func TestRefusalsAMinute(t *testing.T) {
	var n refusals
	at := time.Unix(600, 0)
	for k := range mostRefusals + 7 {
		if passed, record := n.one(at); passed != 0 || record != (k < mostRefusals) {
			t.Fatal(k, passed, record)
		}
	}
	if passed, record := n.one(at.Add(time.Minute)); passed != 7 || !record {
		t.Error(passed, record)
	}
	if passed, record := n.one(at.Add(time.Minute)); passed != 0 || !record {
		t.Error(passed, record)
	}
}

// TestPendingIsBounded: no more ceremonies than the bound are under way, and those
// that are over make room.
func TestPendingIsBounded(t *testing.T) {
	s := &Server{pending: map[string]ceremony{}}
	for range maxPending {
		if err := s.begin(httptest.NewRecorder(), ceremonyCookie, ceremony{}); err != nil {
			t.Fatal(err)
		}
	}
	w := httptest.NewRecorder()
	if err := s.begin(w, ceremonyCookie, ceremony{}); err != errMany || len(w.Result().Cookies()) != 0 {
		t.Error(err)
	}
	for id, c := range s.pending {
		c.expires = time.Now().Add(-time.Second)
		s.pending[id] = c
		break
	}
	if err := s.begin(httptest.NewRecorder(), ceremonyCookie, ceremony{}); err != nil || len(s.pending) != maxPending {
		t.Error(err, len(s.pending))
	}
}
