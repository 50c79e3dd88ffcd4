package drill

import "azekura/incident"

// words are the display's and the table's, with the verbs of fmt in the sentences.
type words struct {
	stages                                          map[Stage]string
	counts                                          map[Stage]string // what a stage counts, with its number and rate
	title, beside, here, then                       string
	register, left, only, andBirth, andAddress, not string
	cases                                           string
	tally, thief, azekura                           string
	tried, endedBy, byItself, byEnd                 string
	missed, missedNone, missedSome                  string
	over, overWhy, own, unmatched                   string
	verified, unverified                            string
	answer, answerThen                              string
	note                                            string
	next, kept, keep, rerun, verify, play, read     string
	titleDays, beyond, within, above, most, nobody  string
	stopped, after, containedAfter                  string
	honest, atClean, atInfected, neverDone          string
	bar, relief, hindered, model, policies          string
	notTested, noteDays                             string
}

var english = &words{
	stages: map[Stage]string{Making: "a register of made-up people", Knowing: "staff, PCs and sessions; the truth to compare with",
		Serving: "the server, a process of its own", Stealing: "the theft, beside honest work", Asking: "“who was affected?”",
		Verifying: "the audit log, verified", Comparing: "the thief's tally against the exposure"},
	counts: map[Stage]string{Making: "%s people, %s a second", Stealing: "%s answers, %s a second", Asking: "%s people", Verifying: "%s events"},
	title:  "June 2015, re-enacted: one infected PC, its live session, %s seconds; seed %d",
	beside: "How much left", here: "this drill", then: "2015",
	register: "people in the register", left: "people whose data left", only: "  number + name", andBirth: "  number + name + birth",
	andAddress: "  number + name + birth + address", not: "-", cases: "  (the three lines: people here, cases in 2015, about)",
	tally: "Whose, and which fields", thief: "the thief wrote", azekura: "Azekura says",
	tried: "  %s: %s requests, %s answers, %s", endedBy: "stopped by %s", byItself: "ended by itself", byEnd: byEnd,
	missed: "missed (stolen, not in the exposure)", missedNone: "0", missedSome: "%s   THE DRILL FAILED",
	over:       "over (exposed, neither stolen nor own work)",
	overWhy:    "Requests under way when the thief was killed are recorded before they are answered:\n  recorded is always at least what was released.",
	own:        "own work (the PC's user, in the same session)",
	unmatched:  "The attacker wrote %s lines that can't be so (%s malformed, %s of nobody in the register, %s with another's values). They are not counted as stolen.",
	verified:   "The audit log is whole: %s events under the signed head %s.",
	unverified: "THE AUDIT LOG IS NOT WHAT WAS SIGNED.",
	answer:     "From “who was affected?” to the list, person by person: %s seconds, computed from the log.",
	answerThen: "In 2015: the police found the data after 20 days, the public was told after 24; the list\nwas typed by hand, with 100,286 errors, and 2,449 victims were told that theirs hadn't leaked.",
	note:       "Nothing stopped the thief: budgets, cases and containment come next.\nA field counts when it was answered, also with “there is none”.",
	next:       "What to look at next", kept: "Everything is in %s (it holds made-up people only).",
	keep: "keep it and look inside", rerun: "bin/azekura drill june-2015 --keep drill-1",
	verify: "tamper with the database there, and see",
	play:   "play the thief yourself (drill/PROTOCOL.md)", read: "README.md, “make drill”, says what this shows.",
	titleDays: "June 2015, re-enacted: %d infected PCs of %d at work, %d working days; seed %d",
	beyond:    "stolen beyond what the infected PCs' users opened in honest cases: %s people, %s", within: "within the limit of %s",
	above: "ABOVE THE LIMIT OF %s", most: "most by: %s", nobody: "No rule contained any of the %d infected PCs: what stopped an attempt above is all that did.",
	stopped: "%s: %s contained after %s (%s of it in office hours), by %s", after: " after %s (%d of %d PCs)", containedAfter: "; PC contained after %s (%d)",
	honest: "honest work: %s callers, %s openings asked for", atClean: "%s openings refused at PCs that the thief didn't hold then",
	atInfected: "%s refused at PCs in the thief's hands: the user notices, stops, and passes the caller on", neverDone: "%s never done at all, by anybody",
	bar:       "refused at clean PCs or never done: %.2f in 10,000; refused anywhere, done later or not: %s (%.2f in 10,000)",
	relief:    "%s touches of keys to open cases, one each, %s for another field; %s slips refused and made good; %s openings waited some seconds for another; %s callers passed on to colleagues, the longest wait %.0f minutes;\n  %s staff released by two officers, an hour later, onto a PC that nobody had worked at",
	hindered:  "all honest requests refused, those that a sign-in or a touch mended too, by what: %s",
	model:     "the model: %d staff, %d PCs of which %d infected, %d days, %s people known from elsewhere;\n  %s",
	policies:  "the policies in force (%s, %d tests) refused requests\n  of the thief: %s\n  of honest staff: %s",
	notTested: "%s: not tested: %s", noteDays: "A field counts when it was answered, also with “there is none”; a candidate's mask counts as stolen.",
}

var japanese = &words{
	stages: map[Stage]string{Making: "架空の人々の登録簿", Knowing: "職員・端末・セッションと、照らす真実",
		Serving: "サーバー（別プロセス）", Stealing: "窃取（通常業務と並行）", Asking: "「誰が漏えいしたか」",
		Verifying: "監査記録の検証", Comparing: "犯人の記録と漏えいの照合"},
	counts: map[Stage]string{Making: "%s人、毎秒%s人", Stealing: "応答%s件、毎秒%s件", Asking: "%s人", Verifying: "%s件"},
	title:  "2015年6月の再現：感染した端末1台、そのセッション、%s秒間（シード %d）",
	beside: "流出の規模", here: "この訓練", then: "2015年",
	register: "登録簿の人数", left: "流出した人数", only: "  番号＋氏名", andBirth: "  番号＋氏名＋生年月日",
	andAddress: "  番号＋氏名＋生年月日＋住所", not: "-", cases: "  （三行は、訓練では人数、2015年は件数の概数）",
	tally: "誰の、どの項目が", thief: "犯人の記録", azekura: "Azekuraの答え",
	tried: "  %s：要求%s件、応答%s件、%s", endedBy: "停止：%s", byItself: "自ら終了", byEnd: "訓練の終了",
	missed: "見落とし（盗まれたが漏えいにない）", missedNone: "0", missedSome: "%s   訓練は失敗",
	over:       "過大（漏えいにあるが、盗まれても本人の業務でもない）",
	overWhy:    "犯人を止めた時点で処理中だった要求は、応答より先に記録される。記録は常に、渡したもの以上である。",
	own:        "端末の利用者自身の業務（同じセッション）",
	unmatched:  "犯人の記録のうち%s行はあり得ない（形式違い%s、登録簿にない人%s、値の相違%s）。盗まれたものには数えない。",
	verified:   "監査記録は完全：署名済みの%s件、ルート %s。",
	unverified: "監査記録が署名されたものと一致しない。",
	answer:     "「誰が漏えいしたか」から一人ずつの名簿まで：%s秒、監査記録から計算。",
	answerThen: "2015年：警察が外部でデータを見つけるまで20日、公表まで24日。\n名簿は手で打ち込まれ、誤りは100,286件、被害者2,449人が「流出していない」と告げられた。",
	note:       "犯人を止めたものはまだない。閲覧枠・案件・隔離はこれから加わる。\n項目は「なし」という答えも数える。",
	next:       "次に見るもの", kept: "すべて %s にある（架空の人々のみ）。",
	keep: "残して中を見る", rerun: "bin/azekura drill june-2015 --keep drill-1",
	verify: "データベースを改ざんして確かめる",
	play:   "自分で犯人を演じる（drill/PROTOCOL.md）", read: "README.md の“make drill”に説明がある。",
	titleDays: "2015年6月の再現：感染した端末%d台（稼働%d台）、%d営業日（シード %d）",
	beyond:    "感染した端末の利用者が正当な案件で開いたものを除き、盗まれた人数：%s人、%s", within: "上限%s人以内",
	above: "上限%s人を超過", most: "多い順：%s", nobody: "感染した%d台のいずれも、規則による隔離はなかった。止めたものは上のとおり。",
	stopped: "%s：%sを%s後に隔離（うち執務時間%s、%s）", after: "（%s後、端末%d/%d台）", containedAfter: "、端末は%s後に隔離（%d台）",
	honest: "正当な業務：相談%s件、開封の要求%s件", atClean: "その時点で犯人の手にない端末での拒否：%s件",
	atInfected: "犯人の手にある端末での拒否：%s件（利用者は気づいて使用をやめ、相談者を同僚に引き継ぐ）", neverDone: "誰にも処理されなかった開封：%s件",
	bar:       "感染していない端末での拒否、または未処理：1万件あたり%.2f件。後で処理されたものを含むすべての拒否：%s件（1万件あたり%.2f件）",
	relief:    "案件を開くための認証器への接触：%s回（案件ごとに一回）、別の項目のための接触：%s回。拒否され、やり直した操作：%s件。さらに接触を待った開封：%s件。同僚に引き継いだ相談：%s件、最長の待ち時間%.0f分。\n  一時間後に責任者二名が隔離を解き、未使用の端末に移った職員：%s人",
	hindered:  "拒否された正当な要求（再サインインや接触で解消したものを含む）：%s",
	model:     "モデル：職員%d人、端末%d台（うち感染%d台）、%d日、ほかの漏えいで知られた人%s人\n  %s",
	policies:  "施行中の方針（%s、試験%d件）が拒否した要求\n  犯人：%s\n  正当な業務：%s",
	notTested: "%s：未検査（%s）", noteDays: "項目は「なし」という答えも数える。候補の伏せ字表示も盗まれたものに数える。",
}

func wordsOf(l incident.Language) *words {
	if l == incident.Japanese {
		return japanese
	}
	return english
}

// Name is the stage's, for people.
func (s Stage) Name(l incident.Language) string { return wordsOf(l).stages[s] }
