// Package check is the sceptic's: it checks a transparency log, or a proof from
// one, with nothing but public keys. It trusts no server, no database and no
// other code of this module; it imports the standard library and x/mod's tlog
// and note, and can be read in one sitting. A test holds it to that.
//
// What it guards: a log of C2SP tlog-tiles is a signed checkpoint (size and root
// of an RFC 6962 tree), tiles of hashes, and bundles of entries. Log reads all of
// them, from the top down: the checkpoint's signature vouches for the root, the
// root for the tiles at the right edge, each hash in a tile for a whole tile below
// it, and the lowest tiles for each entry. So a file that isn't what was signed is
// named by itself, exactly, and nothing that was read before it is in doubt. Memory
// doesn't grow with the log.
//
// What it promises: a Report without an error means that every hash tile leads to
// the signed root and, if Entries says so, that every entry hashes to its leaf;
// that the witnesses it was told to ask for have cosigned; and that the log has
// grown from the earlier checkpoint that it was given. CheckProof promises the
// same of one entry.
//
// What it can't tell: whether others were shown another log under another
// checkpoint (that is what witnesses and an earlier checkpoint are for), whether
// what the entries say is true, and whether an event was ever recorded at all.
package check
