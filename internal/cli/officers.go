package cli

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"azekura/access"
	"azekura/api"

	"github.com/spf13/cobra"
)

// people is where what officers do about staff is asked: as the session of a token
// where one is given, and else as the operator.
func (a *app) people(cmd *cobra.Command, f func(ctx context.Context, c *api.Client, at string) error) error {
	if a.tokenFile == "" && os.Getenv("AZEKURA_TOKEN") == "" {
		return a.with(cmd, func(ctx context.Context, c *api.Client) error { return f(ctx, c, "/operator/people/") })
	}
	return a.withSession(cmd, func(ctx context.Context, c *api.Client) error { return f(ctx, c, "/v1/people/") })
}

// act is a command that asks for one thing about staff.
func act[Out any](a *app, use, short string, args int, ask func(args []string) (path string, in any, err error), line func(io.Writer, Out)) *cobra.Command {
	cmd := &cobra.Command{
		Use: use, Short: short, Args: cobra.ExactArgs(args),
		RunE: func(cmd *cobra.Command, args []string) error {
			path, in, err := ask(args)
			if err != nil {
				return err
			}
			return a.people(cmd, func(ctx context.Context, c *api.Client, at string) error {
				var out Out
				if err := c.Do(ctx, http.MethodPost, at+path, in, &out); err != nil {
					return err
				}
				line(cmd.OutOrStdout(), out)
				return nil
			})
		},
	}
	a.tokenFlag(cmd)
	return cmd
}

func rolesOf(s access.Staff) string {
	switch {
	case s.Left != nil:
		return "removed " + s.Left.Format(time.RFC3339)
	case s.Machine:
		return s.Role + " (program)"
	case len(s.Roles) > 0:
		return strings.Join(s.Roles, ", ")
	}
	return s.Role
}

// officerCommands are the parts of azekura staff that an officer signs for.
func (a *app) officerCommands() []*cobra.Command {
	staff := func(w io.Writer, s access.Staff) { fmt.Fprintf(w, "staff %s: %s\n", s.ID, rolesOf(s)) }
	of := func(path string) func([]string) (string, any, error) {
		return func(args []string) (string, any, error) { return path, api.OfStaff{Staff: args[0]}, nil }
	}
	return []*cobra.Command{
		act(a, "roles ID ROLE[,ROLE]", "Give a staff member these roles and no others", 2, func(args []string) (string, any, error) {
			return "roles", api.NewRoles{OfStaff: api.OfStaff{Staff: args[0]}, Roles: strings.Split(args[1], ",")}, nil
		}, staff),
		act(a, "remove ID", "Take a staff member's roles, passkeys and sessions", 1, of("remove"), staff),
		act(a, "code ID", "Make a one-time code with which a staff member enrols a passkey", 1, of("code"), func(w io.Writer, c api.NewCode) {
			fmt.Fprintf(w, "%s\nHand it to %s alone; they enter it at /signin/enrol before %s.\n", c.Code, c.Staff, c.Expires.Format(time.RFC3339))
		}),
		act(a, "vouch ID FINGERPRINT", "Say that the passkey of this fingerprint is the staff member's", 2, func(args []string) (string, any, error) {
			return "vouch", api.Vouched{OfStaff: api.OfStaff{Staff: args[0]}, Print: args[1]}, nil
		}, func(w io.Writer, k access.Passkey) {
			fmt.Fprintf(w, "passkey %s of %s counts now\n", k.Print, k.Staff)
		}),
		act(a, "reset ID", "Take all of a staff member's passkeys, and end their sessions", 1, of("reset"), func(w io.Writer, s api.OfStaff) {
			fmt.Fprintf(w, "%s has no passkey now; azekura staff code makes a code for a new one, and a second person vouches for it\n", s.Staff)
		}),
		a.deputyCommand(),
		act(a, "end-deputy EVENT", "End a deputy's standing before its time", 1, func(args []string) (string, any, error) {
			n, err := strconv.ParseInt(args[0], 10, 64)
			if err != nil {
				return "", nil, fmt.Errorf("a deputy's grant is named by its event's number; azekura staff deputies shows them")
			}
			return "deputy-end", api.EndedDeputy{Event: n}, nil
		}, deputyLine),
		listOf(a, "deputies", "Who stands in for whom", deputyLine),
		listOf(a, "passkeys", "The passkeys, and who vouched for them", func(w io.Writer, k access.Passkey) {
			by := "vouched for by " + k.Vouched
			if k.Vouched == "" {
				by = "waits for somebody to vouch for it"
			}
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\tevent %d\n", k.Staff, k.Print, k.Added.Format(time.RFC3339), by, k.Event)
		}),
	}
}

func deputyLine(w io.Writer, p access.Deputy) {
	until := p.Until
	if p.Ended != nil {
		until = *p.Ended
	}
	fmt.Fprintf(w, "%s\tfor %s\tas %s\t%s to %s\t%s\tevent %d\n", p.Staff, p.For, p.Role, p.From.Format(time.RFC3339), until.Format(time.RFC3339), p.Reason, p.Event)
}

func (a *app) deputyCommand() *cobra.Command {
	in := api.NewDeputy{}
	var lasts time.Duration
	var from string
	cmd := act(a, "deputy ID --for OTHER --role ROLE --reason WHY", "Let one staff member stand in for another", 1, func(args []string) (string, any, error) {
		in.Staff = args[0]
		begins := time.Now()
		if from != "" {
			var err error
			if begins, err = time.Parse(time.RFC3339, from); err != nil {
				return "", nil, fmt.Errorf("--from is a time such as 2026-04-01T08:30:00+09:00")
			}
			in.From = begins
		}
		in.Until = begins.Add(lasts)
		return "deputy", in, nil
	}, deputyLine)
	cmd.Flags().StringVar(&in.For, "for", "", "the staff member who is stood in for")
	cmd.Flags().StringVar(&in.Role, "role", "", "the role, which the other has")
	cmd.Flags().StringVar(&in.Reason, "reason", "", "one line, which the log keeps: nobody's data")
	cmd.Flags().StringVar(&from, "from", "", "when it begins (now)")
	cmd.Flags().DurationVar(&lasts, "lasts", 24*time.Hour, "how long, at most 744h")
	return cmd
}

func listOf[T any](a *app, name, short string, line func(io.Writer, T)) *cobra.Command {
	cmd := &cobra.Command{Use: name, Short: short, Args: cobra.NoArgs}
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return a.people(cmd, func(ctx context.Context, c *api.Client, at string) error {
			var list []T
			if err := c.Do(ctx, http.MethodGet, at+name, nil, &list); err != nil {
				return err
			}
			return print(cmd, *asJSON, list, func(w io.Writer) {
				for _, v := range list {
					line(w, v)
				}
			})
		})
	}
	a.tokenFlag(cmd)
	return cmd
}
