package api

import "time"

// SetMaxWait lets a test wait less long for a database that is away.
func SetMaxWait(d time.Duration) (reset func()) {
	before := maxWait
	maxWait = d
	return func() { maxWait = before }
}
