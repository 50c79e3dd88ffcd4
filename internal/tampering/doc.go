// Package tampering has no code: its test takes a database connection of full
// rights and does to an installation what a database's administrator could, row by
// row and table by table, on either engine. It promises that each act is either
// found, by the command or at the moment that the test's table names, or has no
// effect; the table is printed, and doc/tampering.md holds a copy.
//
// It doesn't stand for who has the server's own folder too: the signer's key and
// state lie there.
package tampering
