package cli

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"azekura/access/policy"
	"azekura/api"

	"github.com/spf13/cobra"
)

func (a *app) policyCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "policy", Short: "Who may open what, when: look, check, test, explain, replay, propose, set",
		Long: `Policies are a text in Cedar's language. They are asked at each opening, after the role
and the case: about the role, the office, the action, the purpose, the fields, the case
and how well the person is identified, the time (Japan's) and the day. The text holds
its own tests and the agency's holidays, in lines that begin with //!.

Until a text is set no policy is asked. azekura policy strict writes the one that is
shipped, to begin with; setting a text takes two people.`}
	cmd.AddCommand(a.policyShowCommand(), strictCommand(), policyCheckCommand(), policyTestCommand(), a.explainCommand(), a.replayCommand(), a.policyProposeCommand(), a.policySetCommand())
	return cmd
}

func (a *app) policyShowCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "show", Short: "Show the policies in force", Args: cobra.NoArgs}
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return a.with(cmd, func(ctx context.Context, c *api.Client) error {
			var p api.PolicyInForce
			if err := c.Do(ctx, http.MethodGet, "/operator/policy", nil, &p); err != nil {
				return err
			}
			return print(cmd, *asJSON, p, func(w io.Writer) {
				if p.InForce == nil {
					fmt.Fprintln(w, "No policies are set, so none is asked: the role, the case and the budgets decide.")
					return
				}
				fmt.Fprintf(w, "// hash %s, in force since %s (event %d)\n", p.InForce.Hash, p.InForce.Since.Format(time.RFC3339), p.InForce.Event)
				if p.InForce.Wrong != "" {
					fmt.Fprintf(w, "// NOTHING IS OPENED: %s\n", p.InForce.Wrong)
				}
				fmt.Fprint(w, p.InForce.Text)
			})
		})
	}
	return cmd
}

func strictCommand() *cobra.Command {
	return &cobra.Command{Use: "strict", Short: "Print the strict policies that are shipped", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := cmd.OutOrStdout().Write(policy.Strict())
			return err
		}}
}

// readPolicy reads a text of policies, of which more than its bound isn't read.
func readPolicy(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read the policies: %w", err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, policy.MaxText+1))
	if err != nil {
		return nil, fmt.Errorf("read the policies: %w", err)
	}
	return text, nil
}

func policyCheckCommand() *cobra.Command {
	return &cobra.Command{Use: "check FILE", Short: "Say whether a text could be set, and what its policies mean", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			text, err := readPolicy(args[0])
			if err != nil {
				return err
			}
			s, err := policy.Fit(text)
			if err != nil {
				return err
			}
			for _, w := range s.Words() {
				fmt.Fprintf(cmd.OutOrStdout(), "%s\t%s\t%s\n", w.ID, w.En, w.Ja)
			}
			fmt.Fprintf(cmd.OutOrStdout(), "hash %s; %d policies, %d tests of its own, none fails\n", s.Hash(), len(s.Words()), s.Tests())
			return nil
		}}
}

func policyTestCommand() *cobra.Command {
	return &cobra.Command{Use: "test FILE", Short: "Run a text's own tests", Args: cobra.ExactArgs(1),
		Long: `test runs the lines of a text that begin with //! allow or //! refuse, and prints those
that fail. A line may name the policy that decides, and says after a colon what is other
than in honest work:

  //! refuse night: time=06:59`,
		RunE: func(cmd *cobra.Command, args []string) error {
			text, err := readPolicy(args[0])
			if err != nil {
				return err
			}
			s, err := policy.Load(text)
			if err != nil {
				return err
			}
			failed := s.Test()
			for _, f := range failed {
				fmt.Fprintln(cmd.OutOrStdout(), f)
			}
			if len(failed) > 0 {
				return fmt.Errorf("%d of %d tests fail", len(failed), s.Tests())
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%d tests, none fails\n", s.Tests())
			return nil
		}}
}

func (a *app) explainCommand() *cobra.Command {
	var file string
	cmd := &cobra.Command{Use: "explain [key=value ...]", Short: "Say what would be decided, by which policy, and what is missing",
		Long: `explain asks the policies in force, or those of --file, about a request of honest work (a
caseworker who reads a name for an enquiry at ten on a working day, for an open call of
theirs) that is other in what is said: role, office, action, purpose, fields, kind (none
is no case), state, assigned, level, case-touch, bound, declared, touch,
case-office, time, workday.`,
		Example: "  azekura policy explain time=06:30 kind=visit purpose=visit"}
	cmd.Flags().StringVar(&file, "file", "", "a text, instead of the one in force")
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		in := api.PolicyQuestion{Say: args}
		if file != "" {
			text, err := readPolicy(file)
			if err != nil {
				return err
			}
			in.Text = string(text)
		}
		return a.with(cmd, func(ctx context.Context, c *api.Client) error {
			var d api.PolicyAnswer
			if err := c.Do(ctx, http.MethodPost, "/operator/policy/explain", in, &d); err != nil {
				return err
			}
			return print(cmd, *asJSON, d, func(w io.Writer) {
				fmt.Fprintln(w, d.Verdict)
				for _, p := range d.Policies {
					fmt.Fprintf(w, "  by %s: %s %s\n", p.ID, p.En, p.Ja)
				}
				if len(d.Policies) == 0 && len(d.Failed) == 0 {
					fmt.Fprintln(w, "  no policy permits it")
				}
				for _, f := range d.Failed {
					fmt.Fprintf(w, "  %s can't be evaluated, which refuses\n", f)
				}
				for _, m := range d.Missing {
					fmt.Fprintf(w, "  permitted with: %s（%s）\n", m.En, m.Ja)
				}
			})
		})
	}
	return cmd
}

func (a *app) replayCommand() *cobra.Command {
	var from, to string
	cmd := &cobra.Command{Use: "replay FILE", Short: "Say which of the log's openings a text would have refused, and whose work",
		Long: `replay asks a text about each opening in the log, from --from to before --to, as far as the
events tell: how well a person was identified isn't in an opening's event, and where the
answer hangs on that it is counted as unknown. The whole log is read.`,
		Example: "  azekura policy replay new.cedar --from 2026-10-01 --to 2026-11-01", Args: cobra.ExactArgs(1)}
	cmd.Flags().StringVar(&from, "from", "", "the first day, Japan's (2026-10-01)")
	cmd.Flags().StringVar(&to, "to", "", "the day after the last")
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		text, err := readPolicy(args[0])
		if err != nil {
			return err
		}
		in := api.PolicyReplay{Text: string(text)}
		for day, at := range map[string]*time.Time{from: &in.From, to: &in.To} {
			if day == "" {
				continue
			}
			if *at, err = policy.Day(day); err != nil {
				return err
			}
		}
		return a.with(cmd, func(ctx context.Context, c *api.Client) error {
			var r policy.Replayed
			if err := c.Do(ctx, http.MethodPost, "/operator/policy/replay", in, &r); err != nil {
				return err
			}
			return print(cmd, *asJSON, r, func(w io.Writer) {
				fmt.Fprintf(w, "%d openings: %d would have been refused, of %d the log doesn't hold what decides\n", r.Openings, r.Refused, r.Unknown)
				fmt.Fprintf(w, "%d refusals by policy: %d would have been allowed\n", r.Denied, r.Allowed)
				for _, s := range r.Stopped {
					fmt.Fprintf(w, "%s\t%s\t%d\t%s\n", s.Staff, s.Purpose, s.Openings, s.Policy)
				}
			})
		})
	}
	return cmd
}

func (a *app) policyProposeCommand() *cobra.Command {
	var out string
	var life time.Duration
	cmd := &cobra.Command{Use: "propose FILE -o OUT", Short: "Write the proposal to set policies, for its proposer to sign", Args: cobra.ExactArgs(1),
		Long: `propose writes the proposal to put a text in force. It holds the text, so that both who sign
it read it (azekura approve). azekura proposal submit brings it, and then the consent;
azekura policy set FILE --proposal ID puts it in force.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			text, err := readPolicy(args[0])
			if err != nil {
				return err
			}
			in := api.NewProposal{Kind: policy.Purpose, Text: string(text), Hours: int64(life / time.Hour)}
			return a.withSession(cmd, func(ctx context.Context, c *api.Client) error {
				var made api.ProposalFile
				if err := c.Do(ctx, http.MethodPost, "/v1/proposals/draft", in, &made); err != nil {
					return err
				}
				d := decision{propose: out}
				return d.write(cmd, []byte(made.File))
			})
		}}
	cmd.Flags().StringVarP(&out, "output", "o", "", "the file to write")
	cmd.Flags().DurationVar(&life, "for", 7*24*time.Hour, "how long it may wait, in whole hours")
	_ = cmd.MarkFlagRequired("output") // the flag exists
	a.tokenFlag(cmd)
	return cmd
}

func (a *app) policySetCommand() *cobra.Command {
	in := api.NewPolicy{}
	cmd := &cobra.Command{Use: "set FILE", Short: "Put policies in force, by two people", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			text, err := readPolicy(args[0])
			if err != nil {
				return err
			}
			in.Text = string(text)
			return a.with(cmd, func(ctx context.Context, c *api.Client) error {
				var p api.PolicyInForce
				if err := c.Do(ctx, http.MethodPost, "/operator/policy", in, &p); err != nil {
					return err
				}
				fmt.Fprintf(cmd.OutOrStdout(), "In force from event %d: %s\n", p.InForce.Event, strings.TrimSpace(p.InForce.Hash))
				return nil
			})
		}}
	cmd.Flags().StringVar(&in.Proposal, "proposal", "", "the proposal that two people approved")
	return cmd
}
