package incident

import (
	"fmt"

	"azekura/register/field"
)

// Language is that of a table for people.
type Language string

// The languages.
const (
	English  Language = "en"
	Japanese Language = "ja"
)

// ParseLanguage reads a language's code.
func ParseLanguage(code string) (Language, error) {
	if l := Language(code); l == English || l == Japanese {
		return l, nil
	}
	return "", fmt.Errorf("no table is written in that language; choose %s or %s", English, Japanese)
}

// words are the table's, with the verbs of fmt in the sentences.
type words struct {
	title, since, until, participants, openings, sets, first, last string
	field, people, combination, join                               string
	sessions, head, complete, incomplete, more                     string
	gaps                                                           map[GapKind]string
	to, rest, clock, log                                           string
	inFiles, found, both, beyond, only, together, grade, unread    string
}

var english = &words{
	title: "Exposure", since: "from", until: "until", participants: "participants", openings: "openings", sets: "set events",
	first: "first opening", last: "last opening", sessions: "sessions",
	field: "field", people: "participants", combination: "seen together", join: " + ",
	head:       "It stands on the signed head of %s events, root %s.",
	complete:   "It is complete: no event of these sessions is missing below that head.",
	incomplete: "IT IS NOT COMPLETE. Whom the missing events exposed is not in these figures:",
	more:       "and %s gaps more",
	gaps: map[GapKind]string{
		Missing:  "session {session}: events missing: {numbers}",
		Repeated: "session {session}: out of order: event {numbers}",
		Unknown:  "session {session}: no event in this log",
		Cut:      "the log: signed events missing, perhaps of these sessions: {numbers}",
		Lost:     "signed events lost for good, perhaps of these sessions: from {numbers}",
	},
	log: "log {log}: ",
	to:  " to ", rest: "and %s more combinations, of %s participants", clock: "2006-01-02 15:04:05 -07:00",
	inFiles: "Found in files by a leak scan, at the grades A to C:", found: "found", both: "found and opened", beyond: "of these, with more fields",
	only: "found only", together: "opened or found", grade: "grade",
	unread: "%s files or ranges of files COULDN'T BE READ: who isn't found may be in them.",
}

var japanese = &words{
	title: "漏えい（項目）", since: "開始", until: "終了", participants: "人数", openings: "開封", sets: "一括記録",
	first: "最初の開封", last: "最後の開封", sessions: "セッション",
	field: "項目", people: "人数", combination: "項目の組合せ", join: "＋",
	head:       "署名済みの監査記録%s件（ルート %s）に基づく。",
	complete:   "完全：これらのセッションの記録に欠けはない。",
	incomplete: "不完全：次の記録が欠けており、その分は上の人数に含まれない。",
	more:       "ほか%s箇所",
	gaps: map[GapKind]string{
		Missing:  "セッション {session} の記録 {numbers} がない",
		Repeated: "セッション {session} の記録 {numbers} の順序が正しくない",
		Unknown:  "セッション {session} の記録が一件もない",
		Cut:      "署名済みの監査記録 {numbers} がない（これらのセッションのものかもしれない）",
		Lost:     "署名済みの記録 {numbers} 以降が失われた（これらのセッションのものかもしれない）",
	},
	log: "記録簿{log}：",
	to:  "〜", rest: "ほか%s通り、%s人", clock: "2006-01-02 15:04:05 -07:00",
	inFiles: "ファイルから見つかった人（確度A〜C）", found: "発見", both: "発見かつ開封", beyond: "うち開封より項目が多い",
	only: "発見のみ", together: "開封または発見", grade: "確度",
	unread: "読めなかったファイル・範囲が%s件ある。見つからなかった人もその中にいるかもしれない。",
}

func (l Language) words() *words {
	if l == Japanese {
		return japanese
	}
	return english
}

var japaneseFields = map[field.Field]string{
	field.Number: "基礎年金番号", field.Name: "氏名", field.Kana: "カナ氏名", field.Romaji: "ローマ字氏名", field.Birth: "生年月日",
	field.Sex: "性別", field.Address: "住所", field.Phone: "電話番号", field.Email: "メールアドレス", field.Account: "受取口座",
	field.Ref: "機関内番号", field.Award: "年金給付", field.Existence: "登録の有無", field.Mask: "候補の伏せ字表示",
}

// FieldName is a field's name in the language, given by the name that figures have it under.
func (l Language) FieldName(name string) string {
	if l == Japanese {
		for f, ja := range japaneseFields {
			if f.String() == name {
				return ja
			}
		}
	}
	return name
}
