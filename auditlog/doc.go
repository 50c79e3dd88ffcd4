// Package auditlog keeps the append-only, tamper-evident record of every
// opening, check, search, denial, change and grant, and hands out the receipts
// without which nothing is opened.
//
// What it promises: a receipt exists only for an event that is committed in
// the database and covered by a head that the signer has synced; recorded is
// always a superset of released; an event's bytes never change; any row that
// was altered, removed, inserted or put back is found by Verify against the
// signed head, and named by its index.
//
// How: events are lines of JSON; one sequencer a log drains its queue into one
// transaction (compare-and-swap of the head, events, full tiles), so a batch is
// whatever queued while the last one was committing, and there is no timer. The
// leaf hashes then go, from memory, to the signer, whose own state lies outside
// the database; it extends the head that it signed last, syncs, signs; then
// receipts go out. Leaves and nodes are RFC 6962's; hash tiles of height 8 and
// checkpoints are C2SP tlog-tiles' and tlog-checkpoint's.
//
// What it doesn't do: it can't keep a database administrator from destroying
// the log, only from doing it unnoticed; and a signer on the same machine is no
// witness. Package serve shows the log to the world, package check checks what is
// shown.
package auditlog
