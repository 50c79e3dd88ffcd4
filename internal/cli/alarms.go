package cli

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"time"

	"azekura/access"
	"azekura/api"
	"azekura/incident/alarms"

	"github.com/spf13/cobra"
)

func (a *app) allAlarmsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "alarms",
		Short: "The alarms, who has looked at them, and where they go",
		Long: `Alarms are events of the audit log: a rule saw a sign, a row of the database was found
altered, something was contained or released. A server sends each where azekura.json
says ("alarms"): by webhook, by mail, to a syslog; again and again until it is taken.`,
	}
	list := listAt(a, "list", "List the alarms, containments and releases", "/operator/alarms", func(w io.Writer, e alarms.Entry) {
		seen := "nobody has looked at it"
		if e.Acknowledged != nil {
			seen = "seen by " + e.Acknowledged.By + ": " + e.Acknowledged.Why
		}
		fmt.Fprintf(w, "%d/%d\t%s\t%s\t%s\t%s\t%s\t%s\n", e.Log, e.Event, e.Time.Format(time.RFC3339), e.Severity, e.Kind, e.Rule, e.Says, seen)
	})
	targets := listAt(a, "targets", "Where alarms go, and how far each was told", "/operator/alarms/targets", func(w io.Writer, s alarms.Told) {
		state := "nothing was sent yet"
		switch {
		case s.Fails != "":
			state = "fails since " + s.Since.Format(time.RFC3339) + ": " + s.Fails
		case s.Sent != nil:
			state = "last taken " + s.Sent.Format(time.RFC3339)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%d waiting\t%s\n", s.Name, s.Kind, s.Where, s.Waiting, state)
	})
	test := &cobra.Command{
		Use: "test", Short: "Send a test to everywhere that alarms go", Args: cobra.NoArgs,
		Long: "test records an event that is sent like an alarm. azekura alarms targets shows who has taken it.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.with(cmd, func(ctx context.Context, c *api.Client) error {
				var done api.TestedAlarms
				if err := c.Do(ctx, http.MethodPost, "/operator/alarms/test", struct{}{}, &done); err != nil {
					return err
				}
				fmt.Fprintf(cmd.OutOrStdout(), "event %d is sent where alarms go; see azekura alarms targets\n", done.Event)
				return nil
			})
		},
	}
	cmd.AddCommand(list, targets, test, a.alarmSeenCommand())
	return cmd
}

func (a *app) alarmSeenCommand() *cobra.Command {
	var in api.AlarmSeen
	cmd := &cobra.Command{
		Use: "ack EVENT --found TEXT", Short: "Say that an alarm was looked at, and what was found", Args: cobra.ExactArgs(1),
		Long: `ack records who has looked at an alarm: the operator, or with --token-file a security
officer. It ends nothing: see azekura release and azekura contain end-step-up.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			var err error
			if in.Event, err = strconv.ParseInt(args[0], 10, 64); err != nil || in.Event < 0 {
				return fmt.Errorf("the event of an alarm is a number; azekura alarms list shows them")
			}
			ask := func(at string) func(context.Context, *api.Client) error {
				return func(ctx context.Context, c *api.Client) error {
					var is access.Acknowledgement
					if err := c.Do(ctx, http.MethodPost, at, in, &is); err != nil {
						return err
					}
					fmt.Fprintf(cmd.OutOrStdout(), "seen: event %d, by %s\n", is.Event, is.By)
					return nil
				}
			}
			if a.tokenFile == "" && os.Getenv("AZEKURA_TOKEN") == "" {
				return a.with(cmd, ask("/operator/alarms/seen"))
			}
			return a.withSession(cmd, ask("/v1/alarms/seen"))
		},
	}
	cmd.Flags().StringVar(&in.Found, "found", "", "what was found, one line without personal data")
	cmd.Flags().Int64Var(&in.Log, "log", 0, "the number of the alarm's log; the one in force without it")
	_ = cmd.MarkFlagRequired("found") // the flag exists
	a.tokenFlag(cmd)
	return cmd
}
