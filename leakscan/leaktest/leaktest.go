// Package leaktest gives the leak scan's tests and benchmarks made-up people as
// an index takes them, and indexes of them, without a register.
//
// It promises the same people for the same seed. It holds nobody real.
package leaktest

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"path/filepath"
	"testing"

	"azekura/leakscan"
	"azekura/population"
	"azekura/register/field"
	"azekura/register/value"

	"github.com/google/uuid"
)

// ID is the pseudonym of a seed's person i.
func ID(i int) uuid.UUID {
	var id uuid.UUID
	binary.BigEndian.PutUint64(id[8:], uint64(i)+1)
	id[6], id[8] = 0x70, 0x80
	return id
}

// Person is a made-up person as an index takes them.
func Person(i int, p *population.Person) leakscan.Person {
	out := leakscan.Person{ID: ID(i)}
	add := func(f field.Field, past bool, text string) {
		if text != "" {
			out.Values = append(out.Values, leakscan.Value{Field: f, Past: past, Text: text})
		}
	}
	add(field.Ref, false, p.Ref)
	add(field.Number, false, p.Number)
	add(field.Name, false, p.Name)
	add(field.Kana, false, p.Kana)
	add(field.Romaji, false, p.Romaji)
	add(field.Birth, false, p.Birth)
	add(field.Phone, false, p.Phone)
	add(field.Email, false, p.Email)
	if p.Address != "" {
		add(field.Address, false, value.JoinAddress(p.PostalCode, p.Address))
	}
	if p.BankCode != "" {
		add(field.Account, false, value.JoinAccount(p.BankCode, p.BranchCode, p.AccountType, p.AccountNumber, p.AccountHolder))
	}
	for _, was := range p.Former {
		add(field.Name, true, was.Name)
		add(field.Kana, true, was.Kana)
		if was.Address != "" {
			add(field.Address, true, value.JoinAddress(was.PostalCode, was.Address))
		}
	}
	return out
}

// Key is a case's key, fresh.
func Key() []byte {
	key := make([]byte, leakscan.KeySize)
	_, _ = rand.Read(key) // never fails
	return key
}

// Build makes an index of a seed's first n people.
func Build(t testing.TB, seed uint64, n int, key []byte, workers int) string {
	t.Helper()
	keys, err := leakscan.NewKeys(key)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "index")
	b, err := leakscan.NewBuilder(path, keys, leakscan.BuildOptions{Case: "T-1", People: int64(n), Workers: workers})
	if err != nil {
		t.Fatal(err)
	}
	g := population.New(seed)
	for i := range n {
		var p population.Person
		g.Next(&p)
		if err := b.Add(Person(i, &p)); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.Finish(context.Background()); err != nil {
		t.Fatal(err)
	}
	return path
}

// Open opens an index until the end of the test.
func Open(t testing.TB, path string, key []byte) *leakscan.Index {
	t.Helper()
	keys, err := leakscan.NewKeys(key)
	if err != nil {
		t.Fatal(err)
	}
	x, err := leakscan.Open(path, keys)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := x.Close(); err != nil {
			t.Error(err)
		}
	})
	return x
}
