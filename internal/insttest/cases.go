package insttest

import (
	"path/filepath"
	"testing"

	"azekura/access"
	"azekura/cases"
	"azekura/gate"
	"azekura/internal/db"
	"azekura/internal/installation"
	"azekura/population"
	"azekura/register/field"
)

// Raw is a connection of full rights to a closed installation's database, as its
// administrator has one.
func Raw(t testing.TB, dir string) db.DB {
	t.Helper()
	c, err := installation.ReadConfig(dir)
	if err != nil {
		t.Fatal(err)
	}
	url := c.Database
	if url == "" {
		url = filepath.Join(dir, "azekura.db")
	}
	d, err := db.Open(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// OpenCase opens a case of a kind for a session's staff member, about nobody yet.
func OpenCase(t testing.TB, i *installation.Installation, s access.Session, kind cases.Kind) string {
	t.Helper()
	info, err := i.Cases.Open(t.Context(), cases.By{Session: s}, kind, 0, nil, "")
	if err != nil {
		t.Fatal(err)
	}
	return info.Code
}

// Case opens a case about a participant, who is identified as a caller is who says
// all that is asked: to level 2. purpose must be one that the kind is for.
func Case(t testing.TB, i *installation.Installation, s access.Session, kind cases.Kind, purpose string, p *population.Person) string {
	t.Helper()
	code := OpenCase(t, i, s, kind)
	Answers(t, i, s, code, purpose, p, field.Number, field.Birth, field.Name)
	if _, err := i.Gate.Identify(t.Context(), s, code, gate.Who{Ref: p.Ref}, "", ""); err != nil {
		t.Fatal(err)
	}
	return code
}

// Answers has a caller say fields of theirs rightly.
func Answers(t testing.TB, i *installation.Installation, s access.Session, code, purpose string, p *population.Person, fields ...field.Field) {
	t.Helper()
	for _, f := range fields {
		claim := map[field.Field]string{field.Number: p.Number, field.Birth: p.Birth, field.Name: p.Name}[f]
		yes, err := i.Gate.Check(t.Context(), s, gate.CheckRequest{Who: gate.Who{Ref: p.Ref}, Why: gate.Why{Purpose: purpose, Case: code}, Field: f, Claim: claim})
		if err != nil || !yes {
			t.Fatalf("the participant's own %s: %v %v", f, yes, err)
		}
	}
}
