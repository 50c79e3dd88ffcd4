package access

// Member is the staff member of an id, or false.
func (d *Directory) Member(id string) (Staff, bool) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	staff, ok := d.staff[id]
	return staff, ok
}
