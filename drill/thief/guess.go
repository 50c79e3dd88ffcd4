package thief

import (
	"fmt"
	"math/rand/v2"
)

// What a thief knows of any register without having seen it: how refs count, how many
// there are (agencies publish it), which names are common, and when people were born
// who have to do with pensions.
var (
	surnames = []string{"佐藤", "鈴木", "高橋", "田中", "渡辺", "伊藤", "山本", "中村", "小林", "加藤"}
	given    = []string{"清", "実", "勝", "茂", "和子", "幸子", "節子", "洋子", "博", "恵子"}
)

// births are the years that it guesses within.
const (
	firstBirth = 1925
	births     = 80
)

func guessBirth(r *rand.Rand) string {
	return fmt.Sprintf("%d-%02d-%02d", firstBirth+r.IntN(births), 1+r.IntN(12), 1+r.IntN(28))
}

func guessName(r *rand.Rand) string {
	return surnames[r.IntN(len(surnames))] + "　" + given[r.IntN(len(given))]
}
