// Package value is what may stand in a participant's record: typed, validated
// plaintext. It guards the register against what 2015 taught: a number of an
// older scheme, or the longer number of a certificate, can't become a
// BasicNumber, and a birth that no calendar has can't become a Birth.
//
// It promises that a value exists only if its one constructor accepted it (the
// zero value is invalid, and says so); that ParseField and Record.Set let no
// other text into a Record; and that no error and no formatted value holds
// personal data: an error is one of a closed list of reasons (Reason), and a
// value prints as "[withheld]" unless its text is asked for by name.
//
// It doesn't promise that a value is true, that a telephone number is in
// service or that an account exists. It decrypts and stores nothing. For
// comparing, it uses the forms of register/normal (IndexForms, QueryForm).
package value
