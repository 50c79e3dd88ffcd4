package cli

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"time"

	"azekura/access"
	"azekura/api"

	"github.com/spf13/cobra"
)

func (a *app) staffCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "staff", Short: "Add staff members, their roles, deputies and passkeys"}
	in := api.NewStaff{}
	add := &cobra.Command{
		Use:   "add ID",
		Short: "Add a staff member",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			in.ID = args[0]
			return a.with(cmd, func(ctx context.Context, c *api.Client) error {
				var s access.Staff
				if err := c.Do(ctx, http.MethodPost, "/operator/staff", in, &s); err != nil {
					return err
				}
				fmt.Fprintf(cmd.OutOrStdout(), "staff %s, %s, office %s (event %d)\n", s.ID, rolesOf(s), s.Office, s.Event)
				return nil
			})
		},
	}
	add.Flags().StringVar(&in.Role, "role", "caseworker", "caseworker, supervisor, payment-officer, security-officer, auditor or administrator")
	add.Flags().StringVar(&in.Office, "office", "main", "the office's code")
	add.Flags().BoolVar(&in.Machine, "machine", false, "a program's account: you open its sessions, and nobody signs in to it")
	cmd.AddCommand(a.officerCommands()...)
	cmd.AddCommand(add, listCommand(a, "the staff", "/operator/staff", func(w io.Writer, s access.Staff) {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\tevent %d\n", s.ID, rolesOf(s), s.Office, s.Added.Format(time.RFC3339), s.Event)
	}))
	return cmd
}

func (a *app) sessionCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "session", Short: "Open, list and close sessions"}
	cmd.AddCommand(a.sessionOpenCommand(), listCommand(a, "the sessions", "/operator/sessions", func(w io.Writer, s access.SessionInfo) {
		state := "open until " + s.Expires.Format(time.RFC3339)
		if s.Closed != nil {
			state = "closed " + s.Closed.Format(time.RFC3339)
		} else if time.Now().After(s.Expires) {
			state = "ended " + s.Expires.Format(time.RFC3339)
		} else if s.Idles != nil && time.Now().After(*s.Idles) {
			state = "idle since " + s.Used.Format(time.RFC3339)
		}
		bound := "bound to key " + s.Key[:min(len(s.Key), 12)]
		if s.Key == "" {
			bound = "unbound: at the server's own socket alone"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\tby %s\t%s\tevent %d\n", s.ID, s.Staff, s.Device, state, s.Via, bound, s.Event)
	}), &cobra.Command{
		Use:   "close SESSION",
		Short: "End a session at once",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.with(cmd, func(ctx context.Context, c *api.Client) error {
				var s access.SessionInfo
				if err := c.Do(ctx, http.MethodPost, "/operator/sessions/"+url.PathEscape(args[0])+"/close", struct{}{}, &s); err != nil {
					return err
				}
				fmt.Fprintf(cmd.OutOrStdout(), "session %s is closed\n", s.ID)
				return nil
			})
		},
	})
	return cmd
}

func (a *app) sessionOpenCommand() *cobra.Command {
	in := api.NewSession{}
	var lasts time.Duration
	var save string
	cmd := &cobra.Command{
		Use:   "open --staff S --device D",
		Short: "Open a session that nobody signs in to, and print its token, once",
		Long: `Open a session that nobody signs in to, and print its token, once.

It is for programs' accounts (azekura staff add --machine) and for trying things
out. Where staff sign in themselves, it opens for a program's account alone. The
session is an event of the log like every other, and doesn't idle out.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if lasts < time.Minute || lasts > access.MaxSession {
				return fmt.Errorf("--for is from 1m to %s", access.MaxSession)
			}
			in.Minutes = int64(lasts / time.Minute)
			return a.with(cmd, func(ctx context.Context, c *api.Client) error {
				var s api.OpenedSession
				if err := c.Do(ctx, http.MethodPost, "/operator/sessions", in, &s); err != nil {
					return err
				}
				fmt.Fprintf(cmd.ErrOrStderr(), "session %s of %s at %s, until %s\n", s.ID, s.Staff, s.Device, s.Expires.Format(time.RFC3339))
				if save != "" {
					return os.WriteFile(save, []byte(s.Token+"\n"), 0o600)
				}
				fmt.Fprintln(cmd.OutOrStdout(), s.Token)
				return nil
			})
		},
	}
	cmd.Flags().StringVar(&in.Staff, "staff", "", "the staff member's id")
	cmd.Flags().StringVar(&in.Device, "device", "", "the device's id")
	cmd.Flags().DurationVar(&lasts, "for", 8*time.Hour, "how long it lasts, at most 12h")
	cmd.Flags().StringVar(&save, "save", "", "write the token to this file, for --token-file, and don't print it")
	return cmd
}

func listCommand[T any](a *app, what, path string, line func(io.Writer, T)) *cobra.Command {
	return listAt(a, "list", "List "+what, path, line)
}
