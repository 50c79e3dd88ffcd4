package population

// phoneByAge is how many of 100 phones on record are mobile ones, by age in
// decades, and mailByAge how many of 100 people left an e-mail address.
var (
	phoneByAge = [...]int{90, 95, 98, 97, 94, 88, 75, 50, 30, 20, 15, 15}
	mailByAge  = [...]int{20, 45, 62, 60, 55, 45, 33, 18, 6, 2, 1, 1}
)

// mailHosts are names that RFC 2606 or the .jp registry keep for examples, so
// no mail can arrive.
var mailHosts = []string{"example.com", "example.net", "example.org", "example.jp", "example.ne.jp", "example.co.jp", "example.or.jp"}

// phone writes a number in the shape of a real one: it may belong to someone,
// so never call one.
func (d *draft) phone(r *rng, age int, h *home) {
	if r.chance(rateNoPhone) || h.abroad {
		return
	}
	from := len(d.buf)
	if r.below(100) < phoneByAge[age/10] {
		d.text(pick(r, []string{"090", "090", "080", "080", "070"}))
		n := uint64(r.below(90_000_000)) + 10_000_000
		d.text("-")
		d.digits(n/10_000, 4)
		d.text("-")
		d.digits(n%10_000, 4)
	} else {
		d.landline(r, pick(r, regions[h.region].area))
	}
	d.at[colPhone] = d.since(from)
}

// landline fills area code and exchange up to six digits; exchanges start with
// 2 to 9.
func (d *draft) landline(r *rng, area string) {
	width := 6 - len(area)
	size := 1
	for range width - 1 {
		size *= 10
	}
	d.text(area)
	d.text("-")
	d.digits(uint64(size*2+r.below(size*8)), width)
	d.text("-")
	d.digits(uint64(r.below(10_000)), 4)
}

// email builds an address from the romaji, as people do. It reads the romaji's
// span before the column is hidden.
func (d *draft) email(r *rng, age int, romaji span) {
	if r.below(100) >= mailByAge[age/10] {
		return
	}
	from := len(d.buf)
	gap := pick(r, []byte{'.', '_', '-', 0})
	for i := romaji.from; i < romaji.to && len(d.buf)-from < 40; i++ {
		switch c := d.buf[i]; {
		case c >= 'A' && c <= 'Z':
			d.buf = append(d.buf, c|0x20)
		case c == ' ' && gap != 0:
			d.buf = append(d.buf, gap)
		}
	}
	if n := r.below(200); n < 100 {
		d.digits(uint64(n), 2)
	}
	d.text("@")
	d.text(pick(r, mailHosts))
	d.at[colEmail] = d.since(from)
}
