package population

// Award kinds.
const (
	OldAgeBasic        = "old-age-basic"       // 老齢基礎年金
	OldAgeEmployees    = "old-age-employees"   // 老齢厚生年金, with the basic part
	DisabilityBasic    = "disability-basic"    // 障害基礎年金
	SurvivorsEmployees = "survivors-employees" // 遺族厚生年金
)

// fullBasic is a full old-age basic pension a year in the fiscal year of AsOf,
// in yen; disability of the first grade is 1.25 times as much.
const fullBasic = 777_800

// award draws what is due to someone of that age, if anything, and says
// whether something is.
func (d *draft) award(r *rng, age int, woman bool) bool {
	kind := awardKind(r, age, woman)
	if kind == "" {
		return false
	}
	d.set(colAwardKind, kind)
	d.yen = awardYen(r, kind, woman)
	from := len(d.buf)
	d.digits(uint64(d.yen), 1)
	d.at[colAwardAnnualYen] = d.since(from)
	return true
}

func awardKind(r *rng, age int, woman bool) string {
	n := r.below(100_000)
	switch {
	case age < youngest:
		return SurvivorsEmployees
	case age >= 65:
		return oldAgeKind(r, n, age, woman)
	case age >= 60 && n < rateEarlyPension:
		return OldAgeBasic
	case n >= 100_000-rateDisability:
		return DisabilityBasic
	case woman && age >= 40 && n >= 100_000-rateDisability-1_500:
		return SurvivorsEmployees
	}
	return ""
}

// oldAgeKind parts those of 65 and over about as the scheme's reports do: most
// men were employees; many widows have their husband's pension.
func oldAgeKind(r *rng, n, age int, woman bool) string {
	part := r.below(100)
	switch {
	case n < rateOldNoAward:
		return ""
	case woman && part < 30 && age >= 75, woman && part < 8:
		return SurvivorsEmployees
	case woman && part < 62, !woman && part < 72:
		return OldAgeEmployees
	}
	return OldAgeBasic
}

func awardYen(r *rng, kind string, woman bool) int64 {
	switch kind {
	case OldAgeBasic:
		if r.below(100) < 25 {
			return fullBasic
		}
		months := int64(120 + max(r.below(361), r.below(361)))
		return (fullBasic*months + 240) / 480
	case DisabilityBasic:
		if r.below(100) < 30 {
			return fullBasic * 5 / 4
		}
		return fullBasic
	case SurvivorsEmployees:
		return int64(400_000 + r.below(600_000) + r.below(600_000))
	}
	if woman {
		return int64(650_000 + r.below(500_000) + r.below(500_000) + r.below(300_000))
	}
	return int64(900_000 + r.below(800_000) + r.below(800_000) + r.below(400_000))
}

// cityBanks stand for the banks that are everywhere, weighted by repetition.
var cityBanks = []string{"0005", "0005", "0005", "0009", "0009", "0009", "0001", "0001", "0010", "0036", "0033"}

const postBank = "9900" // ゆうちょ銀行

// account writes a payee account at a real branch. Its number is made up.
func (g *Generator) account(d *draft, r *rng, h *home, kana span) {
	b := &g.t.banks[g.drawBank(r, h)]
	d.set(colBankCode, b.code)
	d.set(colBranchCode, pick(r, b.branches))
	kind := "1"
	switch n := r.below(100); {
	case n < 2:
		kind = "2"
	case n < 5:
		kind = "4"
	}
	d.set(colAccountType, kind)
	from := len(d.buf)
	d.digits(uint64(1+r.below(9_999_999)), 7)
	d.at[colAccountNumber] = d.since(from)
	from = len(d.buf)
	d.buf = appendHolder(d.buf, d.bytes(kana))
	d.at[colAccountHolder] = d.since(from)
}

func (g *Generator) drawBank(r *rng, h *home) int {
	local := regions[h.region].banks
	switch n := r.below(100); {
	case n < 28:
		return g.t.bankAt[postBank]
	case n < 55:
		return g.t.bankAt[pick(r, cityBanks)]
	case n < 80 && len(local) > 0:
		return g.t.bankAt[pick(r, local)]
	}
	return g.t.bankByReach.draw(r)
}
