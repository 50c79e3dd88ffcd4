// Package interop holds the audit log's formats against tools that no one here
// wrote: Tessera's fsck and its POSIX logs, x/mod's tlog and note, and the
// signers of transparency-dev/formats. It has only tests.
//
// What passes here is the promise that a sceptic needs none of our code. The tools
// are used in tests alone, and nothing of them is in the binary.
package interop
