package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"azekura/auditlog/check"
	"azekura/internal/madelog"

	"golang.org/x/mod/sumdb/note"
)

// checks have the sceptic's checker read a log from a folder, entries and all, and
// its hash tiles alone, beside a bare read of the same files.
func checks(ctx context.Context, b *bench) error {
	skey, vkey, err := note.GenerateKey(rand.Reader, "bench.invalid/log")
	if err != nil {
		return err
	}
	signer, err := note.NewSigner(skey)
	if err != nil {
		return err
	}
	v, err := check.ParseKey(vkey)
	if err != nil {
		return err
	}
	dir := filepath.Join(b.folder, "tiles")
	b.say("writing the tiles of %d events", b.scale.Log)
	if err := madelog.Tiles(dir, b.scale.Log, signer); err != nil {
		return err
	}
	keys := check.Keys{Log: []note.Verifier{v}}
	err = b.rounds(ctx, "check", min(b.runs, 3), func() error { return b.check(ctx, dir, keys) })
	if err != nil {
		return err
	}
	p, err := check.Prove(ctx, check.Dir(os.DirFS(dir)), b.scale.Log/3)
	if err != nil {
		return err
	}
	b.figure("check", "a proof without witnesses", "bytes", target{Most: 2047}, stick{}, float64(len(p.Format())), 0)
	return os.RemoveAll(dir)
}

func (b *bench) check(ctx context.Context, dir string, keys check.Keys) error {
	bare, err := readFiles(filepath.Join(dir, "tile"))
	if err != nil {
		return err
	}
	perSecond := float64(b.scale.Log) / bare.Seconds()
	cores := []int{1}
	if all := b.machine.Cores; all > 1 {
		cores = append(cores, all)
	}
	for _, n := range cores {
		most := uint64(0)
		o := check.Options{Keys: keys, Entries: true}
		calls := 0
		o.Progress = func(int64, int64) { // one call a tile
			if calls++; calls%1000 == 0 {
				var m runtime.MemStats
				runtime.ReadMemStats(&m)
				most = max(most, m.HeapInuse)
			}
		}
		took, err := b.checkOnce(ctx, n, dir, o)
		if err != nil {
			return err
		}
		name := fmt.Sprintf("from a folder, GOMAXPROCS=%d", n)
		b.figure("check", name, "events/s", target{}, stick{name: "a bare read of the same files, one reader"}, float64(b.scale.Log)/took.Seconds(), perSecond)
		if most > 0 {
			b.figure("check", name+", most heap in use", "MB", target{}, stick{}, float64(most)/1e6, 0)
		}
	}
	hashes := filepath.Join(dir, "tile", "entries")
	if err := os.Rename(hashes, hashes+".away"); err != nil {
		return err
	}
	took, err := b.checkOnce(ctx, b.machine.Cores, dir, check.Options{Keys: keys})
	if err != nil {
		return err
	}
	b.figure("check", fmt.Sprintf("hash tiles alone, GOMAXPROCS=%d", b.machine.Cores), "events/s", target{}, stick{}, float64(b.scale.Log)/took.Seconds(), 0)
	return os.Rename(hashes+".away", hashes)
}

func (b *bench) checkOnce(ctx context.Context, cores int, dir string, o check.Options) (time.Duration, error) {
	return onCores(cores, func() (time.Duration, error) {
		began := time.Now()
		r, err := check.Log(ctx, check.Dir(os.DirFS(dir)), o)
		if err == nil && (r.Size != b.scale.Log || o.Entries != (r.Entries == r.Size)) {
			err = fmt.Errorf("%d of %d events were checked", r.Entries, b.scale.Log)
		}
		return time.Since(began), err
	})
}

// readFiles reads all files under a folder, one after another.
func readFiles(dir string) (time.Duration, error) {
	began := time.Now()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			_, err = os.ReadFile(path)
		}
		return err
	})
	return time.Since(began), err
}
