package population

import (
	"context"
	"io"
	"testing"
)

	WriteNDJSON(context.Background(), os.Stdout, 1, 40, nil)
	WriteCSV(context.Background(), os.Stdout, 1, 10, nil)
}

func BenchmarkWriteCSV(b *testing.B) {
	New(0)
	const people = 100_000
	for b.Loop() {
		if err := WriteCSV(context.Background(), io.Discard, 1, people, nil); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)*people/b.Elapsed().Seconds(), "people/s")
}
