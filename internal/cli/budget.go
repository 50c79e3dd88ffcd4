package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"azekura/access/budget"
	"azekura/api"
	"azekura/internal/installation"

	"github.com/spf13/cobra"
)

func (a *app) budgetCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "budget", Short: "How many participants and fields may be opened: look, propose, grant, surge"}
	cmd.AddCommand(a.budgetListCommand(), a.budgetShowCommand(), a.budgetProposeCommand(), a.budgetGrantCommand(), a.budgetChangeCommand(false), a.budgetChangeCommand(true))
	return cmd
}

func quota(used, most budget.Amount) string {
	limit := func(n int64) string {
		if n < 0 {
			return "any"
		}
		return strconv.FormatInt(n, 10)
	}
	return fmt.Sprintf("%d/%s, %d/%s", used.Persons, limit(most.Persons), used.Points, limit(most.Points))
}

func (a *app) budgets(cmd *cobra.Command, show func(b api.Budgets) error) error {
	return a.with(cmd, func(ctx context.Context, c *api.Client) error {
		var b api.Budgets
		if err := c.Do(ctx, http.MethodGet, "/operator/budgets", nil, &b); err != nil {
			return err
		}
		return show(b)
	})
}

func (a *app) budgetListCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "list", Short: "List the budgets that were used within thirty days", Args: cobra.NoArgs,
		Long: "list prints for each budget what is used of what there is: participants, then points of\nfields; in an hour, a day and thirty days."}
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return a.budgets(cmd, func(b api.Budgets) error {
			return print(cmd, *asJSON, b.Lines, func(w io.Writer) {
				for _, l := range b.Lines {
					fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", l.Subject, quota(l.Used[0], l.Max[0]), quota(l.Used[1], l.Max[1]), quota(l.Used[2], l.Max[2]))
				}
			})
		})
	}
	return cmd
}

func (a *app) budgetShowCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "show", Short: "Show the limits, and what is added to them now", Args: cobra.NoArgs}
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return a.budgets(cmd, func(b api.Budgets) error {
			return print(cmd, *asJSON, struct {
				Limits []budget.Limit `json:"limits"`
				Extras []budget.Extra `json:"extras"`
			}{b.Limits, b.Extras}, func(w io.Writer) {
				for _, l := range b.Limits {
					fmt.Fprintf(w, "each %s\t%s\t%s\t%s\n", strings.TrimSpace(string(l.Kind)+" "+l.ID+l.Role), quota(budget.Amount{}, l.Max[0]), quota(budget.Amount{}, l.Max[1]), quota(budget.Amount{}, l.Max[2]))
				}
				for _, x := range b.Extras {
					fmt.Fprintf(w, "%s\t+%d participants, %d %%\tuntil %s\tby %s: %s\n", x.Subject, x.Persons, max(x.Percent, 100), x.Until.Format(time.RFC3339), x.By, x.Why)
				}
			})
		})
	}
	return cmd
}

func (a *app) budgetProposeCommand() *cobra.Command {
	return &cobra.Command{Use: "propose", Short: "Derive limits from the log's history, as JSON", Args: cobra.NoArgs,
		Long: "propose reads the log and prints limits that all but one in a thousand days of work keep,\nwith a quarter on top, and how many days they would have hurt. azekura budget set takes them.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.with(cmd, func(ctx context.Context, c *api.Client) error {
				var p budget.Proposal
				if err := c.Do(ctx, http.MethodGet, "/operator/budgets/history", nil, &p); err != nil {
					return err
				}
				fmt.Fprintf(cmd.ErrOrStderr(), "%d days of work; these limits would have hurt %d, those in force %d\n", p.Days, p.Hurt, p.HurtNow)
				return print(cmd, true, p.Limits, nil)
			})
		}}
}

func (a *app) budgetGrantCommand() *cobra.Command {
	in := api.NewExtra{}
	var lasts time.Duration
	cmd := &cobra.Command{Use: "grant STAFF --persons N --for 2h --why TEXT", Short: "Add to a staff member's budget, as a supervisor at another device", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			in.Staff, in.Minutes = args[0], int64(lasts/time.Minute)
			return a.withSession(cmd, func(ctx context.Context, c *api.Client) error {
				var x budget.Extra
				if err := c.Do(ctx, http.MethodPost, "/v1/budget/grant", in, &x); err != nil {
					return err
				}
				fmt.Fprintf(cmd.OutOrStdout(), "%s: %d participants more until %s\n", x.Subject, x.Persons, x.Until.Format(time.RFC3339))
				return nil
			})
		}}
	cmd.Flags().Int64Var(&in.Persons, "persons", 20, "how many participants more, at most a day's")
	cmd.Flags().DurationVar(&lasts, "for", 2*time.Hour, "for how long, at most 24h")
	cmd.Flags().StringVar(&in.Why, "why", "", "the reason, one line without personal data")
	a.tokenFlag(cmd)
	_ = cmd.MarkFlagRequired("why")
	return cmd
}

// budgetFlags are the flags that name limits, in a file, or a surge.
type budgetFlags struct {
	file, kind string
	extra      budget.Extra
	lasts      time.Duration
}

func (f *budgetFlags) add(cmd *cobra.Command, file string) {
	cmd.Flags().StringVar(&f.file, file, "", "limits as azekura budget propose prints them")
	f.addSurge(cmd)
}

func (f *budgetFlags) addSurge(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.kind, "kind", "office", "of a surge: staff, device, office or purpose")
	cmd.Flags().StringVar(&f.extra.ID, "id", "", "of a surge: whose budget")
	cmd.Flags().Int64Var(&f.extra.Percent, "percent", 200, "of a surge: of what it is otherwise, at most 500")
	cmd.Flags().DurationVar(&f.lasts, "until", 24*time.Hour, "of a surge: how long from now, at most 336h")
}

func (f *budgetFlags) surge() *budget.Extra {
	f.extra.Kind, f.extra.Until = budget.Kind(f.kind), time.Now().Add(f.lasts).UTC().Truncate(time.Second)
	return &f.extra
}

func (f *budgetFlags) limits() (list []budget.Limit, err error) {
	raw, err := os.ReadFile(f.file)
	if err == nil {
		err = json.Unmarshal(raw, &list)
	}
	if err != nil {
		return nil, fmt.Errorf("read the limits: %w", err)
	}
	return list, nil
}

// budgetChangeCommand is set or surge: both take two people.
func (a *app) budgetChangeCommand(surge bool) *cobra.Command {
	d := decision{}
	in := api.NewBudget{}
	var f budgetFlags
	cmd := &cobra.Command{Use: "set --file LIMITS --why TEXT --propose FILE | --approved FILE", Short: "Set limits, by two people", Args: cobra.NoArgs}
	if surge {
		cmd.Use, cmd.Short = "surge --kind office --id ID --percent 300 --until 48h --why TEXT --propose FILE | --approved FILE", "Raise a budget for a while, as for a hotline, by two people"
		f.addSurge(cmd)
	} else {
		cmd.Flags().StringVar(&f.file, "file", "", "limits as azekura budget propose prints them")
	}
	cmd.Flags().StringVar(&in.Why, "why", "", "the reason, one line")
	d.flags(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) (err error) {
		if d.propose == "" && d.approved == "" {
			return errDecide
		}
		if surge {
			in.Surge = f.surge()
		} else if d.propose != "" {
			if in.Limits, err = f.limits(); err != nil {
				return err
			}
		}
		in.By, in.Hours = d.by, max(1, int64(d.life/time.Hour))
		return a.with(cmd, func(ctx context.Context, c *api.Client) error { return changeBudget(ctx, cmd, c, &d, in) })
	}
	return cmd
}

func changeBudget(ctx context.Context, cmd *cobra.Command, c *api.Client, d *decision, in api.NewBudget) error {
	if d.propose != "" {
		var p api.ProposalText
		if err := c.Do(ctx, http.MethodPost, "/operator/budgets/proposal", in, &p); err != nil {
			return err
		}
		return d.write(cmd, []byte(p.Text))
	}
	file, err := d.read()
	if err != nil {
		return err
	}
	var done installation.BudgetChange
	if err := c.Do(ctx, http.MethodPost, "/operator/budgets/change", api.ProposalText{Text: string(file)}, &done); err != nil {
		return err
	}
	fmt.Fprintln(cmd.OutOrStdout(), "the budgets are changed; azekura budget show shows them")
	return nil
}
