package check

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/mod/sumdb/tlog"
)

// Proof shows that a log holds an entry at an index, to whoever has the entry or
// its hash (C2SP tlog-proof).
type Proof struct {
	Index int64
	Path  []tlog.Hash // the inclusion proof, from the leaf's sibling up
	// Extra is what the file carries besides. Prove puts the entry's leaf hash
	// there, 32 bytes, so that the proof can be checked by who hasn't the entry.
	// It isn't signed: it counts only as far as the proof bears it out.
	Extra      []byte
	Checkpoint []byte // with the log's signature and its witnesses'
}

const proofHeader = "c2sp.org/tlog-proof@v1"

// Format writes a proof's file.
func (p Proof) Format() []byte {
	var b strings.Builder
	b.WriteString(proofHeader + "\n")
	if len(p.Extra) > 0 {
		fmt.Fprintf(&b, "extra %s\n", base64.StdEncoding.EncodeToString(p.Extra))
	}
	fmt.Fprintf(&b, "index %d\n", p.Index)
	for _, hash := range p.Path {
		fmt.Fprintf(&b, "%s\n", hash)
	}
	fmt.Fprintf(&b, "\n%s", p.Checkpoint)
	return []byte(b.String())
}

// MaxProof bounds a proof's file, in bytes.
const MaxProof = maxCheckpoint + 32<<10

// ParseProof reads what Format writes, and no other spelling. It judges nothing.
func ParseProof(file []byte) (Proof, error) {
	if len(file) > MaxProof {
		return Proof{}, errors.New("the file is too long for a proof")
	}
	top, checkpoint, ok := strings.Cut(string(file), "\n\n")
	lines := strings.Split(top, "\n")
	if !ok || lines[0] != proofHeader {
		return Proof{}, errors.New("not a proof: it begins " + proofHeader)
	}
	p, lines := Proof{Checkpoint: []byte(checkpoint)}, lines[1:]
	if len(lines) > 0 && strings.HasPrefix(lines[0], "extra ") {
		var err error
		if p.Extra, err = decode(lines[0][len("extra "):]); err != nil || len(p.Extra) == 0 {
			return Proof{}, errors.New("the proof's extra line isn't base64")
		}
		lines = lines[1:]
	}
	if len(lines) == 0 || !strings.HasPrefix(lines[0], "index ") {
		return Proof{}, errors.New("the proof has no index line")
	}
	var err error
	if p.Index, err = parseNumber(lines[0][len("index "):]); err != nil {
		return Proof{}, errors.New("the proof's index isn't a number")
	}
	if lines = lines[1:]; len(lines) > 63 {
		return Proof{}, errors.New("the proof has more hashes than any tree is high")
	}
	for _, line := range lines {
		hash, err := parseHash(line)
		if err != nil {
			return Proof{}, errors.New("the proof has a line that isn't a hash")
		}
		p.Path = append(p.Path, hash)
	}
	return p, nil
}

// Prove makes a proof from a log's checkpoint and tiles. Whose signatures the
// checkpoint has is for those to judge who check it.
func Prove(ctx context.Context, src Source, index int64) (Proof, error) {
	signed, err := src.Read(ctx, "checkpoint", maxCheckpoint)
	if err != nil {
		return Proof{}, fmt.Errorf("read the checkpoint: %w", err)
	}
	text, _, ok := strings.Cut(string(signed), "\n\n")
	if !ok {
		return Proof{}, errors.New("the checkpoint isn't a signed note")
	}
	c := &checker{src: src}
	if c.head, err = parseHead(text + "\n"); err != nil {
		return Proof{}, err
	}
	if index < 0 || index >= c.head.Size {
		return Proof{}, fmt.Errorf("the checkpoint covers %d entries; entry %d isn't one of them, or not yet", c.head.Size, index)
	}
	reader := c.hashes(ctx)
	path, err := tlog.ProveRecord(c.head.Size, index, reader)
	if err != nil {
		return Proof{}, fmt.Errorf("prove entry %d: %w", index, err)
	}
	leaf, err := reader.ReadHashes([]int64{tlog.StoredHashIndex(0, index)})
	if err != nil {
		return Proof{}, fmt.Errorf("prove entry %d: %w", index, err)
	}
	return Proof{Index: index, Path: path, Extra: leaf[0][:], Checkpoint: signed}, nil
}

// Entry reads the entry at an index, for a proof's reader. It isn't checked: the
// proof does that.
func Entry(ctx context.Context, src Source, p Proof) ([]byte, error) {
	text, _, _ := strings.Cut(string(p.Checkpoint), "\n\n")
	c := &checker{src: src}
	var err error
	if c.head, err = parseHead(text + "\n"); err != nil {
		return nil, err
	}
	n := p.Index / width
	data, err := c.read(ctx, tlog.Tile{H: height, L: -1, N: n, W: int(min(width, c.head.Size-n*width))})
	if err != nil {
		return nil, fmt.Errorf("read the entry: %w", err)
	}
	var entry []byte
	for range p.Index%width + 1 {
		entry, data = cutEntry(data)
	}
	return entry, nil
}

// CheckProof checks a proof's file against the keys, and against the entry, or
// if that is nil against the leaf hash that the file carries.
func (k Keys) CheckProof(file, entry []byte) (Proof, Head, error) {
	p, err := ParseProof(file)
	if err != nil {
		return Proof{}, Head{}, err
	}
	head, err := k.Open(p.Checkpoint)
	if err != nil {
		return Proof{}, Head{}, err
	}
	if p.Index >= head.Size {
		return Proof{}, Head{}, errors.New("the proof's index lies beyond its checkpoint")
	}
	if entry == nil && len(p.Extra) != tlog.HashSize {
		return Proof{}, Head{}, errors.New("the proof doesn't carry its entry's hash; give the entry")
	}
	leaf := tlog.RecordHash(entry)
	if entry == nil {
		leaf = tlog.Hash(p.Extra)
	}
	if err := tlog.CheckRecord(p.Path, head.Size, head.Root, p.Index, leaf); err != nil {
		if entry != nil {
			return Proof{}, Head{}, errors.New("the entry that was given isn't the one that the proof is of, or the proof is false")
		}
		return Proof{}, Head{}, errors.New("the proof is false: its hashes don't lead to the signed root")
	}
	return p, head, nil
}
