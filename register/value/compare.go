package value

import (
	"azekura/register/field"
	"azekura/register/normal"
)

// Comparable is the form in which a canonical text is compared with another of
// the same field: 髙橋 and 高橋, ｻﾄｳ and サトウ, 二丁目 and 2丁目 are the same. "" is the
// same as nothing.
func Comparable(f field.Field, canonical string) string {
	switch f {
	case field.Name, field.Romaji:
		return normal.Name(canonical)
	case field.Kana:
		return normal.Kana(canonical)
	case field.Email:
		return normal.Email(canonical)
	case field.Address:
		_, text, _ := SplitAddress(canonical)
		return normal.Address(text)
	}
	return canonical
}
