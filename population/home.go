package population

import "strings"

// region is what belongs to one prefecture: its people in thousands (Statistics
// Bureau of Japan, Population Estimates, 1 October 2022, rounded), the area
// codes of its larger cities, and the codes of the regional banks seated there.
type region struct {
	thousand uint64
	area     []string
	banks    []string
}

// regions are in the order of the prefectures' codes (JIS X 0401), as the town
// table is.
var regions = parseRegions(`
5140|011 011 011 0166 0138 0155 0144 0154|0116
1204|017 0172 0178|0117
1181|019 0197 0191|0123 0124
2280|022 022 0225 0229|0125
930|018 0186 0182|0119 0120
1041|023 0234 0238|0121 0122
1790|024 0246 0242|0126
2840|029 0294 0297 0280|0130 0131
1909|028 0285 0284|0129
1913|027 0276 0270|0128
7337|048 048 049 04|0133
6266|043 047 047 04 0436|0134 0135
14038|03 03 03 03 042 0422 0428|0137
9232|045 045 044 046 0463|0138
2153|025 0258 0256|0140
1017|076 0766|0144 0145
1118|076 0761|0146
753|0776 0778 0770|0147
802|055 0554|0142
2020|026 0263 0265 0267|0143
1946|058 0584 0574|0152 0153
3582|054 053 055 0545|0149 0150 0151
7495|052 052 0532 0564 0565 0586|
1742|059 0596 0598|0154 0155
1409|077 0748 0749|0157
2550|075 075 0774 0773|0158
8782|06 06 06 072 0725|0159 0161
5402|078 079 06 0797|0164
1306|0742 0744 0743|0162
903|073 0739 0736|0163
544|0857 0859 0858|0166
658|0852 0853 0855|0167
1862|086 0868|0168
2760|082 084 0823|0169
1313|083 0834 0835 0836|0170
704|088 0883 0884|0172
934|087 0877|0173
1306|089 0897 0895|0174
676|088 0887|0175
5116|092 092 093 0942 0948|0177 0178 0190 0191
801|0952 0955|0179
1283|095 0956 0957|0181
1718|096 0968 0966|0182
1107|097 0977 0973|0183
1052|0985 0982 0986|0184
1563|099 0994 0995|0185
1468|098 0980|0187 0188`)

func parseRegions(text string) (list []region) {
	for line := range strings.Lines(strings.TrimSpace(text)) {
		f := strings.Split(strings.TrimSpace(line), "|")
		var n uint64
		for _, c := range f[0] {
			n = n*10 + uint64(c-'0')
		}
		list = append(list, region{n, strings.Fields(f[1]), strings.Fields(f[2])})
	}
	return list
}

var byRegion = func() alias {
	var w []uint64
	for _, p := range regions {
		w = append(w, p.thousand)
	}
	return newAlias(w)
}()

// ruralShare is how many of 100 people live in a district (郡), where the
// prefecture has any. Within city or district towns are drawn alike, because
// no source at hand says how many live in each.
const ruralShare = 9

// home is where someone lives.
type home struct {
	region         int
	abroad, absent bool
	postal, text   span
}

// drawHome writes an address: postal code and text, as spans.
func (g *Generator) drawHome(d *draft, r *rng) home {
	h := home{region: byRegion.draw(r)}
	switch kind := r.below(100_000); {
	case kind < rateNoAddress:
		h.absent = true
		return h
	case kind < rateNoAddress+rateAbroad:
		h.abroad = true
		h.text = d.foreignAddress(r)
		return h
	}
	in := &g.t.towns.in[h.region]
	first, end := in.first, in.rural
	rural := in.end > in.rural && r.below(100) < ruralShare
	if rural {
		first, end = in.rural, in.end
	}
	code, town := g.t.towns.town(first + r.below(end-first))
	from := len(d.buf)
	d.text(code)
	h.postal = d.since(from)
	from = len(d.buf)
	d.text(in.name)
	d.text(town)
	d.lot(r, rural)
	h.text = d.since(from)
	return h
}

// lot writes the part after the town in one of the ways clerks do: full or half
// width, by block or by plain lot number, some with a building.
func (d *draft) lot(r *rng, rural bool) {
	n := r.next()
	wide := n%100 < 60
	n /= 100
	if rural || n%100 < 20 {
		d.figure(1+int(n>>8)%2400, wide)
		if n>>8%4 != 0 {
			d.text("番地")
		}
		return
	}
	chome, ban, go_ := 1+int(n>>8%5), 1+int(n>>16%30), 1+int(n>>24%25)
	marks := [3]string{"丁目", "番", "号"}
	if n>>32%100 < 55 {
		marks = [3]string{"－", "－", ""}
		if !wide {
			marks = [3]string{"-", "-", ""}
		}
	}
	d.figure(chome, wide)
	d.text(marks[0])
	d.figure(ban, wide)
	d.text(marks[1])
	d.figure(go_, wide)
	d.text(marks[2])
	if n>>40%100 < 38 {
		d.building(r, wide)
	}
}

var (
	buildingKinds = []string{"コーポ", "ハイツ", "メゾン", "グリーンハイツ", "サンハイツ", "パレス", "レジデンス", "ヴィラ", "プラザ", "シャトー", "第一", "第二", "市営住宅", "県営"}
	buildingNames = []string{"さくら", "若葉", "青葉", "みどり", "富士", "光", "旭", "松風", "白樺", "あさひ", "たちばな", "花水木", "ひまわり", "泉", "南", "東", "日の出", "いずみ", "やまと", "美咲"}
	buildingEnds  = []string{"", "", "", "荘", "マンション", "ハイム", "A棟", "Ｂ棟", "２", "Ⅲ"}
)

func (d *draft) building(r *rng, wide bool) {
	n := r.next()
	if n>>60 < 9 {
		d.text("　")
	} else if n>>60 < 13 {
		d.text(" ")
	}
	d.text(buildingKinds[n%uint64(len(buildingKinds))])
	d.text(buildingNames[n>>8%uint64(len(buildingNames))])
	d.text(buildingEnds[n>>16%uint64(len(buildingEnds))])
	if n>>24%2 == 0 && !wide {
		d.text("-")
	}
	d.figure(100*(1+int(n>>28%9))+1+int(n>>36%12), wide)
	if n>>44%3 == 0 {
		d.text("号室")
	}
}

// figure writes a number in half- or full-width digits.
func (d *draft) figure(n int, wide bool) {
	from := len(d.buf)
	d.digits(uint64(n), 1)
	if !wide {
		return
	}
	var digits [8]byte
	count := copy(digits[:], d.buf[from:])
	d.buf = d.buf[:from]
	for _, c := range digits[:count] {
		d.buf = append(d.buf, 0xEF, 0xBC, 0x90+c-'0') // U+FF10 and on in UTF-8
	}
}

var (
	streets = []string{"Sample Street", "Example Avenue", "Placeholder Road", "Specimen Lane", "Model Drive"}
	cities  = []string{"Honolulu, HI, USA", "Los Angeles, CA, USA", "London, United Kingdom", "Sao Paulo, SP, Brazil", "Bangkok, Thailand", "Taipei, Taiwan", "Vancouver, BC, Canada", "Sydney, NSW, Australia", "Düsseldorf, Germany", "Lima, Peru"}
)

// foreignAddress is in a real city and a street whose name says that it's made
// up.
func (d *draft) foreignAddress(r *rng) span {
	from := len(d.buf)
	d.digits(uint64(1+r.below(900)), 1)
	d.text(" ")
	d.text(pick(r, streets))
	d.text(", ")
	d.text(pick(r, cities))
	return d.since(from)
}
