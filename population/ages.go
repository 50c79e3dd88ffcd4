package population

// Ages are counted on 1 October 2022, the day of the population estimates
// below. It is a constant, so that a seed's people never grow older.
const (
	asOfYear  = 2022
	asOfMonth = 10
	asOfDay   = 1
)

// AsOf is the day on which ages are counted, as in Birth.
const AsOf = "2022-10-01"

// pyramid is the total population of Japan on AsOf by five-year age band, in
// thousands (rounded there), men and women: Statistics Bureau of Japan,
// Population Estimates 2022, as reprinted by the National Institute of
// Population and Social Security Research, 人口統計資料集 2024, table 2-2. It
// starts at 20, where a pension register does, and ends with 95 to 99.
var pyramid = [...]struct{ men, women uint64 }{
	{3216, 3047}, {3295, 3118}, {3300, 3146}, {3668, 3544}, {4028, 3918}, // 20 to 44
	{4792, 4671}, {4756, 4680}, {4036, 4038}, {3684, 3761}, {3665, 3870}, // 45 to 69
	{4405, 4932}, {3151, 3878}, {2392, 3350}, {1429, 2525}, {560, 1429}, {111, 449}, // 70 to 99
}

// Centenarians in the same table, in thousands, and how they fall off with
// each year of age: by four tenths, in parts of 1,000.
const (
	centenarianMen   = 10
	centenarianWomen = 77
)

var centenarianYears = [...]uint64{400, 240, 144, 86, 52, 31, 19, 11, 7, 4, 3, 2, 1}

// uneven corrects a year within its band, in parts of 100, where the births of
// a year are known to differ much from their neighbours': the last year of the
// war and the first after it, the boom of 1947 to 1949, and 1966, the year of
// the fire horse (丙午). The rest of a band is spread evenly.
var uneven = map[int]uint64{56: 76, 76: 78, 77: 75, 73: 125, 74: 125, 75: 125}

const (
	youngest = 20
	oldest   = 100 + len(centenarianYears) - 1
)

// byAge draws the age and sex of an adult: index 2*(age-youngest), plus 1 for
// a woman.
var byAge = newAlias(ageWeights())

func ageWeights() []uint64 {
	var w []uint64
	for i, band := range pyramid {
		var sum uint64
		for age := youngest + 5*i; age < youngest+5*i+5; age++ {
			sum += yearShare(age)
		}
		for age := youngest + 5*i; age < youngest+5*i+5; age++ {
			w = append(w, band.men*1000*yearShare(age)/sum, band.women*1000*yearShare(age)/sum)
		}
	}
	for _, part := range centenarianYears {
		w = append(w, centenarianMen*part, centenarianWomen*part)
	}
	return w
}

func yearShare(age int) uint64 {
	if s, ok := uneven[age]; ok {
		return s
	}
	return 100
}

// bornAt draws a day of birth, as a day number, of someone of that age on AsOf:
// any day of the year that fits, so 29 February is as likely as others.
func bornAt(r *rng, age int) int32 {
	last := dayNumber(asOfYear-age, asOfMonth, asOfDay)
	first := dayNumber(asOfYear-age-1, asOfMonth, asOfDay) + 1
	return int32(first + r.below(last-first+1))
}

// ageOf is the age on AsOf of someone born on that day.
func ageOf(born int32) int {
	y, m, d := civil(int(born))
	age := asOfYear - y
	if m > asOfMonth || m == asOfMonth && d > asOfDay {
		age--
	}
	return age
}

// dayNumber counts days of the Gregorian calendar from 1970-01-01, and civil
// is its inverse (Hinnant, chrono-compatible low-level date algorithms).
func dayNumber(y, m, d int) int {
	if m <= 2 {
		y--
		m += 12
	}
	era := y / 400
	yoe := y - era*400
	doy := (153*(m-3)+2)/5 + d - 1
	return era*146097 + yoe*365 + yoe/4 - yoe/100 + doy - 719468
}

func civil(n int) (y, m, d int) {
	n += 719468
	era := n / 146097
	doe := n - era*146097
	yoe := (doe - doe/1460 + doe/36524 - doe/146096) / 365
	doy := doe - (365*yoe + yoe/4 - yoe/100)
	mp := (5*doy + 2) / 153
	d = doy - (153*mp+2)/5 + 1
	m = mp + 3
	y = yoe + era*400
	if m > 12 {
		return y + 1, m - 12, d
	}
	return y, m, d
}

func appendDate(buf []byte, born int32) []byte {
	y, m, d := civil(int(born))
	buf = appendDigits(buf, uint64(y), 4)
	buf = appendDigits(append(buf, '-'), uint64(m), 2)
	return appendDigits(append(buf, '-'), uint64(d), 2)
}
