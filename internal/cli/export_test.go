package cli

import "time"

// SetPatience lets a test wait less long for a server that starts.
func SetPatience(d time.Duration) { patience = d }
