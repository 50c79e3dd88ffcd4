package drill

import (
	"context"
	"fmt"

	"azekura/internal/installation"
)

// InfectedDevice is the PC on which the attacker runs.
const InfectedDevice = "pc-01"

// members is how many staff are at work, each at a PC of their own.
const members = 6

// member is a staff member at work.
type member struct {
	staff, device, token string
	pc                   *enrolled // or nil, where PCs have no keys
	key                  *passkey  // likewise
}

// staff adds the staff, their PCs and their sessions. The first member works on
// the infected PC; the last session is the drill's own, in which it reads the refs.
func (d *drill) staff(ctx context.Context, inst *installation.Installation) error {
	for i := 1; i <= members; i++ {
		token, err := seat(ctx, inst, fmt.Sprintf("s-%02d", i), "caseworker", fmt.Sprintf("pc-%02d", i))
		if err != nil {
			return fmt.Errorf("staff the office: %w", err)
		}
		d.team = append(d.team, member{staff: fmt.Sprintf("s-%02d", i), device: fmt.Sprintf("pc-%02d", i), token: token})
	}
	return nil
}

// anOffice is how many staff have one office in the drill of days.
const anOffice = 30

// staffDays adds the staff of the drill of days, who get a session each day, and the
// PCs; those that nobody works at stand there.
func (d *drill) staffDays(ctx context.Context, inst *installation.Installation) error {
	for i := range d.Devices {
		// Those that nobody works at stand in the offices in turn.
		office, device := fmt.Sprintf("o-%02d", i%d.Staff/anOffice+1), pcCode(i)
		if _, err := inst.Access.AddDevice(ctx, device, office); err != nil {
			return fmt.Errorf("set up the PCs: %w", err)
		}
		if i >= d.Staff {
			continue
		}
		staff := fmt.Sprintf("s-%03d", i+1)
		if _, err := inst.Access.AddStaff(ctx, staff, "caseworker", office); err != nil {
			return fmt.Errorf("staff the office: %w", err)
		}
		d.team = append(d.team, member{staff: staff, device: device})
	}
	for _, o := range []struct{ staff, role string }{{"admin-1", "administrator"}, {"officer-1", "security-officer"}} {
		device := "pc-" + o.staff
		if _, err := inst.Access.AddDevice(ctx, device, "o-00"); err != nil {
			return fmt.Errorf("set up the officers' PCs: %w", err)
		}
		if _, err := inst.Access.AddStaff(ctx, o.staff, o.role, "o-00"); err != nil {
			return fmt.Errorf("appoint officers: %w", err)
		}
		d.days.officers = append(d.days.officers, member{staff: o.staff, device: device})
	}
	return nil
}

func pcCode(i int) string { return fmt.Sprintf("pc-%03d", i+1) }

func seat(ctx context.Context, inst *installation.Installation, staff, role, device string) (token string, err error) {
	if _, err := inst.Access.AddStaff(ctx, staff, role, "regional"); err != nil {
		return "", err
	}
	if _, err := inst.Access.AddDevice(ctx, device, "regional"); err != nil {
		return "", err
	}
	_, token, err = inst.Access.OpenSession(ctx, staff, device, 2*MaxTheft)
	return token, err
}
