// Package backup writes and reads an installation's backup: one stream that
// holds the tables as rows of integers, bytes and texts, so that either engine's
// backup restores on either engine, and the few files that a lost machine takes
// with it.
//
// The stream is compressed (zstd) and then encrypted (age) to recipients; what is
// stored can't be read, nor cut short or altered by one byte unnoticed, without
// one of their identities. Memory doesn't grow with the tables, on either way.
//
// It promises that what Read hands over is what Write was given, row for row:
// each table ends with its number of rows and a sum over them. It doesn't know who
// wrote a backup: anybody can encrypt to a public key. That is for who restores
// it to hold against the log's signed head.
package backup
