package normal

import (
	"strings"
	"testing"

	"azekura/population"

	"pgregory.net/rapid"
)

// headsForTests are what addresses begin with, the awkward ones among them.
var headsForTests = []string{"東京都千代田区霞が関", "千代田区三番町", "東京都港区六本木", "札幌市中央区北", "北海道札幌市中央区大通西", "京都府京都市中京区", "愛媛県松山市二番町",
	"横浜市青葉区あざみ野", "八尾市", "大阪市北区梅田", "どこにもない町", "", "〒", "千代田区丸ノ内", "長野県北佐久郡軽井沢町大字軽井沢", "軽井沢町字", "盛岡市上田三", "東京都",
	"横浜市西区みなとみらい", "千代田区霞ヶ関 ", "北上市さくら通り", "〒１００", "新宿区西新宿二丁目", "つくば市吾妻", "四日市市諏訪町", "十日町市子", "高市郡明日香村", "余市郡余市町大川町", "奈良県大和郡山市", "栗原市大字高清水字横手", "京都市中京区寺町通御池上る上本能寺前町", "京都府京都市下京区", "京都市東山区五条通東大路西入", "京都市中京区寺町上る榎木町", "上る", "字", "檜山郡", "北海道余市郡", "郡", "大阪府高槻市郡家本町", "東京都西多摩郡瑞穂町長岡", "兵庫県神崎郡市川町郡", "桧山郡上ノ国町", "福島県郡山市", "富山市大字", "岩見沢市七条東", "ビル－", "一の"}

var tailsForTests = []string{"2-21-9", "1-1", "12", "3-4-5-6", "2丁目21番9号", "2の21の9", "2-21-9 301号", "1-1　ビル", "21番地", "5番地二引ビル", "2-", "2--1", "3丁目", "10-2 第2ビル5階",
	"100-0013 東京都千代田区霞が関1-2", "４－５", "2-21-9ビル", "", "三丁目2-1", "千五百十五", "三", "千五百十五ビル2", "字12", "大字宮本3", "1丁目25番8号", "１丁目２５番８号　ビル", "1番2", "156番地", "156番地の3", "3の1ノ2", "３－２４－１９", "1ー2", "8号 3", "25番 町", "2丁目 7", "1番地 2", "9号室", "3-1ヴィラたちばな808", "2-3第一ビル", "13線2丁目12番14号", "9県営いずみ", "8A棟907", "3番館", "4号棟", "5番ー", "6-1のビル", "7号地1", "1条西2", "1−2‐3", "-1", " 2-1", "3-12345678901234567890"}

// TestPlacesAreThoseOfPlaceOf: what is remembered changes no answer.
func TestPlacesAreThoseOfPlaceOf(t *testing.T) {
	var p Places
	fast, walked := 0, 0
	same := func(t interface{ Errorf(string, ...any) }, s string) {
		if got, want := string(p.AppendForm(nil, s)), PlaceOf(s).Form(); got != want {
			t.Errorf("%q is %q by what was remembered, and %q", s, got, want)
		}
	}
	for range 2 {
		for _, head := range headsForTests {
			for _, tail := range tailsForTests {
				same(t, head+tail)
				at := headEnds(head + tail)
				_, _, plain := p.walk(head + tail)
				if plain {
					walked++
				}
				if _, end := plainNumbers(nil, (head + tail)[at:]); at > 0 && end != elsewhere && (plain || !p.heads[(head + tail)[:at]].slow) {
					fast++
				}
			}
		}
	}
	if fast < 200 || walked < 200 {
		t.Errorf("only %d of the addresses went the fast way, %d by walking", fast, walked)
	}
	pieces := append(append([]string{"町", "字", "大字", "郡", "-", "の", "ノ", "之", "號", "縣", "澤", "々", "京都", "都", "ー", "三", "十", "番", "丁目", "7", "0", "４", " ", "\u3000", "|", "ｱ", "ヶ", "\u0301"}, headsForTests...), tailsForTests...)
	rapid.Check(t, func(t *rapid.T) {
		same(t, strings.Join(rapid.SliceOfN(rapid.SampledFrom(pieces), 0, 6).Draw(t, "pieces"), ""))
	})
}

// TestPlacesForgets: a file of ever new towns doesn't fill memory.
func TestPlacesForgets(t *testing.T) {
	var p Places
	for i := range mostHeads + 1000 {
		s := "Ａ市" + strings.Repeat("甲", i&7) + string(rune(0x5000+i%0x2000)) + string(rune(0x6000+i/0x2000)) + "1-2"
		p.AppendForm(nil, s)
		if len(p.heads) > mostHeads {
			t.Fatalf("%d heads are remembered", len(p.heads))
		}
	}
	if len(p.heads) == 0 {
		t.Fatal("nothing is remembered")
	}
}

func FuzzPlaces(f *testing.F) {
	for _, head := range headsForTests {
		f.Add(head + "2-21-9 301号")
	}
	var p Places
	f.Fuzz(func(t *testing.T, s string) {
		if got, want := string(p.AppendForm(nil, s)), PlaceOf(s).Form(); got != want {
			t.Errorf("%q is %q by what was remembered, and %q", s, got, want)
		}
	})
}

func BenchmarkPlaces(b *testing.B) {
	b.Run("PlaceOf", func(b *testing.B) {
		for b.Loop() {
			_ = PlaceOf("東京都千代田区霞が関2-21-9 第1ビル301").Form()
		}
	})
	b.Run("Places", func(b *testing.B) {
		var p Places
		var form []byte
		for b.Loop() {
			form = p.AppendForm(form[:0], "東京都千代田区霞が関2-21-9 第1ビル301")
		}
	})
}

// sameHead leaves the steps out where nothing asks for them.
func sameHead(a, b head) bool {
	if !a.goesOn {
		a.steps = b.steps
	}
	return a == b
}

// TestWalkIsHeadOf: heads of population's addresses, by every way.
func TestWalkIsHeadOf(t *testing.T) {
	var p Places
	g := population.New(3)
	ways := []func(string) (head, int, bool){p.stride, p.walk}
	took := make([]int, len(ways))
	for range 20_000 {
		var person population.Person
		g.Next(&person)
		for n, way := range ways {
			h, at, ok := way(person.Address)
			if !ok {
				continue
			}
			took[n]++
			if want := headOf(person.Address[:at]); !sameHead(h, want) || at != headEnds(person.Address) {
				t.Errorf("%q: %+v, and %+v by headOf", person.Address, h, want)
			}
		}
	}
	t.Logf("of 20000 %d went by stride and %d by walk", took[0], took[1])
	if took[0] < 13_000 || took[1] < 15_000 {
		t.Errorf("of 20000 addresses only %d went by stride and %d by walk", took[0], took[1])
	}
}
