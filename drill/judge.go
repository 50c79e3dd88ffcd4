package drill

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"azekura/api"
	"azekura/incident"
	"azekura/register/field"

	"github.com/google/uuid"
)

// answer is what Azekura says of the infected PC.
type answer struct {
	figures incident.Figures
	exposed []field.Set // by place in the register
	strange int64       // exposed, and not in the register
	took    time.Duration
	stops   []Stop
}

// judge asks Azekura who was affected, verifies the log, and compares.
func (d *drill) judge(ctx context.Context, t theft) (*Report, error) {
	c, err := api.Dial(d.dir)
	if err != nil {
		return nil, fmt.Errorf("reach the operator's socket: %w", err)
	}
	d.begin(Asking)
	said, err := d.ask(ctx, c)
	if err == nil && d.days != nil {
		said.stops, err = d.days.stops(ctx)
	}
	if err != nil {
		return nil, fmt.Errorf("ask who was affected: %w", err)
	}
	d.end(said.figures.Participants)
	d.begin(Verifying)
	log, err := api.Lines[api.Verified](ctx, c, "/operator/log/verify", struct{}{}, func(done, total int64) {
		d.Tell(Progress{Stage: Verifying, Count: done, Done: done, Total: total, Took: time.Since(d.began)})
	})
	if err != nil {
		return nil, fmt.Errorf("verify the log: %w", err)
	}
	d.end(log.Size)
	d.begin(Comparing)
	file, err := openTally(d.scene)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	stolen, err := d.truth.readTally(file)
	if err != nil {
		return nil, err
	}
	r := d.report(t, stolen, said, log)
	d.end(0)
	return r, nil
}

// ask has the figures, then a line for each participant. The time until both are
// there is the time from "who was affected?" to the answer.
func (d *drill) ask(ctx context.Context, c *api.Client) (*answer, error) {
	began := time.Now()
	a := &answer{exposed: make([]field.Set, len(d.truth.people))}
	devices := []string{InfectedDevice}
	if d.days != nil {
		devices = d.days.devices()
	}
	for _, device := range devices {
		if err := a.ask(ctx, c, d.truth, device); err != nil {
			return nil, err
		}
	}
	if len(devices) > 1 {
		a.figures = combinations(a.exposed)
	}
	a.took = time.Since(began)
	return a, nil
}

// ask has one PC's.
func (a *answer) ask(ctx context.Context, c *api.Client, t *truth, device string) error {
	var e struct {
		incident.Figures
		Complete bool `json:"complete"`
	}
	if err := c.Do(ctx, http.MethodPost, "/operator/exposure", api.ExposureRequest{Device: device, Format: "json"}, &e); err != nil {
		return err
	}
	if !e.Complete {
		return errors.New("the exposure isn't complete: events are missing from the log; run the drill with --keep and look at azekura log verify")
	}
	a.figures = e.Figures
	lines, err := c.Stream(ctx, http.MethodPost, "/operator/exposure", api.ExposureRequest{Device: device, Format: "csv"})
	if err != nil {
		return err
	}
	defer lines.Close()
	n, err := a.read(t, lines)
	if err != nil {
		return err
	}
	if n != a.figures.Participants {
		return fmt.Errorf("its figures count %d participants, its list %d", a.figures.Participants, n)
	}
	return nil
}

// read takes the exposure's CSV.
func (a *answer) read(t *truth, r io.Reader) (n int64, err error) {
	if a.exposed == nil {
		a.exposed = make([]field.Set, len(t.people))
	}
	in := csv.NewReader(r)
	in.ReuseRecord = true
	header, err := in.Read()
	if err != nil || len(header) < 2 || header[0] != "participant" || header[1] != "fields" {
		return 0, errors.New("the exposure's list doesn't begin with participant,fields")
	}
	for ; ; n++ {
		row, err := in.Read()
		if errors.Is(err, io.EOF) {
			return n, nil
		}
		if err != nil {
			return n, fmt.Errorf("read the exposure's list: %w", err)
		}
		id, err := uuid.Parse(row[0])
		if err != nil {
			return n, errors.New("read the exposure's list: a participant isn't a UUID")
		}
		fields, err := exposedFields(row[1])
		if err != nil {
			return n, err
		}
		if i, ok := t.byID[id]; ok {
			a.exposed[i] |= fields
		} else {
			a.strange++
		}
	}
}

func exposedFields(list string) (set field.Set, err error) {
	for name := range strings.FieldsSeq(list) {
		f, ok := pseudoField(name)
		if !ok {
			return 0, errors.New("read the exposure's list: a field that the drill doesn't know")
		}
		set |= field.SetOf(f)
	}
	return set, nil
}

// verdict is the comparison, person by person.
type verdict struct {
	missed []int32 // places of those of whom something was stolen and not exposed
	over   int64   // people of whom more is exposed than was stolen or own work
	own    int64   // people of own work
}

// compare holds what was stolen against what is exposed.
func compare(stolen, exposed, own []field.Set) verdict {
	var v verdict
	existence := field.SetOf(field.Existence)
	for i := range stolen {
		seen := exposed[i]
		if seen != 0 {
			seen |= existence // whoever reads a record knows that there is one
		}
		if !seen.Contains(stolen[i]) {
			v.missed = append(v.missed, int32(i))
		}
		if exposed[i]&^(stolen[i]|own[i]) != 0 {
			v.over++
		}
		if own[i] != 0 {
			v.own++
		}
	}
	return v
}

// combinations counts people by all that was told of them.
func combinations(told []field.Set) incident.Figures {
	seen := map[field.Set]int64{}
	for _, set := range told {
		if set != 0 {
			seen[set]++
		}
	}
	return incident.Count(seen)
}

// ownWork is the record of the infected PC's worker, by place.
func (d *drill) ownWork() []field.Set {
	if d.days != nil {
		return d.days.ownWork(d.truth)
	}
	own := make([]field.Set, len(d.truth.people))
	for id, fields := range d.office.own {
		if i, ok := d.truth.byID[id]; ok {
			own[i] = fields
		}
	}
	return own
}
