package register_test

import (
	"testing"

	"azekura/gate"
	"azekura/internal/installation"
	"azekura/internal/insttest"
	"azekura/register/field"
)

// TestGuard: the rows that an earlier version of the program wrote, without MACs
// and without the index of their events, get both, once.
func TestGuard(t *testing.T) {
	insttest.EachOpen(t, func(t *testing.T, i *installation.Installation) {
		people := insttest.People(7, 30)
		insttest.Import(t, i, insttest.CSV(t, 7, 30))
		s := insttest.Caseworker(t, i)
		change := gate.ChangeRequest{Who: gate.Who{Ref: people[3].Ref}, Why: insttest.Why, Values: map[field.Field]string{field.Phone: "03-1234-5678"}}
		if _, err := i.Gate.Change(t.Context(), s, change); err != nil {
			t.Fatal(err)
		}
		for _, sql := range []string{"UPDATE register_version SET job = 0 WHERE job < 0", "UPDATE register_version SET mac = NULL", "UPDATE register_import SET mac = NULL"} {
			if n, err := i.DB.Exec(t.Context(), sql); err != nil || n == 0 {
				t.Fatal(sql, n, err)
			}
		}
		if v, err := i.Gate.VerifyRegister(t.Context(), nil); err != nil || v.OK {
			t.Errorf("rows without MACs pass: %v", err)
		}
		i.Register.Unguard()
		if err := i.Register.Guard(t.Context()); err != nil {
			t.Fatal(err)
		}
		if v, err := i.Gate.VerifyRegister(t.Context(), nil); err != nil || !v.OK || v.Changes != 1 || v.Participants != 30 || v.Members != 30 {
			t.Errorf("%+v, %v", v, err)
		}
		if again := insttest.Import(t, i, insttest.CSV(t, 7, 30)); !again.Finished {
			t.Errorf("%+v", again)
		}
		// Once the log says so, a row without is nobody's.
		if _, err := i.DB.Exec(t.Context(), "UPDATE register_version SET mac = NULL WHERE job < 0"); err != nil {
			t.Fatal(err)
		}
		if err := i.Register.Guard(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := i.Gate.Change(t.Context(), s, change); err == nil {
			t.Error("a row without a MAC is believed")
		}
	})
}
