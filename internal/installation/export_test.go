package installation

import "time"

// Missed is whether the hour of a daily job has come since a moment.
func Missed(hour int, since, now time.Time) bool { return hourly(hour).missed(since, now) }
