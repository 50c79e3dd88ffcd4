package installation_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"azekura/approval"
	"azekura/approval/roll"
	"azekura/auditlog"
	"azekura/internal/installation"
	"azekura/internal/insttest"

	"golang.org/x/mod/sumdb/note"
)

// three are hanako, jiro and saburo, of whom the first two enrolled the third.
type three struct {
	people
	vkeys []string
}

func enrolThree(t *testing.T, dir string) three {
	t.Helper()
	p := enrol(t, dir)
	key, vkey := insttest.Approver(t, "saburo")
	file, err := installation.ProposeApprover(t.Context(), dir, vkey, "op-1", time.Hour)
	_, err = installation.AddApprover(t.Context(), dir, vkey, p.approve(t, file, err))
	must(t, err)
	c, err := installation.ReadConfig(dir)
	must(t, err)
	return three{append(p, key), c.Approvers}
}

// by are some of them.
func (p three) by(n ...int) people {
	var some people
	for _, at := range n {
		some = append(some, p.people[at])
	}
	return some
}

// strike has the first two strike the third off.
func (p three) strike(t *testing.T, dir string) []byte {
	t.Helper()
	file, err := installation.ProposeStrike(t.Context(), dir, "saburo", "op-1", time.Hour)
	file = p.by(0, 1).approve(t, file, err)
	_, err = installation.Strike(t.Context(), dir, "saburo", file)
	must(t, err)
	return file
}

// list writes the approvers into azekura.json, past everything.
func list(t *testing.T, dir string, vkeys ...string) {
	t.Helper()
	insttest.Set(t, dir, "approvers", vkeys)
}

// events counts the log's changes of the list.
func changes(t *testing.T, i *installation.Installation) (n int) {
	t.Helper()
	must(t, i.Log.Authority(t.Context(), func(e auditlog.Event) error {
		if e.Purpose == roll.Enrolled || e.Purpose == roll.Removed {
			n++
		}
		return nil
	}))
	return n
}

// TestStruckOff: two people strike a third off, by an event; that key decides nothing
// then, nor what it signed before, also once it is enrolled again.
func TestStruckOff(t *testing.T) {
	insttest.Each(t, func(t *testing.T, engine string) {
		o := newOffice(t, engine, 1)
		o.stop(t)
		p := enrolThree(t, o.dir)
		freeze := func(by people) error {
			file, err := installation.ProposeFreeze(t.Context(), o.dir, "a test", "op-1", time.Hour)
			_, err = installation.Freeze(t.Context(), o.dir, by.approve(t, file, err))
			return err
		}
		file, err := installation.ProposeFreeze(t.Context(), o.dir, "a test", "op-1", time.Hour)
		early := p.by(0, 2).approve(t, file, err)
		if file, err = installation.ProposeStrike(t.Context(), o.dir, "saburo", "op-1", time.Hour); err != nil || !bytes.Contains(file, []byte("Any two of those left decide: hanako, jiro.")) {
			t.Fatal(err, string(file))
		}
		for name, signed := range map[string][]byte{"nobody": file, "one person": p.by(0).approve(t, file, nil)} {
			if _, err := installation.Strike(t.Context(), o.dir, "saburo", signed); !errors.Is(err, approval.ErrNotApproved) {
				t.Errorf("%s was enough: %v", name, err)
			}
		}
		both := p.by(0, 1).approve(t, file, nil)
		if _, err := installation.Strike(t.Context(), o.dir, "jiro", both); !errors.Is(err, approval.ErrNotApproved) {
			t.Error("another was struck off:", err)
		}
		left, err := installation.Strike(t.Context(), o.dir, "saburo", both)
		if err != nil || !slices.Equal(left, p.vkeys[:2]) {
			t.Fatal(err, left)
		}
		for name, err := range map[string]error{"signed before": second(installation.Freeze(t.Context(), o.dir, early)), "signed since": freeze(p.by(0, 2))} {
			if !errors.Is(err, approval.ErrNotApproved) {
				t.Errorf("who was struck off decided, %s: %v", name, err)
			}
		}
		if _, err := installation.ProposeStrike(t.Context(), o.dir, "jiro", "op-1", time.Hour); !errors.Is(err, installation.ErrApprover) {
			t.Error("one would be left:", err)
		}
		o.start(t)
		if !slices.Equal(o.Approvers(), p.vkeys[:2]) || !slices.Equal(o.Config.Approvers, p.vkeys[:2]) {
			t.Errorf("%v, in the settings %v", o.Approvers(), o.Config.Approvers)
		}
		mustVerify(t, o.Installation)
		o.stop(t)

		again, err := installation.ProposeApprover(t.Context(), o.dir, p.vkeys[2], "op-1", time.Hour)
		again = p.by(0, 1).approve(t, again, err)
		must(t, second(installation.AddApprover(t.Context(), o.dir, p.vkeys[2], again)))
		if _, err := installation.Strike(t.Context(), o.dir, "saburo", both); !errors.Is(err, approval.ErrNotApproved) {
			t.Error("struck off twice by one approval:", err)
		}
		if _, err := installation.Freeze(t.Context(), o.dir, early); !errors.Is(err, approval.ErrNotApproved) {
			t.Error("enrolled again, what was signed before counts:", err)
		}
		p.strike(t, o.dir)
		if _, err := installation.AddApprover(t.Context(), o.dir, p.vkeys[2], again); !errors.Is(err, approval.ErrNotApproved) {
			t.Error("enrolled twice by one approval:", err)
		}
		again, err = installation.ProposeApprover(t.Context(), o.dir, p.vkeys[2], "op-1", time.Hour)
		must(t, second(installation.AddApprover(t.Context(), o.dir, p.vkeys[2], p.by(0, 1).approve(t, again, err))))
		must(t, freeze(p.by(0, 2)))
	})
}

func second[T any](_ T, err error) error { return err }

// TestStrikeCutOff: a change whose event stands and which azekura.json doesn't know
// of yet is finished at the next start; an older list is refused, and brings nobody
// back.
func TestStrikeCutOff(t *testing.T) {
	insttest.Each(t, func(t *testing.T, engine string) {
		o := newOffice(t, engine, 1)
		o.stop(t)
		p := enrolThree(t, o.dir)
		p.strike(t, o.dir)
		list(t, o.dir, p.vkeys...)
		o.start(t)
		if !slices.Equal(o.Approvers(), p.vkeys[:2]) || !slices.Equal(o.Config.Approvers, p.vkeys[:2]) {
			t.Errorf("%v, in the settings %v", o.Approvers(), o.Config.Approvers)
		}
		o.stop(t)
		_, fourth := insttest.Approver(t, "shiro")
		file, err := installation.ProposeApprover(t.Context(), o.dir, fourth, "op-1", time.Hour)
		must(t, second(installation.AddApprover(t.Context(), o.dir, fourth, p.by(0, 1).approve(t, file, err))))
		list(t, o.dir, p.vkeys...)
		if _, err := insttest.OpenDir(t.Context(), o.dir); err == nil || !strings.Contains(err.Error(), "approvers in azekura.json") {
			t.Error("a list with one who was struck off was taken:", err)
		}
		if all, _, err := installation.ListApprovers(t.Context(), o.dir); err == nil {
			t.Error("listed:", all)
		}
		list(t, o.dir)
		o.start(t)
		if want := []string{p.vkeys[0], p.vkeys[1], fourth}; !slices.Equal(o.Approvers(), want) {
			t.Errorf("%v", o.Approvers())
		}
	})
}

// TestApproversOfAGap: after a loss they decide whom both what is left of the log and
// azekura.json name, and the event that names the gap names them: nobody who was put
// into the file by hand, nor who was struck off by a lost event.
func TestApproversOfAGap(t *testing.T) {
	insttest.Each(t, func(t *testing.T, engine string) {
		o := newOffice(t, engine, 1)
		identity, to := keyPair(t)
		o.stop(t)
		p := enrolThree(t, o.dir)
		o.start(t)
		o.read(t, 40)
		raw := backupOf(t, o.Installation, to)
		o.stop(t)
		p.strike(t, o.dir)
		o.start(t)
		o.read(t, 9)
		o.stop(t)
		behind(t, o.dir, raw, identity)
		file, err := installation.ProposeAfterLoss(t.Context(), o.dir, "op-1", time.Hour)
		must(t, err)
		mallory, vkey := insttest.Approver(t, "mallory")
		oscar, other := insttest.Approver(t, "oscar")
		refused := func(name string, by people, why error) {
			t.Helper()
			if _, err := installation.AfterLoss(t.Context(), o.dir, by.approve(t, file, nil), nil); !errors.Is(err, why) {
				t.Errorf("%s: %v", name, err)
			}
		}
		refused("who was struck off by a lost event", p.by(0, 2), approval.ErrNotApproved)
		list(t, o.dir, vkey, other)
		refused("two of the editor's own alone", people{mallory, oscar}, roll.ErrFew)
		list(t, o.dir, p.vkeys[0], p.vkeys[1], vkey, other)
		refused("two of the editor's own", people{mallory, oscar}, approval.ErrNotApproved)
		if all, lost, err := installation.ListApprovers(t.Context(), o.dir); err != nil || !lost || !slices.Equal(all, p.vkeys[:2]) {
			t.Error(all, lost, err)
		}
		must(t, second(installation.AfterLoss(t.Context(), o.dir, p.by(0, 1).approve(t, file, nil), nil)))
		o.start(t)
		var says struct{ Approvers []string }
		first := firstEvent(t, o.Installation)
		must(t, json.Unmarshal(first.Detail, &says))
		if first.Purpose != auditlog.PurposeGap || !slices.Equal(says.Approvers, p.vkeys[:2]) || !slices.Equal(o.Approvers(), p.vkeys[:2]) {
			t.Errorf("%s: %v; %v decide", first.Purpose, says.Approvers, o.Approvers())
		}
	})
}

// TestConfirmedByTheLogsApprovers: until a restore is confirmed, who edits
// azekura.json names nobody in the place of those whom the restored log names.
func TestConfirmedByTheLogsApprovers(t *testing.T) {
	insttest.Each(t, func(t *testing.T, engine string) {
		o := newOffice(t, engine, 1)
		identity, to := keyPair(t)
		o.stop(t)
		p := enrol(t, o.dir)
		o.start(t)
		raw := backupOf(t, o.Installation, to)
		honest := o.Approvers()
		o.stop(t)
		dir, done := restore(t, raw, engine, identity)
		file, err := installation.ProposeConfirm(t.Context(), dir, "op-1", time.Hour)
		must(t, err)
		mallory, vkey := insttest.Approver(t, "mallory")
		oscar, other := insttest.Approver(t, "oscar")
		confirm := func(by ...note.Signer) error {
			return installation.Confirm(t.Context(), dir, done.Log.Size, people(by).approve(t, file, nil))
		}
		list(t, dir, vkey, other)
		if err := confirm(mallory, oscar); !errors.Is(err, roll.ErrFew) {
			t.Error("two of the editor's own alone:", err)
		}
		list(t, dir, honest[0], honest[1], vkey)
		if err := confirm(p[0], mallory); !errors.Is(err, approval.ErrNotApproved) {
			t.Error("one of the editor's own:", err)
		}
		if err := installation.Confirm(t.Context(), dir, done.Log.Size, nil); !errors.Is(err, approval.ErrNotApproved) {
			t.Error("nobody:", err)
		}
		list(t, dir)
		if err := installation.Confirm(t.Context(), dir, done.Log.Size, nil); !errors.Is(err, approval.ErrNotApproved) {
			t.Error("nobody, with the list emptied:", err)
		}
		must(t, confirm(p...))
		if i := insttest.Open(t, dir); !slices.Equal(i.Approvers(), honest) {
			t.Errorf("%v", i.Approvers())
		}
	})
}

// TestUnrecordedApprovers: those in azekura.json whom no event names are taken up
// after a restore alone, and two at most.
func TestUnrecordedApprovers(t *testing.T) {
	insttest.Each(t, func(t *testing.T, engine string) {
		o := newOffice(t, engine, 1)
		identity, to := keyPair(t)
		raw := backupOf(t, o.Installation, to)
		o.stop(t)
		var p people
		var vkeys []string
		for _, name := range []string{"hanako", "jiro", "saburo"} {
			key, vkey := insttest.Approver(t, name)
			p, vkeys = append(p, key), append(vkeys, vkey)
		}
		refused := func(dir string) {
			t.Helper()
			if _, err := insttest.OpenDir(t.Context(), dir); err == nil || !strings.Contains(err.Error(), "approvers in azekura.json") {
				t.Error("taken up:", err)
			}
		}
		list(t, o.dir, vkeys[:2]...)
		refused(o.dir) // no restore
		list(t, o.dir)
		o.start(t)
		if n := changes(t, o.Installation); n != 0 || len(o.Approvers()) != 0 {
			t.Errorf("%d events, %v", n, o.Approvers())
		}
		o.stop(t)

		dir, done := restore(t, raw, engine, identity)
		list(t, dir, vkeys...)
		file, err := installation.ProposeConfirm(t.Context(), dir, "op-1", time.Hour)
		if err := installation.Confirm(t.Context(), dir, done.Log.Size, p[:2].approve(t, file, err)); err == nil {
			t.Error("three that no event names were taken up")
		}
		refused(dir)
		list(t, dir, vkeys[:2]...)
		i := insttest.Open(t, dir)
		if n := changes(t, i); n != 2 || !slices.Equal(i.Approvers(), vkeys[:2]) {
			t.Errorf("%d events, %v", n, i.Approvers())
		}
	})
}

// TestApproversWithoutALog: where the log before this one is gone with the rest, only
// azekura.json says who decides.
func TestApproversWithoutALog(t *testing.T) {
	insttest.Each(t, func(t *testing.T, engine string) {
		o := newOffice(t, engine, 1)
		o.stop(t)
		p := enrolThree(t, o.dir)
		file, err := installation.ProposeFreeze(t.Context(), o.dir, "a test", "op-1", time.Hour)
		must(t, second(installation.Freeze(t.Context(), o.dir, p.by(0, 1).approve(t, file, err))))
		o.start(t)
		o.stop(t)
		pastTheLog(t, o.dir, func(bare *installation.Installation) {
			for _, table := range logTables {
				execute(t, bare, "DELETE FROM "+table)
			}
		})
		if all, lost, err := installation.ListApprovers(t.Context(), o.dir); err != nil || !lost || !slices.Equal(all, p.vkeys) {
			t.Error(all, lost, err)
		}
	})
}

// TestForgedApproversOfAGap: what the database's administrator writes among the events
// that are left of a lost log names nobody, where the signer can't prove it; and where
// it can, it is refused.
func TestForgedApproversOfAGap(t *testing.T) {
	insttest.Each(t, func(t *testing.T, engine string) {
		o := newOffice(t, engine, 1)
		identity, to := keyPair(t)
		o.stop(t)
		p := enrolThree(t, o.dir)
		o.start(t)
		o.read(t, 40)
		if o.Log.Committed()%2 == 1 { // with the backup's event the last one left is proven by no subtree
			o.read(t, 1)
		}
		raw := backupOf(t, o.Installation, to)
		o.read(t, 9)
		o.stop(t)
		behind(t, o.dir, raw, identity)
		_, vkey := insttest.Approver(t, "mallory")
		list(t, o.dir) // as who forges would have it
		pastTheLog(t, o.dir, func(bare *installation.Installation) {
			lines := linesOf(t, bare)
			last := len(lines) - 1
			at := slices.IndexFunc(lines, func(line string) bool { return strings.Contains(line, p.vkeys[2]) })
			set := func(n int, line string) {
				t.Helper()
				lines[n] = line
				e, err := auditlog.ParseLine([]byte(line))
				must(t, err)
				root := rootOf(t, lines)
				for _, err := range []error{
					second(bare.DB.Exec(t.Context(), "UPDATE log_event SET line = $1, action = $2 WHERE log_id = 1 AND idx = $3", []byte(line), int64(e.Action), e.Index)),
					second(bare.DB.Exec(t.Context(), "UPDATE log_head SET root = $1 WHERE log_id = 1", root[:])),
				} {
					must(t, err)
				}
			}
			forged := strings.ReplaceAll(lines[at], p.vkeys[2], vkey)
			set(last, strings.Replace(forged, fmt.Sprintf(`"index":%d`, at), fmt.Sprintf(`"index":%d`, last), 1))
			if all, lost, err := installation.ListApprovers(t.Context(), o.dir); err != nil || !lost || !slices.Equal(all, p.vkeys) {
				t.Error("behind what is proven:", all, lost, err)
			}
			set(at, forged)
			if all, _, err := installation.ListApprovers(t.Context(), o.dir); !errors.Is(err, auditlog.ErrSigner) {
				t.Error("among what is proven:", all, err)
			}
		})
	})
}
