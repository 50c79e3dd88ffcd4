// Command derive makes the town table that addresses are read with, out of the
// one that made-up people live in: the same source, without postal codes.
//
// It promises the same bytes from the same source; data/SOURCES.md says whose
// data it is.
package main

import (
	"bufio"
	"compress/gzip"
	"fmt"
	"os"
	"slices"
	"strings"
)

func main() {
	if err := run(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, "derive:", err)
		os.Exit(1)
	}
}

func run(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	z, err := gzip.NewReader(in)
	if err != nil {
		return err
	}
	var towns []string
	for lines := bufio.NewScanner(z); lines.Scan(); {
		if line := lines.Text(); !strings.HasPrefix(line, "@") {
			towns = append(towns, line[len("0000000"):])
		}
	}
	slices.Sort(towns)
	towns = slices.Compact(towns)
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	w, err := gzip.NewWriterLevel(out, gzip.BestCompression)
	if err != nil {
		return err
	}
	if _, err := w.Write([]byte(strings.Join(towns, "\n") + "\n")); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	return out.Close()
}
