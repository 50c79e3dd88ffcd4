package main

import (
	"bytes"
	"context"
	"encoding/csv"
	"io"
	"time"

	"azekura/population"
)

const populationTarget = 100_000 // people a second on one core

// population1 makes people up on one core, beside the standard library's CSV
// writer with the same rows.
func population1(ctx context.Context, b *bench) error {
	n := min(b.scale.People, 200_000)
	var file bytes.Buffer
	if err := population.WriteCSV(ctx, &file, seed, n, nil); err != nil {
		return err
	}
	rows, err := csv.NewReader(&file).ReadAll()
	if err != nil {
		return err
	}
	return b.rounds(ctx, "population", b.runs, func() error {
		made, err := onCores(1, func() (float64, error) {
			began := time.Now()
			err := population.WriteCSV(ctx, io.Discard, seed, n, nil)
			return float64(n) / time.Since(began).Seconds(), err
		})
		if err != nil {
			return err
		}
		written, err := onCores(1, func() (float64, error) {
			began := time.Now()
			err := csv.NewWriter(io.Discard).WriteAll(rows)
			return float64(n) / time.Since(began).Seconds(), err
		})
		if err != nil {
			return err
		}
		b.figure("population", "CSV, GOMAXPROCS=1", "people/s", target{Least: populationTarget}, stick{name: "encoding/csv writing the same rows"}, made, written).AnySize = true
		return nil
	})
}
