// Package witness is an independent co-signer of transparency logs (C2SP
// tlog-witness), and, for logs that ask for it, a mirror of what they hold.
//
// A witness remembers, for each log that it was told of, the last head that it
// cosigned, and cosigns only what extends it. It promises: at one size it signs
// one root and no other; what it signs never shrinks; what it answers is synced
// before. So whoever sees its cosignature knows that everybody else who sees one
// sees the same history. It knows nothing of what a log holds, and takes any log
// that writes C2SP checkpoints.
//
// A mirror keeps a log's leaf hashes, checked against heads that it cosigned,
// and what the log's client uploads with them: lines and sealed blocks, encrypted
// to a key that the mirror doesn't have. It promises to give back what it took;
// it can't read it, and can't tell whether it is what the hashes say. Who opens it
// can.
//
// What it doesn't do: it doesn't look for a log's other readers, and one that
// stands under the log's own roof proves little.
package witness
