package auditlog

// ForgetAuthority stores a state as a version of this program did that knew no
// sum of the events of authority.
func (s *Signer) ForgetAuthority() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.state.Authority = nil
	return s.store(s.state)
}

// SelectAuthority is the query that must go by its index.
const SelectAuthority = selectAuthority
