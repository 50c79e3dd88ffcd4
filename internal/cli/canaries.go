package cli

import (
	"context"
	"fmt"
	"io"
	"path/filepath"

	"azekura/api"
	"azekura/gate/canary/plan"

	"github.com/spf13/cobra"
)

func (a *app) canariesCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "canaries", Short: "People whom no honest work touches, so that who opens one is found: plan, plant, count",
		Long: `A canary is a participant who doesn't exist. Nobody has a case with one, so whoever opens
one is reading through the register, and is contained in the same commit. They are planted
by an import among its people, drawn like them, and only the gate knows them.`}
	cmd.AddCommand(planCommand(), a.plantCommand(), a.countCanariesCommand())
	return cmd
}

func planCommand() *cobra.Command {
	o := plan.Options{Density: 0.02, People: 100_000, Readers: 1, Gaps: -1, Runs: 20_000, Seed: 1}
	cmd := &cobra.Command{
		Use:   "plan --density 0.02",
		Short: "Say how many people a reader obtains before a canary stops them, for a density",
		Long: `plan states how many people readers obtain before each of them has touched a canary, at the
median and at 99.9 %: computed for canaries that are spread as people are, and played on
made-up people (at most 50,000) for readers who go by ref, place and age, or name. Without gaps
in the refs canaries stand behind the last one, and whoever goes by ref meets none before.

Who has a list of real people from elsewhere meets no canary: budgets and cases hold them.`,
		Example: "  azekura canaries plan --density 0.01 --people 52000000 --readers 31",
		Args:    cobra.NoArgs,
	}
	asJSON := jsonFlag(cmd)
	f := cmd.Flags()
	f.Float64Var(&o.Density, "density", o.Density, "canaries for each participant, up to 0.2")
	f.Int64Var(&o.People, "people", o.People, "participants in the register")
	f.IntVar(&o.Readers, "readers", o.Readers, "readers at once, each of whom goes on until a canary of their own")
	f.Float64Var(&o.Gaps, "gaps", o.Gaps, "the share of the file's refs that are nobody's, up to 0.5; -1 takes the density")
	f.IntVar(&o.Runs, "runs", o.Runs, "how often each reader is played")
	f.Uint64Var(&o.Seed, "seed", o.Seed, "of the made-up people and of chance")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if o.Gaps == -1 {
			o.Gaps = o.Density
		}
		p, err := plan.Make(o)
		if err != nil {
			return err
		}
		return print(cmd, *asJSON, p, func(w io.Writer) {
			fmt.Fprintf(w, "%d participants, %d canaries, readers at once: %d\n", p.People, p.Canaries, p.Readers)
			fmt.Fprintf(w, "%10s %10s  %-8s  reader\n", "median", "99.9 %", "")
			for _, r := range p.Rows {
				fmt.Fprintf(w, "%10d %10d  %-8s  %s\n", r.People.Median, r.People.Thousand, r.How, r.Reader)
			}
			fmt.Fprintln(w, "Who has a list of real people from elsewhere meets no canary.")
		})
	}
	return cmd
}

func (a *app) plantCommand() *cobra.Command {
	var in api.NewImport
	cmd := &cobra.Command{
		Use:   "plant FILE --density 0.02",
		Short: "Import participants, and plant canaries among those who are new",
		Long: `plant imports a file as azekura participants import does, and beside each person who is new
it plants a canary with the given chance: drawn of the file's own rows, with a ref, number,
telephone number, e-mail address and account that nobody has, and a suspended award. Its
canaries stand in the same job and chunks as its people, so who reads the tables can't tell
them; nobody is planted beside people who are there already, since who came late could be told.

Killed or failed at any moment and run again, here or by participants import, it goes on where
it was, with the density that it began with, and plants none twice. Where a
ref or number of a canary is later given to somebody, the canary gives way: it is shredded.
Refs are taken out of the gaps of the file's, or where it has none, from behind its last one.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if in.Path, err = filepath.Abs(args[0]); err != nil {
				return err
			}
			jsonOut, _ := cmd.Flags().GetBool("json")
			return a.with(cmd, func(ctx context.Context, c *api.Client) error { return a.runImport(cmd, ctx, c, in, jsonOut) })
		},
	}
	f := cmd.Flags()
	f.Float64Var(&in.Canaries, "density", 0.02, "canaries for each participant who is new, up to 0.2; 0.01 to 0.05 is usual")
	f.StringVar(&in.Format, "format", "auto", "auto, csv or ndjson")
	f.StringVar(&in.Encoding, "encoding", "auto", "auto, utf-8 or cp932")
	jsonFlag(cmd)
	return cmd
}

func (a *app) countCanariesCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "count",
		Short: "Count the canaries, as a security officer",
		Long: `count takes a security officer's session, and is an event. No other figure counts canaries:
imports, exposures and verified participants are without them.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withSession(cmd, func(ctx context.Context, c *api.Client) error {
				bar := newProgress(cmd.ErrOrStderr(), "counting")
				n, err := api.Lines[api.CanaryCount](ctx, c, "/v1/canaries/count", struct{}{}, func(done, total int64) { bar.at(done, total, "") })
				bar.end()
				if err == nil {
					fmt.Fprintf(cmd.OutOrStdout(), "%d canaries\n", n.Canaries)
				}
				return err
			})
		},
	}
	a.tokenFlag(cmd)
	return cmd
}
