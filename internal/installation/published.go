package installation

import (
	"context"
	"slices"
	"sync"

	"azekura/auditlog"
	"azekura/auditlog/serve"
)

// Published is the head that the installation shows to the world: the newest that
// its witnesses cosigned, or where nobody cosigns, or nobody has yet, its own.
func (i *Installation) Published() []byte {
	if i.Witnesses != nil {
		if cosigned := i.Witnesses.Status().Note; cosigned != "" {
			return []byte(cosigned)
		}
	}
	return i.Log.Checkpoint()
}

// LogKeys are the public keys by which to check it, and what came before.
func (i *Installation) LogKeys(ctx context.Context) (serve.Keys, error) {
	k := serve.Keys{Log: i.Log.ID(), Origin: i.Signer.Origin(), Keys: []string{i.Signer.VerifierKey()}, Earlier: i.Signer.Keys(), Former: i.Log.Past()}
	if i.Witnesses != nil {
		k.Need = i.Witnesses.Status().Need
		for _, w := range i.Config.Witnesses.Witnesses {
			k.Witnesses = append(k.Witnesses, w.Keys...)
		}
	}
	steps, err := i.handovers(ctx)
	for _, h := range steps {
		k.Succession = append(k.Succession, h.Step)
	}
	return k, err
}

// handovers are made once for the keys that there are: each is a few reads.
func (i *Installation) handovers(ctx context.Context) ([]auditlog.Handover, error) {
	i.handed.mu.Lock()
	defer i.handed.mu.Unlock()
	if n := len(i.Signer.Keys()); i.handed.of != i.Log || i.handed.keys != n {
		list, err := i.Log.Handovers(ctx)
		if err != nil {
			return nil, err
		}
		i.handed.list, i.handed.of, i.handed.keys = list, i.Log, n
	}
	return i.handed.list, nil
}

type handed struct {
	mu   sync.Mutex
	list []auditlog.Handover
	of   *auditlog.Log
	keys int // of this log, before its present one
}

// PublicLogs are the log in force and, the newest first, those that it continues
// and of which nothing is lost.
func (i *Installation) PublicLogs() []serve.Log {
	if i.Log == nil { // not open
		return nil
	}
	logs := []serve.Log{{ID: i.Log.ID(), Source: i.Log, Checkpoint: i.Published}}
	for _, p := range slices.Backward(i.Log.Past()) {
		if !p.Lost() {
			logs = append(logs, serve.Log{ID: p.LogID, Source: i.Log.Former(p), Checkpoint: func() []byte { return []byte(p.Checkpoint) }})
		}
	}
	return logs
}
