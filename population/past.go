package population

// pasts writes former names and addresses, oldest first.
func (g *Generator) pasts(d *draft, id *identity, age int, r *rng) {
	if formerName(r, id, age) {
		was := *id
		was.surname, was.surnameLook = g.t.surnames.by[0].draw(r), r.next()
		var p past
		sur, giv := &g.t.surnames.list[was.surname], &g.givenNames(id.woman).list[id.given]
		p[0], p[1], p[2] = d.fullName(sur, giv, &was, styleOf{"　", "　"})
		d.former = append(d.former, p)
	}
	if !r.chance(rateFormerHome) {
		return
	}
	for range 1 + r.below(4)*r.below(2)/2 {
		if h := g.drawHome(d, r); !h.absent {
			d.former = append(d.former, past{3: h.postal, 4: h.text})
		}
	}
}

func formerName(r *rng, id *identity, age int) bool {
	rate := rateFormerNameM
	if id.woman {
		rate = rateFormerName
	}
	return r.chance(rate) && age >= 25 && !id.foreign
}
