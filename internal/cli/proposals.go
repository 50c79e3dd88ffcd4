package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"azekura/access"
	"azekura/api"
	"azekura/approval/desk"

	"github.com/spf13/cobra"
)

func (a *app) proposalCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "proposal", Short: "What two people decide on a running server",
		Long: `A proposal is drafted here, signed with azekura approve on the proposer's PC, and
submitted in the proposer's session. Another staff member, at another device, takes
it with proposal show -o FILE, signs it with azekura approve and another approver's
key, and submits it in a session of their own. Then the command that it is for
carries it out, once, with --proposal ID; a release or a change of budgets is carried
out by one of the two, with proposal carry ID.

Every step is an event of the audit log. The approvers are enrolled with azekura
approver add, and struck off with azekura approver remove.`,
	}
	cmd.AddCommand(a.draftCommand(), a.submitCommand(), a.proposalsCommand(), a.showProposalCommand(),
		a.stepCommand("withdraw", "Take back what you proposed"), a.stepCommand("refuse", "End another's proposal"),
		a.stepCommand("carry", "Carry out a release or a change of budgets that two approved, as one of the two"))
	return cmd
}

func (a *app) draftCommand() *cobra.Command {
	var r api.NewProposal
	var out string
	var life time.Duration
	var of targetFlags
	var changes budgetFlags
	cmd := &cobra.Command{
		Use: "draft KIND -o FILE", Short: "Write a proposal, for its proposer to sign", Args: cobra.ExactArgs(1),
		Long: `draft writes the proposal of an act on the state of things now. The kinds are
rotate-root, rotate-data and rotate-index (a change of a key), shred (--participant,
--purpose, --case), leak-index (--purpose, --case), approver and approver-remove
(--approver), release of what is contained (--device, --staff, --office, --session or
--all, and --why) and budget (--limits, or for a surge --kind, --id, --percent and
--until; and --why). Policies are proposed with azekura policy propose.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			r.Kind, r.Hours = args[0], int64(life/time.Hour)
			if err := draftMore(&r, &of, &changes); err != nil {
				return err
			}
			return a.withSession(cmd, func(ctx context.Context, c *api.Client) error {
				var made api.ProposalFile
				if err := c.Do(ctx, http.MethodPost, "/v1/proposals/draft", r, &made); err != nil {
					return err
				}
				d := decision{propose: out}
				return d.write(cmd, []byte(made.File))
			})
		},
	}
	f := cmd.Flags()
	f.StringVarP(&out, "output", "o", "", "the file to write")
	f.StringVar(&r.Approver, "approver", "", "of approver: the public key; of approver-remove: it, or the name")
	f.StringVar(&r.Participant, "participant", "", "the participant's id")
	f.StringVar(&r.Purpose, "purpose", "", "the purpose")
	f.StringVar(&r.Case, "case", "", "the case's code")
	f.StringVar(&r.Why, "why", "", "of release and budget: the reason, one line without personal data")
	of.add(cmd)
	changes.add(cmd, "limits")
	f.DurationVar(&life, "for", 7*24*time.Hour, "how long it may wait, in whole hours")
	_ = cmd.MarkFlagRequired("output") // the flag exists
	a.tokenFlag(cmd)
	return cmd
}

// draftMore adds what a release or a change of budgets names.
func draftMore(r *api.NewProposal, of *targetFlags, changes *budgetFlags) error {
	switch r.Kind {
	case access.KindRelease:
		t, err := of.target()
		r.Target = &t
		return err
	case "budget":
		if changes.file == "" {
			r.Surge = changes.surge()
			return nil
		}
		var err error
		r.Limits, err = changes.limits()
		return err
	}
	return nil
}

func (a *app) submitCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "submit FILE", Short: "Bring a signed proposal, or the consent to one", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			file, err := os.ReadFile(args[0])
			if err != nil {
				return fmt.Errorf("read the proposal: %w", err)
			}
			return a.withSession(cmd, func(ctx context.Context, c *api.Client) error {
				var item desk.Item
				if err := c.Do(ctx, http.MethodPost, "/v1/proposals", api.ProposalFile{File: string(file)}, &item); err != nil {
					return err
				}
				fmt.Fprintf(cmd.OutOrStdout(), "Proposal %s is %s (event %d).\n", item.ID, item.State, item.Event)
				return nil
			})
		},
	}
	a.tokenFlag(cmd)
	return cmd
}

func (a *app) proposalsCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "list", Short: "List the proposals", Args: cobra.NoArgs}
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return a.withSession(cmd, func(ctx context.Context, c *api.Client) error {
			var all api.Proposals
			if err := c.Do(ctx, http.MethodGet, "/v1/proposals", nil, &all); err != nil {
				return err
			}
			return print(cmd, *asJSON, all, func(w io.Writer) {
				for _, p := range all.Proposals {
					fmt.Fprintf(w, "%s\t%s\t%s\tsigned by %s\tuntil %s\n", p.ID, p.Kind, p.State, strings.Join(p.Signed, ", "), p.Expires.Format(time.RFC3339))
				}
			})
		})
	}
	a.tokenFlag(cmd)
	return cmd
}

func (a *app) showProposalCommand() *cobra.Command {
	var out string
	cmd := &cobra.Command{Use: "show ID", Short: "Show a proposal in words, and take its file to sign it", Args: cobra.ExactArgs(1)}
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return a.withSession(cmd, func(ctx context.Context, c *api.Client) error {
			var item desk.Item
			if err := c.Do(ctx, http.MethodGet, "/v1/proposals/"+url.PathEscape(args[0]), nil, &item); err != nil {
				return err
			}
			if out != "" {
				f, err := os.OpenFile(out, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
				if err != nil {
					return err
				}
				_, err = io.WriteString(f, item.File)
				if err := errors.Join(err, f.Close()); err != nil {
					return err
				}
			}
			return print(cmd, *asJSON, item, func(w io.Writer) {
				fmt.Fprintf(w, "%s, brought by %s from %s, is %s, good until %s, signed by %s:\n\n%s", item.Kind, item.Staff, item.Device, item.State,
					item.Expires.Format(time.RFC3339), strings.Join(item.Signed, ", "), item.Words)
			})
		})
	}
	cmd.Flags().StringVarP(&out, "output", "o", "", "write the file here, to be signed")
	a.tokenFlag(cmd)
	return cmd
}

func (a *app) stepCommand(how, short string) *cobra.Command {
	cmd := &cobra.Command{
		Use: how + " ID", Short: short, Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withSession(cmd, func(ctx context.Context, c *api.Client) error {
				var item desk.Item
				if err := c.Do(ctx, http.MethodPost, "/v1/proposals/"+url.PathEscape(args[0])+"/"+how, nil, &item); err != nil {
					return err
				}
				fmt.Fprintf(cmd.OutOrStdout(), "Proposal %s is %s (event %d).\n", item.ID, item.State, item.Event)
				return nil
			})
		},
	}
	a.tokenFlag(cmd)
	return cmd
}

func proposalFlag(cmd *cobra.Command, into *string) {
	cmd.Flags().StringVar(into, "proposal", "", "the id of the proposal that two people approved (azekura proposal)")
}
