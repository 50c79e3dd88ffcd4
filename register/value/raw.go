package value

// Column is one column of an import.
type Column uint8

// The columns, in the order in which they are documented.
const (
	ColRef Column = iota
	ColNumber
	ColName
	ColKana
	ColRomaji
	ColBirth
	ColSex
	ColPostalCode
	ColAddress
	ColPhone
	ColEmail
	ColBankCode
	ColBranchCode
	ColAccountType
	ColAccountNumber
	ColAccountHolder
	ColAwardKind
	ColAwardAnnualYen

	// Columns is how many there are.
	Columns = 18
)

var columnNames = [Columns]string{
	"ref", "number", "name", "kana", "romaji", "birth", "sex", "postal_code", "address", "phone", "email",
	"bank_code", "branch_code", "account_type", "account_number", "account_holder", "award_kind", "award_annual_yen",
}

// String is the column's name in a header.
func (c Column) String() string {
	if c < Columns {
		return columnNames[c]
	}
	return ""
}

// Required says whether a row must have the column.
func (c Column) Required() bool {
	return c == ColRef || c == ColNumber || c == ColName || c == ColBirth
}

// ColumnNamed finds a column by its name.
func ColumnNamed(name string) (Column, bool) {
	for c, n := range columnNames {
		if n == name {
			return Column(c), true
		}
	}
	return 0, false
}

// Raw is a row as it was read: unchecked text by column, "" where there is none.
type Raw [Columns]string

// RawFormer is an earlier name and address of a participant, as it was read.
type RawFormer struct{ Name, Kana, Romaji, PostalCode, Address string }
