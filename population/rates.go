package population

// Rates of the oddities, in 100,000 of those they can happen to. They are
// chosen so that a register of 20,000 holds each at least a few times; where a
// public figure exists (foreign residents are 2.4 of 100, two of 100 newborns
// are twins) they are near it.
const (
	rateTwin         = 400    // people who are the second twin, at the first one's address
	rateDouble       = 200    // people with the name and birth of another person elsewhere
	rateForeign      = 2_400  // foreign names
	rateLongName     = 2_500  // foreign names of 40 characters and more
	rateNoKana       = 1_500  // kana missing
	rateNoRomaji     = 20_000 // romaji missing
	rateNoSex        = 500    // sex not recorded
	rateHalfSpace    = 4_000  // a half-width space between surname and given name
	rateNoSpace      = 2_000  // nothing between them (Japanese names only)
	rateAbroad       = 300    // an address abroad: no postal code, commas in the text
	rateNoAddress    = 300    // address unknown
	rateNoPhone      = 12_000 // phone missing
	rateFormerName   = 40_000 // a former name, of women of 25 and over with Japanese names
	rateFormerNameM  = 3_000  // the same, of men
	rateFormerHome   = 35_000 // at least one former address
	rateChild        = 300    // children with a survivors' pension
	rateAccountEarly = 30_000 // an account on record without an award
	rateDisability   = 2_000  // a disability pension between 20 and 64
	rateEarlyPension = 8_000  // an old-age pension drawn from 60 to 64
	rateOldNoAward   = 2_500  // no award at 65 and over
)

// Rates of variant characters, in 100,000 names that hold the common one.
var (
	surnameVariants = map[rune][]variant{
		'高': {{"髙", 10_000}},
		'崎': {{"﨑", 12_000}},
		'辺': {{"邉", 9_000}, {"邊", 9_000}, {"邉\U000E0102", 300}},
		'斎': {{"齋", 15_000}, {"齊", 5_000}},
		'斉': {{"齊", 10_000}},
		'吉': {{"𠮷", 8_000}},
		'沢': {{"澤", 10_000}},
		'島': {{"嶋", 5_000}, {"嶌", 1_000}},
		'浜': {{"濱", 10_000}, {"濵", 3_000}},
		'広': {{"廣", 5_000}},
		'桜': {{"櫻", 6_000}},
		'富': {{"冨", 8_000}},
		'徳': {{"德", 5_000}},
		'瀬': {{"瀨", 3_000}},
		'柳': {{"栁", 3_000}},
		'神': {{"\uFA19", 2_000}},
		'福': {{"\uFA1B", 1_000}},
		'辻': {{"辻\U000E0101", 3_000}},
		'葛': {{"葛\U000E0100", 15_000}},
	}
	givenVariants = map[rune][]variant{
		'真': {{"眞", 4_000}},
		'恵': {{"惠", 4_000}},
		'広': {{"廣", 3_000}},
		'徳': {{"德", 3_000}},
		'隆': {{"\uF9DC", 1_000}},
	}
)

type variant struct {
	text string
	rate int
}
