package leaktest

import (
	"bytes"
	"strings"
	"testing"

	"azekura/population"
	"azekura/register/field"

	"github.com/signintech/gopdf"
)

// font is Debian's, as internal/setup installs it.
const font = "/usr/share/fonts/opentype/ipaexfont-gothic/ipaexg.ttf"

// PDF writes people, all of the register, as a PDF with a table, under a password if
// it isn't empty.
func PDF(t testing.TB, list []population.Person, password string) ([]byte, []Truth) {
	t.Helper()
	columns := []field.Field{field.Number, field.Name, field.Birth, field.Phone}
	raw, truth := Leak(Style{Format: "tsv", Columns: columns}, list, Own(len(list)))
	var pdf gopdf.GoPdf
	config := gopdf.Config{PageSize: *gopdf.PageSizeA4}
	if password != "" {
		config.Protection = gopdf.PDFProtectionConfig{UseProtection: true, Permissions: gopdf.PermissionsPrint, UserPass: []byte(password), OwnerPass: []byte("owner of it")}
	}
	pdf.Start(config)
	if err := pdf.AddTTFFont("font", font); err != nil {
		t.Fatal(err)
	}
	for i, line := range strings.Split(strings.TrimSpace(string(raw)), "\n") {
		if i%50 == 0 {
			pdf.AddPage()
			if err := pdf.SetFont("font", "", 9); err != nil {
				t.Fatal(err)
			}
		}
		for n, cell := range strings.Split(line, "\t") {
			pdf.SetXY(30+float64(n)*130, 30+float64(i%50)*15)
			if err := pdf.Text(cell); err != nil {
				t.Fatal(err)
			}
		}
	}
	var out bytes.Buffer
	if _, err := pdf.WriteTo(&out); err != nil {
		t.Fatal(err)
	}
	return out.Bytes(), truth
}
