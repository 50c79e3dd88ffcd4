package value

import (
	"strings"

	"azekura/register/normal"
)

// maxHolder bounds a holder's name, in half-width characters (a voicing mark is
// one of its own). A transfer file has room for 30 and cuts there.
const maxHolder = 60

// Account is where a participant is paid. Its parts are complete, and its holder
// is in the set that transfer files know (全銀: half-width kana without small ones,
// capitals, digits, space and ( ) - .).
type Account struct{ bank, branch, kind, number, holder string }

// ParseAccount reads the five parts: all of them, or none for the zero value.
func ParseAccount(bank, branch, kind, number, holder string) (Account, error) {
	if bank == "" && branch == "" && kind == "" && number == "" && holder == "" {
		return Account{}, nil
	}
	a, _, err := parseAccount([5]string{bank, branch, kind, number, holder})
	return a, err
}

// parseAccount also says which part is wrong.
func parseAccount(parts [5]string) (a Account, at int, err error) {
	for i, p := range parts {
		if trim(p) == "" {
			return Account{}, i, PartAccount
		}
		if len(p) > 1024 {
			return Account{}, i, TooLong
		}
	}
	a.bank, a.branch = normal.Digits(parts[0]), normal.Digits(parts[1])
	a.kind, a.number = accountType(parts[2]), normal.Digits(parts[3])
	switch {
	case len(a.bank) != 4:
		return Account{}, 0, NotBank
	case len(a.branch) != 3:
		return Account{}, 1, NotBranch
	case a.kind == "":
		return Account{}, 2, NotType
	case a.number == "" || len(a.number) > 7:
		return Account{}, 3, NotAccountNumber
	}
	a.number = "0000000"[len(a.number):] + a.number
	if a.holder, err = Holder(parts[4]); err != nil {
		return Account{}, 4, err
	}
	return a, 0, nil
}

// accountType is the digit of a type that is written as one, or by its name.
func accountType(s string) string {
	switch normal.Name(s) {
	case "1", "普通":
		return "1"
	case "2", "当座":
		return "2"
	case "4", "貯蓄":
		return "4"
	case "9", "その他":
		return "9"
	}
	return ""
}

// IsZero says that there is no account.
func (a Account) IsZero() bool { return a.bank == "" }

// Valid says that ParseAccount made the value.
func (a Account) Valid() bool { return a.bank != "" }

// Bank is the bank's code, four digits.
func (a Account) Bank() string { return a.bank }

// Branch is the branch's code, three digits.
func (a Account) Branch() string { return a.branch }

// Type is 1 ordinary, 2 current, 4 savings or 9 other.
func (a Account) Type() string { return a.kind }

// Number is seven digits.
func (a Account) Number() string { return a.number }

// Holder is the holder's name in the transfer files' set.
func (a Account) Holder() string { return a.holder }

// Text is the canonical text: the five parts with tabs between.
func (a Account) Text() string {
	if a.IsZero() {
		return ""
	}
	return JoinAccount(a.bank, a.branch, a.kind, a.number, a.holder)
}

// String keeps the account out of logs and errors.
func (a Account) String() string { return "[withheld]" }

// GoString keeps it out of %#v too.
func (a Account) GoString() string { return "[withheld]" }

// JoinAccount writes the parts of an account as one canonical text.
func JoinAccount(bank, branch, kind, number, holder string) string {
	return bank + "\t" + branch + "\t" + kind + "\t" + number + "\t" + holder
}

// SplitAccount reads the parts of a canonical text; not ok if it isn't one.
func SplitAccount(canonical string) (bank, branch, kind, number, holder string, ok bool) {
	p, ok := splitFive(canonical)
	return p[0], p[1], p[2], p[3], p[4], ok
}

func splitFive(s string) (parts [5]string, ok bool) {
	for i := range 4 {
		if parts[i], s, ok = strings.Cut(s, "\t"); !ok {
			return [5]string{}, false
		}
	}
	parts[4] = s
	return parts, !strings.Contains(s, "\t")
}

// Holder is a name as transfer files write it: kana of any width become large
// half-width ones with voicing marks of their own, a long-vowel mark a hyphen,
// letters capitals.
func Holder(s string) (string, error) {
	var stack [3 * 2 * maxHolder]byte
	out := stack[:0]
	count, space := 0, false
	for _, r := range normal.Wide(trim(s)) {
		if r == ' ' || r == '\u3000' {
			space = true
			continue
		}
		half := holderRune(r)
		if half == "" {
			return "", NotHolder
		}
		if space {
			out, space, count = append(out, ' '), false, count+1
		}
		out = append(out, half...)
		if count++; len(half) == len("ｶﾞ") {
			count++
		}
		if count > maxHolder {
			return "", TooLong
		}
	}
	switch {
	case count == 0:
		return "", NotHolder
	case out[0] == '-':
		return "", Formula
	}
	return string(out), nil
}

// holderRune is r, as normal.Wide leaves it, in the transfer files' set; "" if it
// has no place there.
func holderRune(r rune) string {
	if r >= 0xFF01 && r <= 0xFF5E {
		r = r - 0xFF01 + '!'
	}
	switch {
	case r >= 0x30A1 && r <= 0x30F6:
		return halfKana[r-0x30A1]
	case r >= 'a' && r <= 'z':
		return holderASCII[r-'a'+'A' : r-'a'+'A'+1]
	case r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '(', r == ')', r == '.':
		return holderASCII[r : r+1]
	case r == '-', r == 'ー', r == 0x2010, r == 0x2015, r == 0x2212:
		return "-"
	}
	return ""
}

// holderASCII is ASCII, to cut one character out of without making a string.
var holderASCII = func() string {
	var b [0x80]byte
	for i := range b {
		b[i] = byte(i)
	}
	return string(b[:])
}()

// halfKana is U+30A1..U+30F6 in the transfer files' set: small kana grow, and ヲ,
// ヰ and ヱ, which have no place in a party's name, are written as they sound.
var halfKana = func() (t [0x30F7 - 0x30A1]string) {
	pairs := []struct{ full, half, mark string }{
		{"アイウエオカキクケコサシスセソタチツテト", "ｱｲｳｴｵｶｷｸｹｺｻｼｽｾｿﾀﾁﾂﾃﾄ", ""},
		{"ナニヌネノハヒフヘホマミムメモヤユヨラリルレロワン", "ﾅﾆﾇﾈﾉﾊﾋﾌﾍﾎﾏﾐﾑﾒﾓﾔﾕﾖﾗﾘﾙﾚﾛﾜﾝ", ""},
		{"ァィゥェォッャュョヮヵヶヲヰヱ", "ｱｲｳｴｵﾂﾔﾕﾖﾜｶｹｵｲｴ", ""},
		{"ガギグゲゴザジズゼゾダヂヅデドバビブベボヴ", "ｶｷｸｹｺｻｼｽｾｿﾀﾁﾂﾃﾄﾊﾋﾌﾍﾎｳ", "ﾞ"},
		{"パピプペポ", "ﾊﾋﾌﾍﾎ", "ﾟ"},
	}
	for _, p := range pairs {
		half := []rune(p.half)
		for i, r := range []rune(p.full) {
			t[r-0x30A1] = string(half[i]) + p.mark
		}
	}
	return t
}()
