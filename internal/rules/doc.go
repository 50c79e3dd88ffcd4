// Package rules holds the lines that the design draws across the whole tree:
// who may import whom, that a package says what it guards, that a file stays
// readable, that no test can be skipped. It has only tests.
//
// The rules are tables with the reason beside each. They read the source, not
// the build, so that no build tag hides a file from them, and each checker is
// itself shown a violation. They see what Go code imports, and not what it
// asks of another process.
package rules
