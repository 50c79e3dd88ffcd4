//go:build race

package auditlog_test

// raced is whether the race detector runs, which takes ten times as long. What
// is large only for its size, and not for goroutines, is then left to the run
// without it.
const raced = true
