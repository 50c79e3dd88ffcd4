//go:build !race

package auditlog_test

const raced = false
