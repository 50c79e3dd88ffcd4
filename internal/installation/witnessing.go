package installation

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"azekura/auditlog"
	"azekura/internal/slotfile"
	"azekura/witness/client"

	"filippo.io/age"
)

// awaitWitnesses is how long a start waits for the witnesses' first answers. One
// that answers later is heard all the same.
const awaitWitnesses = 5 * time.Second

// CosignedFile is the last head that k witnesses cosigned, beside the signer's
// state.
func CosignedFile(dir string) string { return filepath.Join(signerFolder(dir), "cosigned") }

// startCosigning asks the witnesses for what they hold before anything is opened,
// and keeps asking. A witness that saw another history is the one thing that tells
// of a folder that was put back whole.
func (i *Installation) startCosigning(ctx context.Context) error {
	if i.Config.Witnesses == nil || len(i.Config.Witnesses.Witnesses) == 0 {
		return nil
	}
	feed, err := i.feed()
	if err != nil {
		return err
	}
	i.Witnesses, err = client.Start(ctx, client.Options{
		Settings:   *i.Config.Witnesses,
		Path:       CosignedFile(i.Dir),
		Key:        i.Signer.VerifierKey(),
		Checkpoint: i.Log.Checkpoint,
		Signed:     i.Signer.Signed(),
		Hashes:     i.Log.Hashes,
		Since:      i.recorded,
		Handovers:  i.handovers,
		Refuse:     i.Log.Refuse,
		Mirror:     feed,
		Formers:    i.formers(),
		LogError:   func(err error) { fmt.Fprintln(os.Stderr, "azekura: witnesses:", err) },
		Now:        time.Now,
	})
	if err != nil {
		return fmt.Errorf("ask the witnesses: %w", err)
	}
	i.onClose(i.Witnesses.Close)
	i.Log.SetCosigning(i.Witnesses)
	return i.Witnesses.Await(ctx, awaitWitnesses)
}

// cosigners are the witnesses as the log names them.
type cosigners struct {
	Keys [][]string `json:"witnesses"` // the vkeys of each
	Need int        `json:"k"`
	// Past these lags, bulk work waits and openings are refused.
	Bulk client.Duration `json:"bulk_after"`
	Read client.Duration `json:"read_after"`
}

func (c *Config) cosigners() cosigners {
	named := cosigners{Keys: [][]string{}}
	if c.Witnesses == nil || len(c.Witnesses.Witnesses) == 0 {
		return named
	}
	for _, w := range c.Witnesses.Witnesses {
		named.Keys = append(named.Keys, w.Keys)
	}
	named.Need, named.Bulk, named.Read = c.Witnesses.Quorum(), c.Witnesses.BulkAfter, c.Witnesses.ReadAfter
	return named
}

// recorded is when the event at an index was recorded.
func (i *Installation) recorded(ctx context.Context, index int64) (at time.Time, err error) {
	err = i.Log.Lines(ctx, index, index+1, func(_ int64, line []byte) error {
		e, err := auditlog.ParseLine(line)
		at = time.UnixMicro(e.Time)
		return err
	})
	return at, err
}

// feed is what mirrors are fed from, if there are any.
func (i *Installation) feed() (*client.Feed, error) {
	for _, w := range i.Config.Witnesses.Witnesses {
		if !w.Mirror {
			continue
		}
		to, err := age.ParseX25519Recipient(i.Config.Incident)
		if err != nil {
			return nil, errors.New("a mirror is fed under the incident key, and azekura.json names none; azekura witness trust --mirror makes one")
		}
		return &client.Feed{Origin: i.Signer.Origin(), To: to, Lines: i.Log.Lines, Blocks: i.Log.Blocks, Sign: i.Signer.SignUpload}, nil
	}
	return nil, nil
}

// formers are the logs that this one continues and of which nothing is lost.
func (i *Installation) formers() (list []client.Former) {
	for _, p := range i.Log.Past() {
		if p.Lost() {
			continue
		}
		log := i.Log.Former(p)
		list = append(list, client.Former{Key: p.Key, Checkpoint: []byte(p.Checkpoint), Hashes: log.Hashes, Feed: func() (*client.Feed, func() error, error) {
			to, err := age.ParseX25519Recipient(i.Config.Incident)
			if err != nil {
				return nil, nil, err
			}
			signer, err := auditlog.OpenSigner(formerFolder(i.Dir, p.LogID))
			if err != nil {
				return nil, nil, fmt.Errorf("open the former log's signer: %w", err)
			}
			return &client.Feed{Origin: p.Origin, To: to, Lines: log.TrueLines, Blocks: log.SetBlocks, Sign: signer.SignUpload}, signer.Close, nil
		}})
	}
	return list
}

// ChangeWitnesses changes what the settings say of witnesses. A server that runs
// goes on with what it read when it started.
func ChangeWitnesses(dir string, change func(client.Settings) (client.Settings, error)) (client.Settings, error) {
	c, err := ReadConfig(dir)
	if err != nil {
		return client.Settings{}, err
	}
	now := client.Defaults()
	if c.Witnesses != nil {
		now = *c.Witnesses
	}
	next, err := change(now)
	if err == nil && len(next.Witnesses) > 0 {
		err = next.Check()
	}
	if err != nil {
		return now, err
	}
	c.Witnesses = &next
	return next, c.write(dir)
}

// IncidentKey sets to whom mirrors are encrypted, or makes a key pair whose
// identity goes to incident.key. A key that is set already stays.
func IncidentKey(dir, recipient string) (made bool, err error) {
	c, err := ReadConfig(dir)
	if err != nil || c.Incident != "" && (recipient == "" || recipient == c.Incident) {
		return false, err
	}
	if c.Incident != "" {
		return false, errors.New("the incident key is set already; what was mirrored under it stays under it")
	}
	c.Incident = recipient
	identity, err := recipientOrNew(&c.Incident, "incident key")
	if err != nil {
		return false, err
	}
	if err := writeIdentity(dir, incidentFile, identity); err != nil {
		return false, err
	}
	return identity != "", c.write(dir)
}

const incidentFile = "incident.key"

// recipientOrNew checks an age recipient, or makes a pair where it is empty.
func recipientOrNew(recipient *string, what string) (identity string, err error) {
	if *recipient != "" {
		if _, err := age.ParseX25519Recipient(*recipient); err != nil {
			return "", fmt.Errorf("the %s must be an age recipient (age1…); age-keygen makes one", what)
		}
		return "", nil
	}
	pair, err := age.GenerateX25519Identity()
	if err != nil {
		return "", err
	}
	*recipient = pair.Recipient().String()
	return pair.String(), nil
}

// writeIdentity keeps an identity that was made, until it is moved away. One that
// is there isn't overwritten.
func writeIdentity(dir, name, identity string) error {
	if identity == "" {
		return nil
	}
	path := filepath.Join(dir, name)
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		return errors.Join(err, fmt.Errorf("%s is there already; it isn't overwritten", name))
	}
	return slotfile.Replace(path, []byte(identity+"\n"))
}
