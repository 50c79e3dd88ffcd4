package leaktest

import (
	"fmt"
	"strconv"
	"time"

	"github.com/xuri/excelize/v2"
)

// workbook writes rows as an XLSX file, as people make them: numbers as numbers that
// a format gives their zeros, dates as days that a format shows, texts shared; every
// third row all in text.
func workbook(rows [][]string) []byte {
	f := excelize.NewFile()
	defer f.Close()
	tenDigits, day := "0000000000", "yyyy/m/d"
	zeros, err := f.NewStyle(&excelize.Style{CustomNumFmt: &tenDigits})
	must(err)
	date, err := f.NewStyle(&excelize.Style{CustomNumFmt: &day})
	must(err)
	for i, row := range rows {
		for n, c := range row {
			at, err := excelize.CoordinatesToCellName(n+1, i+1)
			must(err)
			number, err := strconv.ParseInt(c, 10, 64)
			born, noDate := time.Parse(time.DateOnly, c)
			switch {
			case i%3 == 0:
				must(f.SetCellStr("Sheet1", at, c))
			case err == nil && len(c) == 10 && c[0] != '0', err == nil && len(c) == 10 && n == 0:
				must(f.SetCellInt("Sheet1", at, number))
				must(f.SetCellStyle("Sheet1", at, at, zeros))
			case noDate == nil:
				must(f.SetCellValue("Sheet1", at, born))
				must(f.SetCellStyle("Sheet1", at, at, date))
			default:
				must(f.SetCellStr("Sheet1", at, c))
			}
		}
	}
	buffer, err := f.WriteToBuffer()
	must(err)
	return buffer.Bytes()
}

func must(err error) {
	if err != nil {
		panic(fmt.Sprintf("leaktest: write a workbook: %v", err))
	}
}
