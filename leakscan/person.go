package leakscan

import (
	"strings"

	"azekura/register/field"
	"azekura/register/normal"
	"azekura/register/value"

	"github.com/google/uuid"
)

// Value is one field of a person, as the register stores it.
type Value struct {
	Field field.Field
	Past  bool // a later version says otherwise
	Text  string
}

// Person is what an index is told of a participant.
type Person struct {
	ID     uuid.UUID
	Values []Value
}

// mostAnchors bounds what one person may bring: a register with a hundred names
// times a hundred births for somebody is broken, and shan't fill the index.
const mostAnchors = 256

// forms are a person's values, normalised, in one buffer.
type forms struct {
	buf    []byte
	parts  [tags][]part
	places normal.Places
}

// part is one form in the buffer.
type part struct {
	from, to int
	past     bool
}

func (f *forms) reset() {
	f.buf = f.buf[:0]
	for i := range f.parts {
		f.parts[i] = f.parts[i][:0]
	}
}

func (f *forms) text(p part) []byte { return f.buf[p.from:p.to] }

func (f *forms) add(tag Tag, past bool, write func(dst []byte) []byte) {
	from := len(f.buf)
	f.buf = write(f.buf)
	if len(f.buf) == from {
		return
	}
	for _, p := range f.parts[tag] {
		if string(f.text(p)) == string(f.buf[from:]) {
			f.buf = f.buf[:from]
			return
		}
	}
	f.parts[tag] = append(f.parts[tag], part{from, len(f.buf), past})
}

func literal(s string) func([]byte) []byte {
	return func(dst []byte) []byte { return append(dst, s...) }
}

// value normalises one. A value that has no form (a name of marks only) is left
// out.
func (f *forms) value(v Value) {
	switch v.Field {
	case field.Number:
		f.add(TagNumber, v.Past, literal(v.Text))
	case field.Name:
		f.add(TagName, v.Past, func(dst []byte) []byte { return normal.AppendName(dst, v.Text) })
		f.add(TagLoose, v.Past, func(dst []byte) []byte { return normal.AppendNameLoose(dst, v.Text) })
	case field.Kana:
		f.add(TagKana, v.Past, func(dst []byte) []byte { return normal.AppendKana(dst, v.Text) })
	case field.Romaji:
		f.add(TagRomaji, v.Past, func(dst []byte) []byte { return normal.AppendName(dst, v.Text) })
	case field.Birth:
		var days [2]normal.Day
		for _, d := range normal.AppendDays(days[:0], v.Text) {
			f.add(TagBirth, v.Past, func(dst []byte) []byte { return AppendBirth(dst, d) })
		}
	case field.Address:
		postal, text, _ := value.SplitAddress(v.Text)
		f.add(TagPostal, v.Past, literal(postal))
		f.add(TagAddress, v.Past, func(dst []byte) []byte { return f.places.AppendForm(dst, text) })
	case field.Phone:
		f.add(TagPhone, v.Past, literal(normal.Phone(v.Text)))
	case field.Email:
		f.add(TagEmail, v.Past, func(dst []byte) []byte { return normal.AppendName(dst, v.Text) })
	case field.Account:
		if bank, branch, _, number, _, ok := value.SplitAccount(v.Text); ok {
			f.add(TagAccount, v.Past, literal(bank+branch+number))
		}
	case field.Ref:
		f.add(TagRef, v.Past, literal(strings.ToLower(v.Text)))
	}
}

// anchors calls each with every anchor of the person, their past ones with
// their past partners too: a file of ten years ago has both.
func (f *forms) anchors(each func(kind Kind, form []byte)) {
	left := mostAnchors
	call := func(kind Kind, form []byte) {
		if left--; left >= 0 {
			each(kind, form)
		}
	}
	for _, single := range [...]struct {
		kind Kind
		tag  Tag
	}{{Number, TagNumber}, {Account, TagAccount}, {Phone, TagPhone}, {Email, TagEmail}} {
		for _, p := range f.parts[single.tag] {
			call(single.kind, f.text(p))
		}
	}
	var stack [256]byte
	for _, pair := range [...]struct {
		kind         Kind
		name, second Tag
	}{{NameBirth, TagLoose, TagBirth}, {KanaBirth, TagKana, TagBirth}, {NameAddress, TagLoose, TagAddress}} {
		for _, name := range f.parts[pair.name] {
			for _, second := range f.parts[pair.second] {
				call(pair.kind, append(append(append(stack[:0], f.text(name)...), separator), f.text(second)...))
			}
		}
	}
}

// record is the person's row of the index: the pseudonym, which fields have a
// current tag, those tags, and the past ones with their field.
func (f *forms) record(dst []byte, keys *Keys, id uuid.UUID, person uint32) []byte {
	dst = append(dst, id[:]...)
	var mask uint16
	at := len(dst)
	dst = append(dst, 0, 0, 0)
	var current [tags]int
	for tag := range f.parts {
		current[tag] = -1
		for i, p := range f.parts[tag] {
			if !p.past {
				current[tag] = i
				mask |= 1 << tag
				t := keys.tagOf(person, Tag(tag), f.text(p))
				dst = append(dst, byte(t), byte(t>>8))
				break
			}
		}
	}
	past := 0
	for tag := range f.parts {
		for i, p := range f.parts[tag] {
			if i == current[tag] || past == 255 {
				continue
			}
			t := keys.tagOf(person, Tag(tag), f.text(p))
			dst = append(dst, byte(tag), byte(t), byte(t>>8))
			past++
		}
	}
	dst[at], dst[at+1], dst[at+2] = byte(mask), byte(mask>>8), byte(past)
	return dst
}
