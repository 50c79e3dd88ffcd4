package population

import "strconv"

type column int

// The import's columns, in its order.
const (
	colRef column = iota
	colNumber
	colName
	colKana
	colRomaji
	colBirth
	colSex
	colPostalCode
	colAddress
	colPhone
	colEmail
	colBankCode
	colBranchCode
	colAccountType
	colAccountNumber
	colAccountHolder
	colAwardKind
	colAwardAnnualYen
	columns
)

var columnNames = [columns]string{
	"ref", "number", "name", "kana", "romaji", "birth", "sex", "postal_code", "address", "phone", "email",
	"bank_code", "branch_code", "account_type", "account_number", "account_holder", "award_kind", "award_annual_yen",
}

// The keys of a former name or address in NDJSON: those of the columns of the
// same name.
var formerColumns = [...]column{colName, colKana, colRomaji, colPostalCode, colAddress}

type span struct{ from, to int }

// past is one former name or address; its spans follow formerColumns.
type past [len(formerColumns)]span

// draft is a person as spans of one buffer, so that writing a row allocates
// nothing.
type draft struct {
	buf    []byte
	at     [columns]span
	yen    int64
	former []past
}

func (d *draft) reset() {
	d.buf, d.at, d.yen, d.former = d.buf[:0], [columns]span{}, 0, d.former[:0]
}

// since is what was written from a mark on.
func (d *draft) since(from int) span { return span{from, len(d.buf)} }

func (d *draft) text(s string) { d.buf = append(d.buf, s...) }

func (d *draft) set(c column, s string) {
	from := len(d.buf)
	d.text(s)
	d.at[c] = d.since(from)
}

// digits writes n in at least width digits.
func (d *draft) digits(n uint64, width int) { d.buf = appendDigits(d.buf, n, width) }

func appendDigits(buf []byte, n uint64, width int) []byte {
	var tmp [20]byte
	s := strconv.AppendUint(tmp[:0], n, 10)
	for range width - len(s) {
		buf = append(buf, '0')
	}
	return append(buf, s...)
}

func (d *draft) bytes(s span) []byte { return d.buf[s.from:s.to] }

// person hands the draft over as strings that share one allocation.
func (d *draft) person(p *Person) {
	all := string(d.buf)
	cut := func(s span) string { return all[s.from:s.to] }
	former := p.Former[:0]
	for _, f := range d.former {
		former = append(former, Former{cut(f[0]), cut(f[1]), cut(f[2]), cut(f[3]), cut(f[4])})
	}
	*p = Person{
		Ref: cut(d.at[colRef]), Number: cut(d.at[colNumber]),
		Name: cut(d.at[colName]), Kana: cut(d.at[colKana]), Romaji: cut(d.at[colRomaji]),
		Birth: cut(d.at[colBirth]), Sex: cut(d.at[colSex]),
		PostalCode: cut(d.at[colPostalCode]), Address: cut(d.at[colAddress]),
		Phone: cut(d.at[colPhone]), Email: cut(d.at[colEmail]),
		BankCode: cut(d.at[colBankCode]), BranchCode: cut(d.at[colBranchCode]),
		AccountType: cut(d.at[colAccountType]), AccountNumber: cut(d.at[colAccountNumber]),
		AccountHolder: cut(d.at[colAccountHolder]),
		AwardKind:     cut(d.at[colAwardKind]), AwardAnnualYen: d.yen,
		Former: former,
	}
}
