package value

// Reason is why a value was refused. The list is closed and made of constants,
// which is how it can be logged, shown and stored: it never holds the value.
type Reason string

// Error makes a Reason an error, to be told apart with errors.Is or ==.
func (r Reason) Error() string { return string(r) }

// The reasons.
const (
	Missing       Reason = "missing: this column is required"
	NotText       Reason = "not valid UTF-8"
	LostCharacter Reason = "holds a replacement character: an earlier conversion lost a character; take it from the original"
	Control       Reason = "holds a control or invisible character, or a line break"
	Formula       Reason = "begins with = + - or @, which a spreadsheet would run"
	TooLong       Reason = "too long"
	Empty         Reason = "holds nothing to read"

	NotNumber         Reason = "not a basic pension number: ten digits, as 4 and 6"
	CertificateNumber Reason = "14 digits: a certificate's number; give the first 10"
	SymbolNumber      Reason = "letters or a symbol beside the number: an older scheme's; enter it as a number of another type"
	SplitNumber       Reason = "ten digits, but not split as 4 and 6: an older scheme's symbol and number; enter it as a number of another type"
	ShortNumber       Reason = "fewer than ten digits: an older scheme's handbook, or a spreadsheet that dropped leading zeros"
	EmployeesNumber   Reason = "11 digits: an older employees' scheme's number; enter it as a number of another type"
	TwelveDigits      Reason = "12 digits: an individual number (My Number), which must not be stored here, or an older employees' scheme's"
	LongNumber        Reason = "more digits than a basic pension number's ten"
	ZeroNumber        Reason = "all zeros: stands for no number"
	NotOldNumber      Reason = "not an older scheme's number: letters, digits and hyphens, 20 at most"

	NotDate     Reason = "not a date: write year-month-day, or an era's year"
	NoSuchDay   Reason = "no such day in the calendar"
	OutsideEra  Reason = "not in that era: it had ended, or hadn't begun"
	BeforeMeiji Reason = "a year before the Meiji era"
	Future      Reason = "a day that hasn't come yet"
	NoEra       Reason = "a year of one or two digits without its era"

	NotSex    Reason = "not a sex: M, F or empty"
	NotPostal Reason = "not a postal code: seven digits"
	NoAddress Reason = "a postal code without an address"
	NotPhone  Reason = "not a telephone number: 10 or 11 digits from 0, or + and a country's code"
	NotEmail  Reason = "not an e-mail address"
	NotRef    Reason = "not a reference: 1 to 32 of letters, digits, - _ . and /, not - first"
	NotKana   Reason = "not kana"
	NotRomaji Reason = "not Latin letters"

	PartAccount      Reason = "an account needs bank, branch, type, number and holder, or none of them"
	NotAccount       Reason = "not an account: five parts, tabs between"
	NotBank          Reason = "not a bank's code: four digits"
	NotBranch        Reason = "not a branch's code: three digits"
	NotType          Reason = "not an account's type: 1 ordinary, 2 current, 4 savings, 9 other"
	NotAccountNumber Reason = "not an account's number: seven digits at most"
	NotHolder        Reason = "not an account holder as banks write it: kana, capital letters, digits, spaces and ( ) - ."

	PartAward Reason = "an award needs a kind and a yearly amount, or neither"
	NotKind   Reason = "not a kind of award: old-age-basic, old-age-employees, disability-basic, disability-employees, survivors-basic or survivors-employees"
	NotYen    Reason = "not a yearly amount: whole yen, from 0 to under a hundred million"

	NotField     Reason = "not a field of a record"
	NotCanonical Reason = "not in the form that is stored"
	NotQuery     Reason = "no index answers this search"
	OneText      Reason = "this index takes one text, not two"
)

// Problem is one column of a row that can't be taken, and why. Column is "" where
// the whole row can't be read.
type Problem struct {
	Column string
	Reason Reason
}
