package gate

import (
	"context"

	"azekura/access"
	"azekura/cases"
	"azekura/register/value"

	"github.com/google/uuid"
)

// Identify has a case be about a participant whom its checks identified. A ref that
// finds nobody is refused as one is whom nothing identified: this tells nothing that
// a check didn't.
func (g *Gate) Identify(ctx context.Context, s access.Session, code string, who Who, document, request string) (cases.Info, error) {
	id := who.Participant
	if id == (uuid.UUID{}) {
		form, err := value.QueryForm(value.KindRef, who.Ref, "", g.log.Now())
		if err != nil {
			return cases.Info{}, invalid(err)
		}
		found, err := g.store.Find(ctx, form, 2)
		if err != nil {
			return cases.Info{}, err
		}
		if len(found) == 1 {
			id = found[0]
		}
	}
	p, err := g.fetch.get(ctx, id)
	if err != nil {
		return cases.Info{}, err
	}
	if p == nil {
		id = uuid.UUID{}
	}
	return g.cases.Identify(ctx, cases.By{Session: s, Request: request}, code, id, document)
}
