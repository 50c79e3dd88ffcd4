package access

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// exclusion is a pair of roles that must check each other, so that nobody holds
// both at one time.
type exclusion struct{ a, b, why string }

// exclusions is the whole table. What isn't in it goes together: a payment officer
// may be a security officer too, in an agency of few people, for neither opens
// records and neither consents to what the other does.
var exclusions = []exclusion{
	{"caseworker", "supervisor", "a supervisor consents to what caseworkers ask, and adds to their budgets"},
	{"caseworker", "payment-officer", "who changes where money goes doesn't send it"},
	{"caseworker", "security-officer", "a security officer watches who opens records"},
	{"caseworker", "auditor", "an auditor reads what the others did"},
	{"caseworker", "administrator", "who lets people in doesn't open participants"},
	{"supervisor", "payment-officer", "who consents to where money goes doesn't send it"},
	{"supervisor", "security-officer", "a security officer watches who opens records and who adds to budgets"},
	{"supervisor", "auditor", "an auditor reads what the others did"},
	{"supervisor", "administrator", "who lets people in doesn't open participants"},
	{"payment-officer", "auditor", "an auditor reads what the others did"},
	{"payment-officer", "administrator", "who lets people in doesn't send money"},
	{"security-officer", "auditor", "an auditor reads what the others did"},
	{"security-officer", "administrator", "a security officer vouches for those whom the administrator lets in"},
	{"auditor", "administrator", "an auditor reads what the others did"},
}

// excluded says why two roles can't be one person's, or "" where they can.
func excluded(a, b string) string {
	for _, x := range exclusions {
		if x.a == a && x.b == b || x.a == b && x.b == a {
			return x.why
		}
	}
	return ""
}

// checkRoles refuses roles that aren't known, given twice, or that must check each
// other.
func checkRoles(roles []string) error {
	for i, a := range roles {
		if !slices.Contains(Roles, a) {
			return fmt.Errorf("%w: the roles are %s", ErrInvalid, strings.Join(Roles, ", "))
		}
		for _, b := range roles[:i] {
			if a == b {
				return fmt.Errorf("%w: a role is named twice", ErrInvalid)
			}
			if why := excluded(a, b); why != "" {
				return fmt.Errorf("%w: nobody is %s and %s: %s", ErrInvalid, b, a, why)
			}
		}
	}
	return nil
}

// own are the roles that a staff member has for good.
func (s *Staff) own() []string {
	switch {
	case s.Left != nil:
		return nil
	case s.Roles != nil:
		return s.Roles
	}
	return []string{s.Role}
}

// held are the roles that a staff member has at a time: as a deputy first, then
// their own, but for those that a deputy's role excludes: those rest. mu or grants
// is held.
func (d *Directory) held(staff string, at time.Time) []string {
	of, ok := d.staff[staff]
	if !ok || of.Left != nil {
		return nil
	}
	var roles []string
	for _, p := range d.standing[staff] {
		if p.at(at) && !slices.Contains(roles, p.Role) {
			roles = append(roles, p.Role)
		}
	}
	slices.Sort(roles)
	acting := roles
	for _, r := range of.own() {
		rests := slices.ContainsFunc(acting, func(a string) bool { return excluded(a, r) != "" })
		if !rests && !slices.Contains(roles, r) {
			roles = append(roles, r)
		}
	}
	return roles
}

// stands tells whether a session's staff member still has the role that it acts
// in, and had it all the while. mu is held.
func (d *Directory) stands(row *sessionRow, now time.Time) bool {
	of, ok := d.staff[row.staff]
	if !ok || of.Left != nil {
		return false
	}
	if len(d.standing[row.staff]) == 0 { // the way of nearly every request
		return slices.Contains(of.Roles, row.role) || of.Roles == nil && of.Role == row.role
	}
	// An ended session stays ended: its role may have rested and come back since.
	for _, p := range d.standing[row.staff] {
		if excluded(p.Role, row.role) != "" && !p.From.After(now) && p.until().After(row.opened) {
			return false
		}
	}
	return slices.Contains(d.held(row.staff, now), row.role)
}

// RolesOf lists the roles that a staff member has now.
func (d *Directory) RolesOf(staff string) []string {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.held(staff, d.log.Now())
}
