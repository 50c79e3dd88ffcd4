package check

import (
	"errors"
	"strings"

	"golang.org/x/mod/sumdb/tlog"
)

// height is that of each tile; width is how many hashes or entries a full one
// has.
const (
	height = 8
	width  = 1 << height
)

// Path is a tile's path under a log's prefix (C2SP tlog-tiles). As in x/mod's
// tlog, level -1 stands for the entries.
func Path(t tlog.Tile) string {
	rest := strings.TrimPrefix(t.Path(), "tile/8/")
	if entries, ok := strings.CutPrefix(rest, "data/"); ok {
		rest = "entries/" + entries
	}
	return "tile/" + rest
}

// ParsePath reads what Path writes, and no other spelling.
func ParsePath(path string) (tlog.Tile, error) {
	rest, ok := strings.CutPrefix(path, "tile/")
	if entries, of := strings.CutPrefix(rest, "entries/"); of {
		rest = "data/" + entries
	} else if strings.HasPrefix(rest, "data/") {
		ok = false
	}
	t, err := tlog.ParseTilePath("tile/8/" + rest)
	if !ok || err != nil || t.L > 63 {
		return tlog.Tile{}, errors.New("not the path of a tile; it is tile/<level>/<number>[.p/<width>] or tile/entries/<number>[.p/<width>]")
	}
	return t, nil
}
