package incident

import (
	"testing"

	"azekura/register/field"
)

func TestCellsAreNoFormulas(t *testing.T) {
	for cell, want := range map[string]string{
		"": "", "name birth": "name birth", "2015-05-08": "2015-05-08",
		"=1+1": "'=1+1", "+81": "'+81", "-1": "'-1", "@SUM(A1)": "'@SUM(A1)", "\t=1": "'\t=1", "\r=1": "'\r=1",
	} {
		if got := inert(cell); got != want {
			t.Errorf("%q became %q, want %q", cell, got, want)
		}
	}
}

// TestEveryFieldHasItsWords: a field that is added gets a Japanese name too.
func TestEveryFieldHasItsWords(t *testing.T) {
	for _, f := range append(field.All(), field.Award, field.Existence, field.Mask) {
		if japaneseFields[f] == "" {
			t.Errorf("%s has no Japanese name", f)
		}
	}
}
