package population

import "strings"

// nation is how the people of one origin are named in the register: words in
// Latin letters (or kanji) with their katakana. The words are common ones of
// each language, combined by chance.
type nation struct {
	weight  uint64
	kanji   bool // written in kanji, as Chinese and Korean residents' names are
	surname []word
	men     []word
	women   []word
}

type word struct{ text, latin, kana string }

// The weights follow the order of the Immigration Services Agency's figures
// for residents at the end of 2022, roughly and with few nations.
var nations = []nation{
	{weight: 25, kanji: true,
		surname: kanjiWords("王/WANG/ワン 李/LI/リ 張/ZHANG/チャン 劉/LIU/リュウ 陳/CHEN/チン 楊/YANG/ヨウ 黄/HUANG/コウ 趙/ZHAO/チョウ 呉/WU/ゴ 周/ZHOU/シュウ 徐/XU/ジョ 孫/SUN/ソン 馬/MA/マ 朱/ZHU/シュ 林/LIN/リン 郭/GUO/カク 高/GAO/コウ 欧陽/OUYANG/オウヨウ"),
		men:     kanjiWords("偉/WEI/イ 強/QIANG/キョウ 磊/LEI/ライ 軍/JUN/グン 洋/YANG/ヨウ 傑/JIE/ケツ 濤/TAO/トウ 明/MING/メイ 超/CHAO/チョウ 志強/ZHIQIANG/シキョウ 建国/JIANGUO/ケンコク 浩然/HAORAN/コウゼン"),
		women:   kanjiWords("芳/FANG/ホウ 娜/NA/ナ 敏/MIN/ビン 静/JING/セイ 麗/LI/レイ 艶/YAN/エン 娟/JUAN/ケン 霞/XIA/カ 秀英/XIUYING/シュウエイ 桂英/GUIYING/ケイエイ 雨桐/YUTONG/ウトウ 雪梅/XUEMEI/セツバイ")},
	{weight: 14, kanji: true,
		surname: kanjiWords("金/KIM/キム 李/LEE/イ 朴/PARK/パク 崔/CHOI/チェ 鄭/JUNG/チョン 姜/KANG/カン 趙/CHO/チョ 尹/YOON/ユン 張/JANG/チャン 林/LIM/イム"),
		men:     kanjiWords("民秀/MINSU/ミンス 永洙/YOUNGSOO/ヨンス 成浩/SUNGHO/ソンホ 鍾浩/JONGHO/チョンホ 東炫/DONGHYUN/ドンヒョン 相勲/SANGHOON/サンフン 俊昊/JUNHO/ジュノ"),
		women:   kanjiWords("英淑/YOUNGSOOK/ヨンスク 順子/SOONJA/スンジャ 恵真/HYEJIN/ヘジン 美京/MIKYUNG/ミギョン 智恩/JIEUN/チウン 秀珍/SUJIN/スジン 貞姫/JUNGHEE/チョンヒ")},
	{weight: 16,
		surname: words("NGUYEN/グエン TRAN/チャン LE/レ PHAM/ファム HOANG/ホアン VU/ヴー DANG/ダン BUI/ブイ DO/ドー HO/ホー"),
		men:     words("VAN HUNG/ヴァン　フン VAN NAM/ヴァン　ナム DUC ANH/ドゥック　アイン MINH TUAN/ミン　トゥアン QUANG HUY/クアン　フイ VAN THANH/ヴァン　タイン"),
		women:   words("THI LAN/ティ　ラン THI HOA/ティ　ホア THI HUONG/ティ　フオン THI THU HA/ティ　トゥ　ハー THUY LINH/トゥイ　リン NGOC ANH/ゴック　アイン")},
	{weight: 10,
		surname: words("SANTOS/サントス REYES/レイエス CRUZ/クルス BAUTISTA/バウティスタ GARCIA/ガルシア MENDOZA/メンドーサ DELA CRUZ/デラ　クルス RAMOS/ラモス VILLANUEVA/ヴィリャヌエバ"),
		men:     words("JOSE/ホセ JUAN CARLO/フアン　カルロ MARK ANTHONY/マーク　アンソニー ROBERTO/ロベルト ANGELO/アンジェロ RODRIGO/ロドリゴ"),
		women:   words("MARIA/マリア MARY GRACE/メアリー　グレース ROSALINDA/ロサリンダ ANGELICA/アンジェリカ JOY/ジョイ MARIA CRISTINA/マリア　クリスティナ")},
	{weight: 8,
		surname: words("SILVA/シルヴァ SANTOS/サントス OLIVEIRA/オリヴェイラ SOUZA/ソウザ PEREIRA/ペレイラ NASCIMENTO/ナシメント TANAKA/タナカ YAMADA/ヤマダ DE ALMEIDA/デ　アルメイダ"),
		men:     words("JOAO/ジョアン CARLOS EDUARDO/カルロス　エドゥアルド PAULO/パウロ MARCELO/マルセロ ANTONIO/アントニオ LUIZ FERNANDO/ルイス　フェルナンド"),
		women:   words("ANA PAULA/アナ　パウラ MARIA APARECIDA/マリア　アパレシダ JULIANA/ジュリアナ FERNANDA/フェルナンダ PATRICIA/パトリシア LUCIANA/ルシアナ")},
	{weight: 7,
		surname: words("SHRESTHA/シュレスタ GURUNG/グルン TAMANG/タマン THAPA/タパ RAI/ライ ADHIKARI/アディカリ"),
		men:     words("RAM BAHADUR/ラム　バハドゥル BISHAL/ビシャル SANTOSH/サントス PRAKASH/プラカス KRISHNA/クリシュナ"),
		women:   words("SITA/シタ ANITA/アニタ SUNITA/スニタ LAXMI/ラクシュミ MAYA DEVI/マヤ　デヴィ")},
	{weight: 6,
		surname: words("SETIAWAN/スティアワン WIJAYA/ウィジャヤ KUSUMA/クスマ HIDAYAT/ヒダヤット PRASETYO/プラセティヨ RATNAYAKE/ラトナヤケ PERERA/ペレラ"),
		men:     words("AGUS/アグス BUDI/ブディ MUHAMMAD RIZKY/ムハマッド　リズキー EKO/エコ DEDI/デディ"),
		women:   words("SITI NURHALIZA/シティ　ヌルハリザ DEWI/デウィ RINA/リナ SRI WAHYUNI/スリ　ワヒュニ PUTRI/プトリ")},
	{weight: 6,
		surname: words("SMITH/スミス JOHNSON/ジョンソン WILLIAMS/ウィリアムズ BROWN/ブラウン MILLER/ミラー TAYLOR/テイラー WILSON/ウィルソン O'BRIEN/オブライエン MCDONALD/マクドナルド"),
		men:     words("JAMES/ジェームズ JOHN ROBERT/ジョン　ロバート MICHAEL/マイケル WILLIAM/ウィリアム DAVID ALAN/デイヴィッド　アラン THOMAS/トーマス"),
		women:   words("MARY/メアリー JENNIFER/ジェニファー LINDA ANN/リンダ　アン ELIZABETH/エリザベス SUSAN/スーザン JESSICA/ジェシカ")},
}

var byNation = func() alias {
	var w []uint64
	for _, n := range nations {
		w = append(w, n.weight)
	}
	return newAlias(w)
}()

func (n *nation) given(woman bool) []word {
	if woman {
		return n.women
	}
	return n.men
}

func kanjiWords(list string) (out []word) {
	for _, w := range strings.Fields(list) {
		p := strings.Split(w, "/")
		out = append(out, word{p[0], p[1], p[2]})
	}
	return out
}

// words reads "LATIN WORDS/カナ　カナ ..."; the katakana's own spaces are full
// width, so an ASCII space after katakana ends an entry.
func words(list string) (out []word) {
	for list != "" {
		latin, rest, _ := strings.Cut(list, "/")
		kana, tail, _ := strings.Cut(rest, " ")
		out = append(out, word{latin, latin, kana})
		list = tail
	}
	return out
}

// longEnough is from how many characters on a name counts as very long.
const longEnough = 40

// foreignName writes a foreign person's name, kana and romaji. A long one goes
// on with further given names and surnames of the same nation, as full names
// on residence cards do.
func (d *draft) foreignName(id *identity) {
	n := &nations[id.nation]
	first, second := &n.surname[id.surname], &n.given(id.woman)[id.given]
	room := [longEnough]*word{first, second}
	parts := room[:2]
	if id.long {
		size := len(first.latin) + 1 + len(second.latin)
		for r := rng(id.givenLook); size < longEnough; {
			more := n.given(id.woman)
			if len(parts)%2 == 1 {
				more = n.surname
			}
			w := &more[r.below(len(more))]
			parts = append(parts, w)
			size += 1 + len(w.latin)
		}
	}
	d.foreignColumns(n.kanji, parts)
}

func (d *draft) foreignColumns(kanji bool, parts []*word) {
	from := len(d.buf)
	for i, p := range parts {
		switch {
		case kanji && i > 0:
			d.text("　" + p.text)
		case kanji:
			d.text(p.text)
		case i > 0:
			d.text(" " + p.latin)
		default:
			d.text(p.latin)
		}
	}
	d.at[colName] = d.since(from)
	from = len(d.buf)
	for i, p := range parts {
		if i > 0 {
			d.text("　")
		}
		d.text(p.kana)
	}
	d.at[colKana] = d.since(from)
	from = len(d.buf)
	for i, p := range parts {
		if i > 0 {
			d.text(" ")
		}
		d.text(p.latin)
	}
	d.at[colRomaji] = d.since(from)
}
