package rowfile

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"golang.org/x/text/encoding/japanese"

	"azekura/register/value"
)

const header = "ref,number,name,kana,romaji,birth,sex,postal_code,address,phone,email,bank_code,branch_code,account_type,account_number,account_holder,award_kind,award_annual_yen\n"

// sampleCells is the i-th of the rows that the tests and benchmarks read.
func sampleCells(i int) []string {
	return []string{
		fmt.Sprintf("P%07d", i), fmt.Sprintf("1234-%06d", i%1000000), "髙橋　太郎", "ﾀｶﾊｼ ﾀﾛｳ", "TAKAHASHI TARO",
		fmt.Sprintf("19%02d-04-%02d", 30+i%60, 1+i%30), "M", "100-0005", "東京都千代田区丸の内二丁目５番地　二引ビル", "03-1234-5678",
		"taro@example.jp", "0001", "001", "1", fmt.Sprintf("%07d", i), "ﾀｶﾊｼ ﾀﾛｳ", value.OldAgeBasic, "816000",
	}
}

func sampleCSV(rows int) []byte {
	var b bytes.Buffer
	b.WriteString(header)
	for i := range rows {
		b.WriteString(strings.Join(sampleCells(i), ","))
		b.WriteByte('\n')
	}
	return b.Bytes()
}

func sampleJSON(rows int) []byte {
	var b bytes.Buffer
	for i := range rows {
		for c, s := range sampleCells(i) {
			fmt.Fprintf(&b, "%c%q: %q", "{,"[min(c, 1)], value.Column(c), s)
		}
		b.WriteString("}\n")
	}
	return b.Bytes()
}

func toCP932(t testing.TB, b []byte) []byte {
	t.Helper()
	out, err := japanese.ShiftJIS.NewEncoder().Bytes(b)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func BenchmarkRead(b *testing.B) {
	const rows = 20000
	quoted := []byte(strings.NewReplacer(",", `","`, "\n", "\"\n\"").Replace(string(sampleCSV(rows))))
	quoted = append([]byte{'"'}, quoted[:len(quoted)-1]...)
	for _, c := range []struct {
		name string
		file []byte
	}{
		{"csv", sampleCSV(rows)}, {"csv-quoted", quoted}, {"csv-cp932", toCP932(b, sampleCSV(rows))}, {"ndjson", sampleJSON(rows)},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.SetBytes(int64(len(c.file)))
			b.ReportAllocs()
			n := 0
			for b.Loop() {
				n += readAll(b, c.file, func(row *Row) {
					if row.Bad != nil {
						b.Fatal(row.N, row.Bad)
					}
				})
			}
			b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "rows/s")
		})
	}
}

// BenchmarkReadAndParse is a row's way from the file to its forms for the indexes.
func BenchmarkReadAndParse(b *testing.B) {
	file := sampleCSV(20000)
	now := time.Date(2026, 4, 1, 0, 0, 0, 0, time.UTC)
	n := 0
	var forms []value.Form
	for b.Loop() {
		n += readAll(b, file, func(row *Row) {
			record, _, problems := value.Parse(row.Raw, now)
			if problems != nil {
				b.Fatal(problems)
			}
			forms = value.AppendIndexForms(forms[:0], &record)
		})
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "rows/s")
}

func readAll(t testing.TB, file []byte, each func(*Row)) (rows int) {
	t.Helper()
	r, err := Open(bytes.NewReader(file), int64(len(file)), Options{})
	if err != nil {
		t.Fatal(err)
	}
	var row Row
	for {
		err := r.Next(&row)
		if err == io.EOF {
			return rows
		}
		if err != nil {
			t.Fatal(err)
		}
		each(&row)
		rows++
	}
}
