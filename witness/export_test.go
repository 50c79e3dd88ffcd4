package witness

// LimitParked makes the bound of parts that wait small, and gives back what sets it
// as it was.
func LimitParked(n int64) (restore func()) {
	was := maxParked
	maxParked = n
	return func() { maxParked = was }
}
