package core

import (
	"errors"
	"testing"
)

// TestRewrap: a data key that was wrapped anew is the same key, opens under the
// new epoch alone, and not at all once that is forgotten.
func TestRewrap(t *testing.T) {
	c := newCore(t)
	id := [16]byte{1}
	if err := c.Follow(map[int64][]byte{2: nil}, map[int64][]byte{1: nil}); err != nil {
		t.Fatal(err)
	}
	key0, epoch, wrapped, err := c.NewDataKey(id, 1)
	if err != nil || epoch != 2 {
		t.Fatalf("epoch %d, %v", epoch, err)
	}
	sealed := SealField(key0, nil, id, 1, 1, 1, "value")
	if _, err := c.Rewrap(id, 1, 2, 3, wrapped); !errors.Is(err, ErrEpoch) {
		t.Errorf("wrapped under an epoch that isn't there: %v", err)
	}
	if err := c.Follow(map[int64][]byte{2: nil, 3: key(9)}, map[int64][]byte{1: nil}); err != nil {
		t.Fatal(err)
	}
	again, err := c.Rewrap(id, 1, 2, 3, wrapped)
	if err != nil {
		t.Fatal(err)
	}
	for epoch, ok := range map[int64]bool{2: false, 3: true} {
		if _, err := c.DataKey(id, 1, epoch, again); (err == nil) != ok {
			t.Errorf("under epoch %d: %v", epoch, err)
		}
	}
	if _, err := c.Rewrap([16]byte{2}, 1, 2, 3, wrapped); !errors.Is(err, ErrOpen) {
		t.Errorf("another's data key was wrapped anew: %v", err)
	}
	if err := c.Follow(map[int64][]byte{3: nil}, map[int64][]byte{1: nil}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.DataKey(id, 1, 2, wrapped); !errors.Is(err, ErrEpoch) {
		t.Errorf("a forgotten epoch: %v", err)
	}
	key1, err := c.DataKey(id, 1, 3, again)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := OpenField(key1, id, 1, 1, 1, sealed); err != nil || string(got) != "value" {
		t.Errorf("%q, %v", got, err)
	}
}

// TestIndexEpochs: two epochs make other tokens, the older one is complete, and
// who holds one may go on using it when the keyring has forgotten it.
func TestIndexEpochs(t *testing.T) {
	c := newCore(t)
	data := map[int64][]byte{1: nil, 2: nil}
	before, digest, mark := c.Token("number", "1"), c.Digest([16]byte{}, []byte("r")), c.Mark("ref", "r")
	if s := c.State(); s != (State{Data: 2, Index: 1}) {
		t.Errorf("%+v", s)
	}
	if err := c.Follow(data, map[int64][]byte{1: nil, 2: key(8)}); err != nil {
		t.Fatal(err)
	}
	both := c.Indexes()
	if s := c.State(); s != (State{Data: 2, Index: 1, Building: 2}) || len(both) != 2 || c.Token("number", "1") != before {
		t.Errorf("%+v, %d indexes", s, len(both))
	}
	if both[0].Token("number", "1") != before || both[1].Token("number", "1") == before {
		t.Error("an epoch's tokens are not its own")
	}
	if err := c.Follow(data, map[int64][]byte{2: nil}); err != nil {
		t.Fatal(err)
	}
	if s := c.State(); s != (State{Data: 2, Index: 2}) || c.Token("number", "1") != both[1].Token("number", "1") || c.HoldsIndex(1) {
		t.Errorf("%+v", s)
	}
	if both[0].Token("number", "1") != before || both[0].Token("phone", "1") == both[0].Token("number", "1") {
		t.Error("a forgotten epoch's tokens changed under who holds it")
	}
	if c.Digest([16]byte{}, []byte("r")) != digest || c.Mark("ref", "r") != mark {
		t.Error("a digest or a mark changed with the index")
	}
	if err := c.Follow(data, map[int64][]byte{}); err == nil || c.State().Index != 2 {
		t.Errorf("a keyring without an index key: %v", err)
	}
}
