package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	"azekura/access"
	"azekura/api"

	"github.com/spf13/cobra"
)

// targetFlags are the flags that name what is contained, one of them.
type targetFlags struct {
	session, device, staff, office string
	all                            bool
}

func (f *targetFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.session, "session", "", "a session, as azekura session list shows it")
	cmd.Flags().StringVar(&f.device, "device", "", "a device")
	cmd.Flags().StringVar(&f.staff, "staff", "", "a staff member")
	cmd.Flags().StringVar(&f.office, "office", "", "an office: its staff and its devices")
	cmd.Flags().BoolVar(&f.all, "all", false, "everybody")
	cmd.MarkFlagsMutuallyExclusive("session", "device", "staff", "office", "all")
}

func (f *targetFlags) target() (access.Target, error) {
	for _, t := range []access.Target{{Kind: access.TheSession, ID: f.session}, {Kind: access.TheDevice, ID: f.device},
		{Kind: access.TheStaff, ID: f.staff}, {Kind: access.TheOffice, ID: f.office}} {
		if t.ID != "" {
			return t, nil
		}
	}
	if f.all {
		return access.Target{Kind: access.All}, nil
	}
	return access.Target{}, errors.New("say what: --session, --device, --staff, --office or --all")
}

func (a *app) containCommand() *cobra.Command {
	var of targetFlags
	var why string
	cmd := &cobra.Command{
		Use:   "contain --session|--device|--staff|--office|--all --why TEXT",
		Short: "Stop a session, a device, a staff member, an office or everybody, at once",
		Long: `contain ends the sessions of what it names, at once and for good, and lets none be
opened until two people release it (azekura release). Jobs of pay day go on.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			t, err := of.target()
			if err != nil {
				return err
			}
			return a.with(cmd, func(ctx context.Context, c *api.Client) error {
				var is access.Contained
				if err := c.Do(ctx, http.MethodPost, "/operator/contain", api.NewContain{Target: t, Why: why}, &is); err != nil {
					return err
				}
				fmt.Fprintf(cmd.OutOrStdout(), "contained: %s (event %d)\n", is.Target, is.Event)
				return nil
			})
		},
	}
	of.add(cmd)
	cmd.Flags().StringVar(&why, "why", "", "the reason, one line without personal data")
	_ = cmd.MarkFlagRequired("why")
	cmd.AddCommand(listCommand(a, "what is contained", "/operator/contained", func(w io.Writer, c access.Contained) {
		what := "contained"
		if c.StepUp {
			what = "asked for a touch"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\tby %s\t%s\tevent %d\n", c.Target, what, c.Since.Format(time.RFC3339), c.By, c.Why, c.Event)
	}))
	cmd.AddCommand(a.endStepUpCommand())
	return cmd
}

func (a *app) endStepUpCommand() *cobra.Command {
	var of targetFlags
	var why string
	cmd := &cobra.Command{
		Use:   "end-step-up --session|--device|--staff|--office|--all --why TEXT",
		Short: "End a step-up: a target's openings take no fresh touch any more",
		Long: `end-step-up ends what asks each opening for a fresh touch, on one person's word:
the operator's, or with --token-file a security officer's, after a touch of their own.
What is contained stays so; that takes two people (azekura release).`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			t, err := of.target()
			if err != nil {
				return err
			}
			ask := func(at string) func(context.Context, *api.Client) error {
				return func(ctx context.Context, c *api.Client) error {
					if err := c.Do(ctx, http.MethodPost, at, api.NewContain{Target: t, Why: why}, &t); err != nil {
						return err
					}
					fmt.Fprintf(cmd.OutOrStdout(), "no fresh touch is asked of: %s\n", t)
					return nil
				}
			}
			if a.tokenFile == "" && os.Getenv("AZEKURA_TOKEN") == "" {
				return a.with(cmd, ask("/operator/step-up/end"))
			}
			return a.withSession(cmd, ask("/v1/step-up/end"))
		},
	}
	of.add(cmd)
	a.tokenFlag(cmd)
	cmd.Flags().StringVar(&why, "why", "", "the reason, one line without personal data")
	_ = cmd.MarkFlagRequired("why")
	return cmd
}

func (a *app) releaseCommand() *cobra.Command {
	var of targetFlags
	var why string
	d := decision{}
	cmd := &cobra.Command{
		Use:   "release --device ID --why TEXT --propose FILE | --approved FILE",
		Short: "Release what is contained, by two people",
		Long: `release lets what was contained open sessions again. One person proposes it with
--propose, two approvers sign the file with azekura approve, and --approved carries it
out. The sessions that ended stay ended.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.with(cmd, func(ctx context.Context, c *api.Client) error {
				if d.approved != "" {
					return release(ctx, cmd, c, &d)
				}
				if d.propose == "" {
					return errDecide
				}
				t, err := of.target()
				if err != nil {
					return err
				}
				var p api.ProposalText
				in := api.NewRelease{Target: t, Why: why, By: d.by, Hours: max(1, int64(d.life/time.Hour))}
				if err := c.Do(ctx, http.MethodPost, "/operator/release/proposal", in, &p); err != nil {
					return err
				}
				return d.write(cmd, []byte(p.Text))
			})
		},
	}
	of.add(cmd)
	cmd.Flags().StringVar(&why, "why", "", "with --propose: the reason, one line")
	d.flags(cmd)
	return cmd
}

func release(ctx context.Context, cmd *cobra.Command, c *api.Client, d *decision) error {
	file, err := d.read()
	if err != nil {
		return err
	}
	var t access.Target
	if err := c.Do(ctx, http.MethodPost, "/operator/release", api.ProposalText{Text: string(file)}, &t); err != nil {
		return err
	}
	fmt.Fprintf(cmd.OutOrStdout(), "released: %s\n", t)
	return nil
}
