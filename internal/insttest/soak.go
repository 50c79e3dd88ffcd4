package insttest

import (
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"
)

// Random is a source whose seed is printed, and can be given again in
// AZEKURA_TEST_SEED.
func Random(t *testing.T) *rand.Rand {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	if given, err := strconv.ParseUint(os.Getenv("AZEKURA_TEST_SEED"), 10, 64); err == nil {
		seed = given
	}
	t.Logf("AZEKURA_TEST_SEED=%d", seed)
	return rand.New(rand.NewPCG(seed, 1))
}

// Soak is small, or in `make soak` full.
func Soak(small, full int) int {
	if os.Getenv("AZEKURA_SOAK") == "1" {
		return full
	}
	return small
}
