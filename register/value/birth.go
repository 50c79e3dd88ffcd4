package value

import (
	"strings"
	"time"
	"unicode/utf8"

	"azekura/register/normal"
)

// Birth is a date of birth, a day of the calendar without a time or a zone.
type Birth struct{ date }

// date is a day; ordered by its fields, so == and before compare days.
type date struct {
	year       int16
	month, day int8
}

// era is one row of the table of eras: its first and its last day.
type era struct {
	names       []string // as normal.Name writes them
	code        byte     // the digit that authorities write for it
	first, last date
}

// The eras. A new one starts the day after the last one's last day, except that
// Showa began on the day that Taisho ended, and Taisho on the day that Meiji did:
// both names are right for that day.
var eras = [...]era{
	{[]string{"明治", "明", "m"}, '1', date{1868, 10, 23}, date{1912, 7, 30}},
	{[]string{"大正", "大", "t"}, '3', date{1912, 7, 30}, date{1926, 12, 25}},
	{[]string{"昭和", "昭", "s"}, '5', date{1926, 12, 25}, date{1989, 1, 7}},
	{[]string{"平成", "平", "h"}, '7', date{1989, 1, 8}, date{2019, 4, 30}},
	{[]string{"令和", "令", "r"}, '9', date{2019, 5, 1}, date{9999, 12, 31}},
}

// jst is Japan's time: a day begins there nine hours before UTC's, and a child
// born in that time isn't of the future.
var jst = time.FixedZone("JST", 9*60*60)

// ParseBirth reads a date of birth that has come by now: 1950-04-12 (also with /
// or . or 年月日), 19500412, an era's (昭和25年4月12日, 昭25.4.12, S25.4.12, S250412,
// 令和元年5月1日) or one with the era's digit (5-250412, 5250412). Whatever could be
// read in two ways is refused.
func ParseBirth(s string, now time.Time) (Birth, error) {
	d, err := parseDate(s)
	if err != nil {
		return Birth{}, err
	}
	y, m, day := now.In(jst).Date()
	if (date{int16(y), int8(m), int8(day)}).before(d) {
		return Birth{}, Future
	}
	return Birth{d}, nil
}

// Format is the date as ISO 8601 writes it, YYYY-MM-DD.
func (b Birth) Format() string {
	if !b.Valid() {
		return ""
	}
	return string(b.date.append(make([]byte, 0, 10)))
}

func (d date) append(out []byte) []byte {
	y, m, day := int(d.year), int(d.month), int(d.day)
	return append(out, byte('0'+y/1000), byte('0'+y/100%10), byte('0'+y/10%10), byte('0'+y%10), '-',
		byte('0'+m/10), byte('0'+m%10), '-', byte('0'+day/10), byte('0'+day%10))
}

// Date is the year, the month and the day.
func (b Birth) Date() (year int, month time.Month, day int) {
	return int(b.year), time.Month(b.month), int(b.day)
}

// Valid says that ParseBirth made the value.
func (b Birth) Valid() bool { return b.year != 0 }

// IsZero says that the value is absent.
func (b Birth) IsZero() bool { return b.year == 0 }

// String keeps the date out of logs and errors; Format gives it.
func (b Birth) String() string { return "[withheld]" }

// GoString keeps it out of %#v too.
func (b Birth) GoString() string { return "[withheld]" }

func (d date) before(e date) bool {
	if d.year != e.year {
		return d.year < e.year
	}
	if d.month != e.month {
		return d.month < e.month
	}
	return d.day < e.day
}

// newDate is the day, if the calendar has it. Year, month and day must not be
// negative.
func newDate(y, m, d int) (date, error) {
	switch {
	case m < 1 || m > 12 || d < 1 || d > normal.DaysIn(y, m):
		return date{}, NoSuchDay
	case y < 1868:
		return date{}, BeforeMeiji
	case y > 9999:
		return date{}, NotDate
	}
	return date{int16(y), int8(m), int8(d)}, nil
}

// on is the day of the era's year y, if it lies within the era.
func (e *era) on(y, m, d int) (date, error) {
	if y < 1 {
		return date{}, NotDate
	}
	day, err := newDate(int(e.first.year)+y-1, m, d)
	if err != nil {
		return date{}, err
	}
	if day.before(e.first) || e.last.before(day) {
		return date{}, OutsideEra
	}
	return day, nil
}

// parseDate reads any of the forms; whether the day has come isn't its business.
func parseDate(s string) (date, error) {
	if len(s) == 10 && s[4] == '-' && s[7] == '-' {
		if d, err := isoDate(s); err == nil {
			return d, nil
		}
	}
	if s == "" {
		return date{}, Empty
	}
	if len(s) > 64 || plain(s, 64) != nil {
		return date{}, NotDate
	}
	s = normal.Name(s)
	for i := range eras {
		for _, name := range eras[i].names {
			if rest, found := strings.CutPrefix(s, name); found {
				return eraDate(&eras[i], rest)
			}
		}
	}
	return westernDate(s)
}

func isoDate(s string) (date, error) {
	y, ok1 := number(s[:4])
	m, ok2 := number(s[5:7])
	d, ok3 := number(s[8:])
	if !ok1 || !ok2 || !ok3 {
		return date{}, NotDate
	}
	return newDate(y, m, d)
}

// eraDate reads what follows an era's name.
func eraDate(e *era, s string) (date, error) {
	if rest, found := strings.CutPrefix(s, "元"); found {
		s = "1" + rest
	}
	if len(s) == 6 {
		if ymd, ok := number(s); ok {
			return e.on(ymd/10000, ymd/100%100, ymd%100)
		}
	}
	y, m, d, ok := threeParts(s, 2)
	if !ok {
		return date{}, NotDate
	}
	return e.on(y, m, d)
}

// westernDate reads the forms without an era's name. With the era's digit, seven
// digits can't be a western date with a zero left out: 1 is Meiji, which had no
// year 86 to 99, and no era has the digit 2.
func westernDate(s string) (date, error) {
	if len(s) == 8 && s[1] == '-' {
		s = s[:1] + s[2:]
	}
	n, digits := number(s)
	switch {
	case digits && len(s) == 8:
		return newDate(n/10000, n/100%100, n%100)
	case digits && len(s) == 7:
		for i := range eras {
			if eras[i].code == s[0] {
				return eras[i].on(n/10000%100, n/100%100, n%100)
			}
		}
		return date{}, NotDate
	}
	y, m, d, ok := threeParts(s, 4)
	switch {
	case !ok:
		return date{}, NotDate
	case y < 100:
		return date{}, NoEra
	}
	return newDate(y, m, d)
}

// threeParts reads year, month and day with one kind of separator between. The
// year has at most yearDigits digits, month and day two.
func threeParts(s string, yearDigits int) (y, m, d int, ok bool) {
	i := strings.IndexFunc(s, func(r rune) bool { return r < '0' || r > '9' })
	if i < 1 || i > yearDigits {
		return 0, 0, 0, false
	}
	first, n := utf8.DecodeRuneInString(s[i:])
	second := string(first)
	switch first {
	case '-', '/', '.':
	case '年':
		second = "月"
		s = strings.TrimSuffix(s, "日")
	default:
		return 0, 0, 0, false
	}
	month, day, found := strings.Cut(s[i+n:], second)
	if !found || len(month) > 2 || len(day) > 2 {
		return 0, 0, 0, false
	}
	y, ok1 := number(s[:i])
	m, ok2 := number(month)
	d, ok3 := number(day)
	return y, m, d, ok1 && ok2 && ok3
}

// number is the value of one to nine digits.
func number(s string) (int, bool) {
	n := 0
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
		n = n*10 + int(s[i]-'0')
	}
	return n, s != "" && len(s) <= 9
}
