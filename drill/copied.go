package drill

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// sought is how many people's data are looked for in a copied database.
const sought = 500

// copied is the way of who copies the database: all that lies on the disk, as it is,
// and what can be found of people whom the drill knows.
func (d *days) copied(ctx context.Context) (Attempt, error) {
	a := Attempt{Name: "database-copied"}
	if d.DB != "" {
		a.NotTested = "on PostgreSQL by the drill; the register's tests look through its tables"
		return a, nil
	}
	var needles [][]byte
	for _, p := range d.known[:min(sought, len(d.known))] {
		for _, text := range []string{p.Number, p.Name, p.Phone, p.Address} {
			if len(text) >= 8 {
				needles = append(needles, []byte(text))
			}
		}
	}
	list, err := fs.Glob(os.DirFS(d.dir), "azekura.db*")
	if err != nil || len(list) == 0 {
		return a, errors.Join(err, errors.New("the drill's database isn't where it was made"))
	}
	found := map[int]bool{}
	for _, name := range list {
		if err := look(ctx, filepath.Join(d.dir, name), needles, found); err != nil {
			return a, fmt.Errorf("look through the copied database: %w", err)
		}
	}
	a.Tried, a.Released, a.Participants, a.StoppedBy = int64(len(needles)), int64(len(found)), int64(len(found)), "encryption"
	return a, nil
}

// look notes which needles are in a file, part by part with an overlap.
func look(ctx context.Context, path string, needles [][]byte, found map[int]bool) error {
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil // a log of writes that was taken in meanwhile
	}
	if err != nil {
		return err
	}
	defer f.Close()
	const part, overlap = 16 << 20, 1 << 10
	begin := map[[4]byte][]int{}
	for i, n := range needles {
		begin[[4]byte(n)] = append(begin[[4]byte(n)], i)
	}
	buffer := make([]byte, part+overlap)
	kept := 0
	for ctx.Err() == nil {
		n, err := io.ReadFull(f, buffer[kept:])
		whole := buffer[:kept+n]
		for at := 0; at+4 <= len(whole); at++ {
			for _, i := range begin[[4]byte(whole[at:at+4])] {
				if bytes.HasPrefix(whole[at:], needles[i]) {
					found[i] = true
				}
			}
		}
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return nil
		}
		if err != nil {
			return err
		}
		kept = copy(buffer, whole[len(whole)-overlap:])
	}
	return ctx.Err()
}
