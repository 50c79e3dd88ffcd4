package scan

// FileFindings is what one file holds: people by the surest grade of each in it, and
// what became of the file.
type FileFindings struct {
	Path   string
	People map[Grade]int
	State  State
	Unread int // entries of its ledger that weren't read
}

// PerFile says what each file holds, in the files' order.
func (r *Result) PerFile(f func(FileFindings)) {
	best := make([]map[uint32]Grade, len(r.files))
	for _, p := range r.places {
		if best[p.file] == nil {
			best[p.file] = map[uint32]Grade{}
		}
		if was, ok := best[p.file][p.Person]; !ok || p.Grade < was {
			best[p.file][p.Person] = p.Grade
		}
	}
	for i := range r.files {
		d := &r.files[i]
		one := FileFindings{Path: d.Path, People: map[Grade]int{}}
		for _, g := range best[i] {
			one.People[g]++
		}
		for n, e := range d.Ledger {
			if n == 0 {
				one.State = e.State
			}
			if e.State != Parsed {
				one.Unread++
			}
		}
		f(one)
	}
}
