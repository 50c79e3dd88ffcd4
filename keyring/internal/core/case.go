package core

// SealCase wraps a leak scan's key for its case.
func (c *Core) SealCase(name string, key []byte) []byte {
	return seal(c.members, nil, key, casePlace(name))
}

// OpenCase unwraps it.
func (c *Core) OpenCase(name string, wrapped []byte) ([]byte, error) {
	return open(c.members, nil, wrapped, casePlace(name))
}

func casePlace(name string) []byte { return []byte("azekura case key 1\x00" + name) }
