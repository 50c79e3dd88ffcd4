package scan

import (
	"azekura/leakscan"
	"azekura/register/field"
	"azekura/register/normal"
)

// test finds which fields of a person are in a record, each by itself.
func (j *judge) test(r *record, p *person) {
	p.known = true
	for n := r.from; n < r.to; n++ {
		c := &j.m.cells[n]
		taken := false // the cell is another field of the person's: no need to try it as the ref
		if c.class&isNumber != 0 {
			taken = j.match(p, field.Number, leakscan.TagNumber, c.digits)
		}
		if c.class&isPhone != 0 && p.row.Has(leakscan.TagPhone) {
			taken = j.match(p, field.Phone, leakscan.TagPhone, c.digits) || taken
		}
		if c.class&isDate != 0 && !p.fields.Has(field.Birth) {
			j.birth(p, c)
		}
		if c.class&isName != 0 {
			j.name(r, p, c, n)
		}
		if c.class&isAddress != 0 && !p.fields.Has(field.Address) && p.row.Has(leakscan.TagAddress) && len(c.text) >= 9 {
			if j.form = j.m.places.AppendForm(j.form[:0], str(c.text)); len(j.form) > 0 {
				j.match(p, field.Address, leakscan.TagAddress, j.form)
			}
		}
		if c.class&isEmail != 0 && p.row.Has(leakscan.TagEmail) {
			j.form = normal.AppendName(j.form[:0], str(c.text))
			j.match(p, field.Email, leakscan.TagEmail, j.form)
		}
		if c.class&isCode != 0 && !p.fields.Has(field.Account) && p.row.Has(leakscan.TagAccount) {
			if form := j.m.account(r, n); len(form) > 0 {
				j.match(p, field.Account, leakscan.TagAccount, form)
			}
		}
		if c.class&isRef != 0 && !taken && !p.fields.Has(field.Ref) {
			j.form = lower(j.form[:0], c.text)
			j.match(p, field.Ref, leakscan.TagRef, j.form)
		}
	}
}

// match tests one form, and says whether it is the person's.
func (j *judge) match(p *person, f field.Field, tag leakscan.Tag, form []byte) bool {
	match, past := j.m.index.Match(&p.row, tag, form)
	if !match {
		return false
	}
	if past && !p.fields.Has(f) {
		p.past |= field.SetOf(f)
	} else if !past {
		p.past &^= field.SetOf(f)
	}
	p.fields |= field.SetOf(f)
	return true
}

func (j *judge) birth(p *person, c *cell) {
	var days [2]normal.Day
	for _, d := range normal.AppendDays(days[:0], str(c.text)) {
		j.form = leakscan.AppendBirth(j.form[:0], d)
		if j.match(p, field.Birth, leakscan.TagBirth, j.form) {
			return
		}
	}
}

// name tests a cell, by itself and with the one after it, as a name in any of
// its writings.
func (j *judge) name(r *record, p *person, c *cell, n int32) {
	if c.class&isKana != 0 && !p.fields.Has(field.Kana) && p.row.Has(leakscan.TagKana) {
		j.form = normal.AppendKana(j.form[:0], str(c.text))
		if !j.match(p, field.Kana, leakscan.TagKana, j.form) && n+1 < r.to && joins(c, &j.m.cells[n+1]) {
			j.form = normal.AppendKana(j.form, str(j.m.cells[n+1].text))
			j.match(p, field.Kana, leakscan.TagKana, j.form)
		}
	}
	if p.fields.Has(field.Name) && (c.text[0] >= 0x80 || p.fields.Has(field.Romaji)) {
		return
	}
	j.form = normal.AppendName(j.form[:0], str(c.text))
	if c.text[0] < 0x80 && p.row.Has(leakscan.TagRomaji) {
		j.match(p, field.Romaji, leakscan.TagRomaji, j.form)
	}
	if !p.fields.Has(field.Name) && !j.written(p) && n+1 < r.to && joins(c, &j.m.cells[n+1]) {
		j.form = normal.AppendName(j.form, str(j.m.cells[n+1].text))
		j.written(p)
	}
}

// written tests the form as the name, under tier 1 and then tier 2.
func (j *judge) written(p *person) bool {
	if j.match(p, field.Name, leakscan.TagName, j.form) {
		p.tier = normal.Same
		return true
	}
	from := len(j.form)
	j.form = normal.AppendLoose(j.form, j.form)
	loose := j.form[from:]
	ok := j.match(p, field.Name, leakscan.TagLoose, loose)
	j.form = j.form[:from]
	if ok {
		p.tier = normal.Loose
	}
	return ok
}

func lower(dst, b []byte) []byte {
	for _, c := range b {
		if c >= 'A' && c <= 'Z' {
			c += 'a' - 'A'
		}
		dst = append(dst, c)
	}
	return dst
}
