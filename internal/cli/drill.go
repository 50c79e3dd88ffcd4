package cli

import (
	"fmt"
	"io"
	"os"
	"time"

	"azekura/drill"
	"azekura/drill/thief"
	"azekura/incident"

	"github.com/spf13/cobra"
)

func (a *app) drillCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "drill", Short: "Re-enact an incident against an installation of its own"}
	cmd.AddCommand(juneCommand(), attackerCommand())
	return cmd
}

func juneCommand() *cobra.Command {
	o := drill.Options{}
	var theft int64
	var lang string
	cmd := &cobra.Command{
		Use:   drill.June2015 + " [-n N] [--seed S]",
		Short: "Japan Pension Service, 2015: days of work, and PCs infected one after another",
		Long: `june-2015 makes a register of made-up people in a folder of its own and serves it. On a
clock that jumps when all sleep, honest staff work through --days days, a mail infects
one PC on the first, --infected are in the end, and a thief who holds their sessions
steals in every way that it knows, slowly and fast. Then the drill holds what the thief
wrote down against the exposure that Azekura computes from its log, verifies the log,
and says what stopped which way, and which honest work was refused.

With --days 0 it is one PC and one session, in real time and without cases.

It exits with 1 if the thief obtained anything that the exposure lacks.
With --policy the report says what the agency's own policies refused of the thief and of
honest work. drill/PROTOCOL.md says how any other program plays the thief.`,
		Example: `  azekura drill june-2015 -n 100000
  azekura drill june-2015 --staff 331 --days 14
  azekura drill june-2015 --keep drill-1 && azekura --dir drill-1 exposure --device pc-01
  azekura drill june-2015 --policy ./policies
  azekura drill june-2015 --attacker ./my-thief --json`,
		Args: cobra.NoArgs,
	}
	asJSON := jsonFlag(cmd)
	var many int
	var picture string
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		in, err := incident.ParseLanguage(lang)
		if err != nil {
			return err
		}
		if many > 0 {
			return runMany(cmd, o, many, picture, *asJSON)
		}
		o.Theft = time.Duration(theft) * time.Second
		if o.Program, err = os.Executable(); err != nil {
			return err
		}
		return runJune(cmd, o, in, *asJSON)
	}
	f := cmd.Flags()
	f.Int64VarP(&o.People, "number", "n", 100_000, "how many people")
	f.Uint64Var(&o.Seed, "seed", 2015, "the same seed makes the same people and cases")
	f.Int64Var(&theft, "seconds", 300, "how long the attacker may hold the drill in real time")
	f.IntVar(&o.Days, "days", 4, "working days, on a clock that jumps when all sleep; 0 is one PC and one session, in real time and without cases")
	f.IntVar(&o.Staff, "staff", 62, "staff at work, each at a PC of their own; the whole of 2015 is 331")
	f.IntVar(&o.Devices, "devices", 331, "PCs")
	f.IntVar(&o.Infected, "infected", 31, "how many of the PCs at work are infected in the end")
	f.IntVar(&many, "runs", 0, "in place of a drill, so many in memory before the log's own judges: quantiles over seeds")
	f.StringVar(&picture, "svg", "", "with --runs: also sweep the attacker's speed and PCs, and draw the curve into this file")
	f.IntVar(&o.Known, "known", 1000, "people whose number, name and birth the attacker has from another leak")
	f.Float64Var(&o.Canaries, "canaries", 0.02, "how many canaries are planted for each person, 0 to 0.2")
	f.StringVar(&o.Command, "attacker", "", "a command that plays the thief; ours otherwise")
	f.StringVar(&o.Policy, "policy", "", "an agency's own policies, put in force: a file, or a folder whose *.cedar are one text")
	f.StringVar(&o.Keep, "keep", "", "keep the installation and all else in this folder")
	f.StringVar(&o.DB, "db", "", "a postgres:// URL, for a schema of the drill's own; SQLite otherwise")
	f.StringVar(&lang, "lang", language(), "en or ja")
	return cmd
}

func runJune(cmd *cobra.Command, o drill.Options, in incident.Language, asJSON bool) error {
	show := newStages(cmd.ErrOrStderr(), in)
	o.Tell = show.tell
	r, err := drill.June(cmd.Context(), o)
	show.bar.end()
	if err != nil {
		return err
	}
	if asJSON {
		raw, err := r.JSON()
		if err != nil {
			return err
		}
		if _, err := cmd.OutOrStdout().Write(raw); err != nil {
			return err
		}
		return r.Err()
	}
	if err := r.WriteTable(cmd.OutOrStdout(), in, o.Keep); err != nil {
		return err
	}
	return r.Err()
}

// stages shows how a drill goes: a line for each stage that is over, and what is
// under way.
type stages struct {
	w   io.Writer
	in  incident.Language
	bar *progress
}

func newStages(w io.Writer, in incident.Language) *stages {
	return &stages{w: w, in: in, bar: newProgress(w, "")}
}

func (s *stages) tell(p drill.Progress) {
	name := p.Stage.Name(s.in)
	switch {
	case p.Over:
		s.bar.end()
		fmt.Fprintf(s.w, "  ✓ %s  (%s)\n", join(name, p.Line(s.in)), p.Round())
	case p.Begun:
		s.bar = newProgress(s.w, name)
		if s.bar.tty {
			s.bar.at(0, 1, "")
			return
		}
		// Elsewhere a line says that it has begun; the next comes when there is more to say.
		fmt.Fprintf(s.w, "  … %s\n", name)
		s.bar.last = s.bar.start
	default:
		s.bar.at(p.Done, p.Total, p.Line(s.in))
	}
}

func join(name, line string) string {
	if line == "" {
		return name
	}
	return name + ": " + line
}

// attackerCommand is what the drill starts as its thief, in a process without
// privilege.
func attackerCommand() *cobra.Command {
	return &cobra.Command{Use: "attacker", Hidden: true, Short: "Play the thief; a drill starts it", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := thief.FromEnv(os.Getenv)
			if err != nil {
				return err
			}
			return thief.Run(cmd.Context(), c)
		}}
}
