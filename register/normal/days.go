package normal

import "unicode/utf8"

// Day is a day of the calendar: year, month and day in one number, in order.
type Day uint32

// DayOf is the day, 0 if the calendar hasn't it or it lies outside 1868 to 2099:
// nobody in a register was born then.
func DayOf(year, month, day int) Day {
	if year < 1868 || year > 2099 || month < 1 || month > 12 || day < 1 || day > DaysIn(year, month) {
		return 0
	}
	return Day(year<<9 | month<<5 | day)
}

// Date is the year, month and day.
func (d Day) Date() (year, month, day int) { return int(d >> 9), int(d >> 5 & 15), int(d & 31) }

// DaysIn is how many days a month has; 31 for what is none.
func DaysIn(year, month int) int {
	switch month {
	case 2:
		if year%4 == 0 && (year%100 != 0 || year%400 == 0) {
			return 29
		}
		return 28
	case 4, 6, 9, 11:
		return 30
	}
	return 31
}

// maxDate is the longest text, in bytes, that is looked at as a date.
const maxDate = 64

// AppendDays appends the days that s may mean, at most two: one for every form
// that says its year, both centuries for a year of two digits. Forms: ISO with -,
// / or . between, 8 digits, an era in kanji, letter or number with or without
// separators, 元年, numerals in kanji, any width; a time of day after it is left
// alone. What is no date appends nothing.
//
// It reads more than a register takes in: value.ParseBirth refuses what could be
// read in two ways, because it has to decide; a look-up can try both.
func AppendDays(dst []Day, s string) []Day {
	if len(s) < 5 || len(s) > maxDate {
		return dst
	}
	if y, m, d, ok := plainDate(s); ok {
		return appendDay(dst, DayOf(y, m, d))
	}
	if s[0] >= 0xE4 && s[0] <= 0xE9 && !beginsDate(s[:3]) { // an address
		return dst
	}
	var buf [maxDate]byte
	t := simple(buf[:0], s)
	if len(t) == 0 {
		return dst
	}
	if start := eraStart(t[0]); start != 0 {
		if y, m, d, ok := parts(t[1:]); ok && y > 0 && y < 100 {
			return appendDay(dst, eraDay(t[0], start+y-1, m, d))
		}
		return dst
	}
	return western(dst, t)
}

// plainDate reads 1950-04-12, 1950/04/12 and 1950.04.12, what most dates are.
func plainDate(s string) (y, m, d int, ok bool) {
	if len(s) != 10 || s[4] != s[7] || s[4] != '-' && s[4] != '/' && s[4] != '.' {
		return 0, 0, 0, false
	}
	var n [8]byte
	copy(n[:], s[:4])
	n[4], n[5], n[6], n[7] = s[5], s[6], s[8], s[9]
	for i := range n {
		if n[i] -= '0'; n[i] > 9 {
			return 0, 0, 0, false
		}
	}
	y = int(n[0])*1000 + int(n[1])*100 + int(n[2])*10 + int(n[3])
	return y, int(n[4])*10 + int(n[5]), int(n[6])*10 + int(n[7]), y >= 100
}

// beginsDate says whether simple may go on from a kanji.
func beginsDate(kanji string) bool {
	switch kanji {
	case "明", "大", "昭", "平", "令", "治", "正", "和", "成", "元", "年", "月", "日", "一", "二", "三", "四", "五", "六", "七", "八", "九", "十":
		return true
	}
	return false
}

func appendDay(dst []Day, d Day) []Day {
	if d != 0 {
		dst = append(dst, d)
	}
	return dst
}

// western reads a date whose era isn't named.
func western(dst []Day, t []byte) []Day {
	n, digits := digitsValue(t)
	switch {
	case digits && len(t) == 8:
		return appendDay(dst, DayOf(n/10000, n/100%100, n%100))
	case digits && len(t) == 7: // the era's number, as authorities write it
		return byNumber(dst, t[0], n/10000%100, n/100%100, n%100)
	case digits && len(t) == 6:
		return centuries(dst, n/10000, n/100%100, n%100)
	case digits:
		return dst
	}
	if len(t) > 3 && t[1] == '-' { // 5-250412, 5-25-04-12
		if y, m, d, ok := parts(t[2:]); ok && eraNumber(t[0]) != 0 {
			return byNumber(dst, t[0], y, m, d)
		}
	}
	y, m, d, ok := parts(t)
	switch {
	case !ok:
		return dst
	case y < 100:
		return centuries(dst, y, m, d)
	}
	return appendDay(dst, DayOf(y, m, d))
}

func centuries(dst []Day, y, m, d int) []Day {
	return appendDay(appendDay(dst, DayOf(1900+y, m, d)), DayOf(2000+y, m, d))
}

func byNumber(dst []Day, code byte, y, m, d int) []Day {
	if era := eraNumber(code); era != 0 && y > 0 {
		return appendDay(dst, eraDay(era, eraStart(era)+y-1, m, d))
	}
	return dst
}

func eraNumber(code byte) byte {
	switch code {
	case '1':
		return 'm'
	case '3':
		return 't'
	case '5':
		return 's'
	case '7':
		return 'h'
	case '9':
		return 'r'
	}
	return 0
}

func eraStart(letter byte) int {
	switch letter {
	case 'm':
		return 1868
	case 't':
		return 1912
	case 's':
		return 1926
	case 'h':
		return 1989
	case 'r':
		return 2019
	}
	return 0
}

// eraDay is the day, if the era had it. An era's last day may be written by
// either name.
func eraDay(letter byte, y, m, d int) Day {
	day := DayOf(y, m, d)
	first, last := DayOf(1868, 10, 23), DayOf(1912, 7, 30)
	switch letter {
	case 't':
		first, last = DayOf(1912, 7, 30), DayOf(1926, 12, 25)
	case 's':
		first, last = DayOf(1926, 12, 25), DayOf(1989, 1, 7)
	case 'h':
		first, last = DayOf(1989, 1, 8), DayOf(2019, 4, 30)
	case 'r':
		first, last = DayOf(2019, 5, 1), DayOf(2099, 12, 31)
	}
	if day < first || day > last {
		return 0
	}
	return day
}

// parts reads y-m-d with one kind of separator, or y of one or two digits, mm and
// dd without any (250412).
func parts(t []byte) (y, m, d int, ok bool) {
	if n, digits := digitsValue(t); digits {
		return n / 10000, n / 100 % 100, n % 100, len(t) == 6
	}
	var v [3]int
	var width [3]int
	at, sep := 0, byte(0)
	for i, c := range t {
		switch {
		case c >= '0' && c <= '9':
			if width[at]++; width[at] > 4 || at > 0 && width[at] > 2 {
				return 0, 0, 0, false
			}
			v[at] = v[at]*10 + int(c-'0')
		case i == 0 || at == 2 || width[at] == 0 || sep != 0 && c != sep:
			return 0, 0, 0, false
		default:
			sep = c
			at++
		}
	}
	ok = at == 2 && width[2] > 0 && (width[0] <= 2 || width[0] == 4)
	return v[0], v[1], v[2], ok
}

// digitsValue is the value of one to eight digits.
func digitsValue(t []byte) (n int, ok bool) {
	for _, c := range t {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int(c-'0')
	}
	return n, len(t) > 0 && len(t) <= 8
}

// simple writes a date in ASCII: an era's letter, digits, and '-' for each kind of
// separator but / and . (年 and 月 are /). Empty if s holds what no date does.
func simple(out []byte, s string) []byte {
	tens := -1 // value of a numeral in kanji that is being read
	for i := 0; i < len(s); {
		c := s[i]
		if c < utf8.RuneSelf {
			i++
			out, tens = flush(out, tens)
			switch {
			case c >= '0' && c <= '9' || c == '/' || c == '.' || c == '-':
				out = append(out, c)
			case c == ' ' || c == 'T' || c == 't':
				if clock(s[i:]) && len(out) >= 6 {
					return out
				}
				if c != ' ' && len(out) == 0 {
					out = append(out, 't')
				} else if c != ' ' {
					return nil
				}
			case len(out) == 0 && eraStart(c|0x20) != 0:
				out = append(out, c|0x20)
			default:
				return nil
			}
			continue
		}
		r, n := utf8.DecodeRuneInString(s[i:])
		i += n
		if v := numeral(r); v >= 0 && v <= 10 {
			tens = kanjiDigit(&out, tens, v)
			continue
		}
		out, tens = flush(out, tens)
		switch {
		case r >= '０' && r <= '９':
			out = append(out, byte(r-'０'+'0'))
		case r == '年' || r == '月' || r == '／':
			out = append(out, '/')
		case r == '．':
			out = append(out, '.')
		case r == '元':
			out = append(out, '1')
		case r == '日':
			if rest := s[i:]; rest != "" && rest != "生" && rest != "生まれ" && !clock(rest) {
				return nil
			}
			return out
		case r == '\u3000' || r == '治' || r == '正' || r == '和' || r == '成':
		case r == longMark || r == halfLongMark || isHyphen(r):
			out = append(out, '-')
		default:
			letter := eraRune(r)
			if letter == 0 || len(out) > 0 {
				return nil
			}
			out = append(out, letter)
		}
	}
	out, _ = flush(out, tens)
	return out
}

// kanjiDigit takes one numeral: 二十五 and 二五 are both 25.
func kanjiDigit(out *[]byte, tens, v int) int {
	switch {
	case v == 10 && tens < 0:
		return 10
	case v == 10 && tens < 10:
		return tens * 10
	case v < 10 && tens >= 10 && tens%10 == 0:
		*out = append(*out, byte('0'+tens/10), byte('0'+v))
		return -1
	}
	*out, _ = flush(*out, tens)
	return v
}

func flush(out []byte, tens int) ([]byte, int) {
	if tens >= 10 {
		out = append(out, byte('0'+tens/10%10), byte('0'+tens%10))
	} else if tens >= 0 {
		out = append(out, byte('0'+tens))
	}
	return out, -1
}

func eraRune(r rune) byte {
	switch r {
	case '明', '㍾', 'Ｍ', 'ｍ':
		return 'm'
	case '大', '㍽', 'Ｔ', 'ｔ':
		return 't'
	case '昭', '㍼', 'Ｓ', 'ｓ':
		return 's'
	case '平', '㍻', 'Ｈ', 'ｈ':
		return 'h'
	case '令', '㋿', 'Ｒ', 'ｒ':
		return 'r'
	}
	return 0
}

// clock says whether s is a time of day.
func clock(s string) bool {
	colon := false
	for i := range len(s) {
		switch c := s[i]; {
		case c >= '0' && c <= '9', c == ' ', c == '.', c == '+', c == 'Z', c == '-':
		case c == ':':
			colon = true
		default:
			return false
		}
	}
	return colon || s == ""
}
