package leakscan

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"
	"math/bits"
	"os"
	"path/filepath"
	"runtime"
	"sync"

	"azekura/register/normal"
)

// BuildOptions say what an index is for.
type BuildOptions struct {
	Case    string
	People  int64 // about how many will come: sizes the shards
	Workers int   // 0: one a processor
}

// perShard is about how many people a shard is made for: its filter stays within
// a processor's cache.
const perShard = 400_000

// mostParts bounds the files of a kind that are open at once. Where there are more
// shards, a part holds the anchors of several, and is read once for each.
const mostParts = 64

// batchPeople is how many people one worker normalises at a time.
const batchPeople = 512

// Builder makes an index file. Add is for one goroutine; normalising and sorting
// use the others. Memory: the batches under way and one shard of an anchor kind a
// worker, whatever the number of people.
type Builder struct {
	keys    *Keys
	o       BuildOptions
	path    string
	out     *output
	temp    string
	parts   [Kinds][]*spill
	bits    uint8
	people  uint32
	perches *bufio.Writer // of the directory, which comes after the records
	perchAt uint64        // of the first of the 16 people who are on their way
	dir     *os.File
	batch   *batch
	work    chan *batch
	ordered chan *batch
	done    chan error
	workers sync.WaitGroup
	failed  error
}

// batch is people on their way through a worker.
type batch struct {
	first   uint32
	people  []Person
	records []byte
	sizes   []int
	tokens  [Kinds][]anchor
	ready   chan struct{}
}

// anchor is a token and its person.
type anchor struct {
	token  uint64
	person uint32
}

// NewBuilder begins an index. The file appears under its name only when Finish
// has written all of it.
func NewBuilder(path string, keys *Keys, o BuildOptions) (*Builder, error) {
	if o.Case == "" || len(o.Case) > maxCase {
		return nil, fmt.Errorf("a case's code has 1 to %d characters", maxCase)
	}
	if o.Workers <= 0 {
		o.Workers = runtime.GOMAXPROCS(0)
	}
	shards := max(o.People/perShard, 1)
	b := &Builder{keys: keys, o: o, path: path, bits: uint8(min(bits.Len64(uint64(shards-1)), 12))}
	var err error
	if b.temp, err = os.MkdirTemp(filepath.Dir(path), ".leakindex-"); err != nil {
		return nil, fmt.Errorf("make a folder for the index's parts: %w", err)
	}
	if err := b.begin(); err != nil {
		return nil, errors.Join(err, b.Abandon())
	}
	return b, nil
}

func (b *Builder) begin() error {
	var err error
	if b.out, err = newOutput(filepath.Join(b.temp, "index")); err != nil {
		return err
	}
	if b.dir, err = os.OpenFile(filepath.Join(b.temp, "directory"), os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600); err != nil {
		return fmt.Errorf("make a part of the index: %w", err)
	}
	b.perches = bufio.NewWriterSize(b.dir, 1<<16)
	for kind := range b.parts {
		b.parts[kind] = make([]*spill, 1<<min(b.bits, uint8(bits.Len(mostParts-1))))
		for i := range b.parts[kind] {
			if b.parts[kind][i], err = newSpill(filepath.Join(b.temp, fmt.Sprintf("%d-%d", kind, i))); err != nil {
				return err
			}
		}
	}
	b.work, b.ordered, b.done = make(chan *batch, b.o.Workers), make(chan *batch, 2*b.o.Workers), make(chan error, 1)
	for range b.o.Workers {
		b.workers.Go(b.normalise)
	}
	go func() { b.done <- b.write() }()
	return nil
}

// Add takes the next person. The values are kept until they are normalised:
// don't reuse their slice.
func (b *Builder) Add(p Person) error {
	if b.people == MaxPeople {
		return errors.New("an index holds 2,147,483,647 people at most")
	}
	if b.batch == nil {
		b.batch = &batch{first: b.people, people: make([]Person, 0, batchPeople), ready: make(chan struct{})}
	}
	b.batch.people = append(b.batch.people, p)
	b.people++
	if len(b.batch.people) == batchPeople {
		return b.send()
	}
	return nil
}

func (b *Builder) send() error {
	next := b.batch
	b.batch = nil
	select {
	case b.ordered <- next:
		b.work <- next
		return nil
	case b.failed = <-b.done:
		b.done <- b.failed
		return b.failed
	}
}

// normalise is a worker.
func (b *Builder) normalise() {
	var f forms
	for next := range b.work {
		for i := range next.people {
			f.reset()
			for _, v := range next.people[i].Values {
				f.value(v)
			}
			person, from := next.first+uint32(i), len(next.records)
			f.anchors(func(kind Kind, form []byte) {
				next.tokens[kind] = append(next.tokens[kind], anchor{b.keys.Token(kind, form), person})
			})
			next.records = f.record(next.records, b.keys, next.people[i].ID, person)
			next.sizes = append(next.sizes, len(next.records)-from)
		}
		next.people = nil
		close(next.ready)
	}
}

// write puts the batches down in order.
func (b *Builder) write() error {
	var failed error
	for next := range b.ordered {
		<-next.ready
		if failed == nil {
			failed = b.put(next)
		}
	}
	return failed
}

func (b *Builder) put(next *batch) error {
	at := b.out.at
	for i, size := range next.sizes {
		if err := b.perch(next.first+uint32(i), at); err != nil {
			return err
		}
		at += uint64(size)
	}
	b.out.write(next.records)
	for kind := range next.tokens {
		parts := b.parts[kind]
		shift := 64 - bits.Len(uint(len(parts)-1))
		for _, a := range next.tokens[kind] {
			n := 0
			if shift < 64 {
				n = int(a.token >> shift)
			}
			parts[n].add(a)
		}
	}
	return b.out.err
}

// perch writes the directory: a place for every fourth person.
func (b *Builder) perch(person uint32, at uint64) error {
	var entry []byte
	switch person % everyPerch {
	case 0:
		b.perchAt = at
		entry = binary.LittleEndian.AppendUint64(nil, at)
	case everyStep, 2 * everyStep:
		entry = binary.LittleEndian.AppendUint16(nil, uint16(at-b.perchAt)) // 12 records have 10 KB at most
	case 3 * everyStep:
		entry = binary.LittleEndian.AppendUint32(nil, uint32(at-b.perchAt))
	default:
		return nil
	}
	_, err := b.perches.Write(entry)
	return err
}

// directory copies what perch wrote.
func (b *Builder) directory() error {
	if n := (b.people + everyPerch - 1) % everyPerch; b.people > 0 { // fill the last entry up
		missing := [everyPerch / everyStep]int{8, 6, 4, 0}[n/everyStep]
		_, _ = b.perches.Write(make([]byte, missing)) // Flush tells
	}
	if err := b.perches.Flush(); err != nil {
		return fmt.Errorf("write the index's directory: %w", err)
	}
	if _, err := b.dir.Seek(0, io.SeekStart); err != nil {
		return fmt.Errorf("write the index's directory: %w", err)
	}
	piece := make([]byte, 1<<18)
	for {
		n, err := b.dir.Read(piece)
		b.out.write(piece[:n])
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("write the index's directory: %w", err)
		}
	}
}

// Finish sorts, writes the shards and gives the file its name.
func (b *Builder) Finish(ctx context.Context) error {
	if b.batch != nil {
		if err := b.send(); err != nil {
			return errors.Join(err, b.Abandon())
		}
	}
	if err := b.stop(); err != nil {
		return errors.Join(err, b.Abandon())
	}
	err := b.finish(ctx)
	return errors.Join(err, b.Abandon())
}

func (b *Builder) stop() error {
	if b.work == nil {
		return nil
	}
	close(b.work)
	b.workers.Wait()
	close(b.ordered)
	b.work = nil
	return <-b.done
}

func (b *Builder) finish(ctx context.Context) error {
	h := head{normal: normal.Version, people: uint64(b.people), name: b.o.Case}
	b.out.align()
	h.directory = b.out.at
	if err := b.directory(); err != nil {
		return err
	}
	var table []byte
	for kind := range b.parts {
		h.bits[kind] = b.bits
		rows, err := b.shards(ctx, kind)
		if err != nil {
			return err
		}
		table = append(table, rows...)
	}
	b.out.align()
	h.table = b.out.at
	b.out.write(table)
	h.end = b.out.at
	return b.out.finish(h, b.keys, b.path)
}

// shards sorts a kind's anchors, some shards at a time, and writes them in order.
func (b *Builder) shards(ctx context.Context, kind int) ([]byte, error) {
	parts := b.parts[kind]
	for _, part := range parts {
		if err := part.flush(); err != nil {
			return nil, err
		}
	}
	perPart := (1 << b.bits) / len(parts)
	made := make([]chan madeShard, 1<<b.bits)
	for i := range made {
		made[i] = make(chan madeShard, 1)
	}
	slots := make(chan struct{}, b.o.Workers+1)
	stop := make(chan struct{})
	defer close(stop)
	go func() {
		for i := range made {
			select {
			case slots <- struct{}{}:
			case <-stop:
				return
			}
			go func() {
				part := parts[i/perPart]
				list, err := part.sorted(uint64(i), b.bits, part.count/perPart)
				if err != nil {
					made[i] <- madeShard{err: err}
					return
				}
				made[i] <- makeShard(list, b.bits)
			}()
		}
	}()
	var table []byte
	for i := range made {
		var s madeShard
		select {
		case s = <-made[i]:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		<-slots
		if s.err != nil {
			return nil, s.err
		}
		table = append(table, b.putShard(s)...)
		if b.out.err != nil {
			return nil, b.out.err
		}
	}
	return table, nil
}

func (b *Builder) putShard(s madeShard) []byte {
	s.row.filter = b.out.align()
	b.out.write(s.filter)
	s.row.buckets = b.out.align()
	b.out.write(s.buckets)
	s.row.entries = b.out.align()
	b.out.write(s.entries)
	row := make([]byte, tableRow)
	s.row.encode(row)
	return row
}

// Abandon removes what Finish didn't give a name. It may be called after it.
func (b *Builder) Abandon() error {
	if b.work != nil {
		_ = b.stop() // the file goes anyway
	}
	if b.out != nil {
		b.out.close()
	}
	if b.dir != nil {
		b.dir.Close()
	}
	for _, parts := range b.parts {
		for _, p := range parts {
			if p != nil {
				p.file.Close()
			}
		}
	}
	return os.RemoveAll(b.temp)
}

// output is the file as it is written, with the sum of all but its head.
type output struct {
	file *os.File
	w    *bufio.Writer
	sum  hash.Hash
	at   uint64
	err  error
}

func newOutput(path string) (*output, error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("make the index's file: %w", err)
	}
	o := &output{file: file, sum: sha256.New(), at: headSize}
	o.w = bufio.NewWriterSize(io.MultiWriter(file, o.sum), 1<<18)
	_, o.err = file.Seek(headSize, io.SeekStart)
	return o, o.err
}

func (o *output) write(b []byte) {
	if o.err == nil {
		_, o.err = o.w.Write(b)
		o.at += uint64(len(b))
	}
}

// align fills up to a multiple of 8 and says where that is.
func (o *output) align() uint64 {
	o.write(make([]byte, -o.at&7))
	return o.at
}

func (o *output) finish(h head, keys *Keys, path string) error {
	if o.err == nil {
		o.err = o.w.Flush()
	}
	if o.err == nil {
		o.sum.Sum(h.sum[:0])
		_, o.err = o.file.WriteAt(h.encode(keys), 0)
	}
	if o.err == nil {
		o.err = o.file.Sync()
	}
	if o.err == nil {
		o.err = os.Rename(o.file.Name(), path)
	}
	if o.err != nil {
		return fmt.Errorf("write the index: %w", o.err)
	}
	return nil
}

func (o *output) close() { o.file.Close() }
