// Package endtoend holds tests that run the real binary as its users do: killed
// under load, stopped politely, on a full disk, on a database put back from an
// earlier copy or altered behind its back, on both engines.
//
// What it holds the whole to: every plaintext that a client received is in the
// log, at the index that its answer named, with that participant and those
// fields.
package endtoend
