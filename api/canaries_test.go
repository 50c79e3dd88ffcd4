package api_test

import (
	"bytes"
	"net/http"
	"strings"
	"testing"

	"azekura/api"
	"azekura/internal/insttest"
	"azekura/population"
	"azekura/register"

	"github.com/google/uuid"
)

// TestTouchByAPI: whoever opens a planted canary gets nothing of it and is contained:
// the same session's next request is refused, another's isn't. How many canaries
// there are a security officer is told alone.
func TestTouchByAPI(t *testing.T) {
	each(t, func(t *testing.T, o *office) {
		birds := o.plant()
		beside := o.as("supervisor")
		for _, other := range []*office{o, beside} {
			if code := other.post("/v1/canaries/count", struct{}{}, nil); code != http.StatusForbidden {
				t.Fatalf("counting canaries as another: %d", code)
			}
		}
		w := answer(o.staff, o.as("security-officer").request(http.MethodPost, "/v1/canaries/count", "{}"))
		if w.Code != http.StatusOK || !strings.Contains(w.Body.String(), `"canaries":`) {
			t.Fatalf("counting: %d %s", w.Code, w.Body)
		}
		o.reads()
		in := api.ReadRequest{Whom: api.Whom{Participant: birds[0].String()}, Reason: why, Fields: []string{"name"}}
		if code := o.post("/v1/read", in, nil); code != http.StatusUnauthorized {
			t.Fatalf("a canary's name: %d", code)
		}
		in.Whom = api.Whom{Ref: o.people[0].Ref}
		if code := o.post("/v1/read", in, nil); code != http.StatusUnauthorized {
			t.Fatalf("the next read of who touched a canary: %d", code)
		}
		beside.reads()
		o.whole()
	})
}

// plant imports people with canaries, and returns those.
func (o *office) plant() (birds []uuid.UUID) {
	o.t.Helper()
	var b bytes.Buffer
	err := population.WriteCSVWithGaps(o.t.Context(), &b, 12, 200, 0.2, nil)
	if err == nil {
		// Of another agency: the office's people have these refs already.
		file := insttest.File(o.t, bytes.ReplaceAll(b.Bytes(), []byte("\nA0"), []byte("\nK0")))
		_, err = insttest.TryImport(o.t.Context(), o.inst, file, register.ImportOptions{Density: 0.2})
	}
	if err == nil {
		err = o.inst.Register.EachID(o.t.Context(), func(ids []uuid.UUID, _ []int64) error {
			for _, id := range ids {
				if o.inst.Gate.IsCanary(id) {
					birds = append(birds, id)
				}
			}
			return nil
		})
	}
	if err != nil || len(birds) == 0 {
		o.t.Fatalf("%d canaries: %v", len(birds), err)
	}
	return birds
}
