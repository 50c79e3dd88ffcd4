package installation

import (
	"context"
	"time"

	"azekura/access"
	"azekura/approval"
)

// ProposeRelease makes the proposal to release what is contained.
func (i *Installation) ProposeRelease(t access.Target, why, by string, life time.Duration) ([]byte, error) {
	r, err := i.Access.ProposeRelease(i.Config.Origin, t, why)
	if err != nil {
		return nil, err
	}
	size, _ := i.Signer.Head()
	p, err := approval.New(access.KindRelease, i.Config.Origin, size, by, r.Words(), r, time.Now(), life)
	if err != nil {
		return nil, err
	}
	return p.Text(), nil
}

// Release releases what two people approved.
func (i *Installation) Release(ctx context.Context, file []byte) (access.Target, error) {
	defer i.people.Hold()()
	a, err := i.people.Check(file, time.Now())
	if err != nil {
		return access.Target{}, err
	}
	return i.Access.Release(ctx, i.Config.Origin, a)
}
