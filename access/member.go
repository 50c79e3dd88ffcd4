package access

// Member is the staff member of an id, or false.
func (d *Directory) Member(id string) (Staff, bool) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	staff, ok := d.staff[id]
	return staff, ok
}

// Staff is the id of the session's staff member.
func (s Session) Staff() string { return s.staff }

// Office is the office of the session's staff member.
func (s Session) Office() string { return s.office }
