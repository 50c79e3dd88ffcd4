package cli

import (
	"context"
	"errors"
	"fmt"

	"azekura/internal/installation"

	"github.com/spf13/cobra"
)

// decided runs one of the two halves of a decision.
func decided(cmd *cobra.Command, d *decision, propose func(context.Context) ([]byte, error), carry func(context.Context, []byte) error) error {
	switch {
	case d.propose != "":
		file, err := propose(cmd.Context())
		if err != nil {
			return err
		}
		return d.write(cmd, file)
	case d.approved != "":
		file, err := d.read()
		if err != nil {
			return err
		}
		return carry(cmd.Context(), file)
	}
	return errDecide
}

func (a *app) freezeCommand() *cobra.Command {
	d, why := decision{}, ""
	cmd := &cobra.Command{
		Use: "freeze --propose FILE --why WORDS | --approved FILE", Short: "End the log and go on in the next, by two people", Args: cobra.NoArgs,
		Long: `freeze ends the audit log with an event that says so, and begins the next, whose first
event names the one before and its last signed head. The frozen log's proofs stay
good, and everything reads on over both. The server must be stopped.

By configuration, without people: "freeze": {"yearly": true} or {"events": N} in
azekura.json, looked at when the server starts.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return decided(cmd, &d, func(ctx context.Context) ([]byte, error) {
				return installation.ProposeFreeze(ctx, a.dir, why, d.by, d.life)
			}, func(ctx context.Context, file []byte) error {
				c, err := installation.Freeze(ctx, a.dir, file)
				if err != nil {
					return err
				}
				fmt.Fprintf(cmd.OutOrStdout(), "The log goes on as %s. Tell its witnesses and whoever checks it: azekura log head prints its key.\n", c.Origin)
				return nil
			})
		},
	}
	d.flags(cmd)
	cmd.Flags().StringVar(&why, "why", "", "with --propose: the reason, as in year 2026")
	return cmd
}

func (a *app) newLogCommand() *cobra.Command {
	d, loss := decision{}, false
	cmd := &cobra.Command{
		Use: "new --after-loss (--propose FILE | --approved FILE)", Short: "Begin a new log that names what was lost of the one before, by two people", Args: cobra.NoArgs,
		Long: `new --after-loss goes on where events that were signed are gone for good: in a new log,
whose first event names the gap. Every session ends. Look for the newest copy of the
database first, and for a mirror (azekura log refill). The server must be stopped.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !loss {
				return errors.New("a log is begun by init, by azekura log freeze, or --after-loss")
			}
			return decided(cmd, &d, func(ctx context.Context) ([]byte, error) {
				return installation.ProposeAfterLoss(ctx, a.dir, d.by, d.life)
			}, func(ctx context.Context, file []byte) error {
				bar := newProgress(cmd.ErrOrStderr(), "verifying")
				c, err := installation.AfterLoss(ctx, a.dir, file, func(done, total int64) { bar.at(done, total, "") })
				bar.end()
				if err != nil {
					return err
				}
				fmt.Fprintf(cmd.OutOrStdout(), "A new log, %s, has begun; its first event names the gap. Every session has ended.\n", c.Origin)
				return nil
			})
		},
	}
	d.flags(cmd)
	cmd.Flags().BoolVar(&loss, "after-loss", false, "events of the log before are lost")
	return cmd
}

func (a *app) rotateSignerCommand() *cobra.Command {
	d := decision{}
	cmd := &cobra.Command{
		Use: "rotate-signer --propose FILE | --approved FILE", Short: "Change the key that signs the log's heads, by two people", Args: cobra.NoArgs,
		Long: `rotate-signer makes a new key for the log's signer. The event that names it stands
under the old key's last head; from then on the new key signs alone. What was signed
before is checked with the key of its time. The server must be stopped.

Give the new key to the witnesses before you carry it out: they refuse heads that are
signed by a key that they don't know.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return decided(cmd, &d, func(ctx context.Context) ([]byte, error) {
				return installation.ProposeRotate(ctx, a.dir, d.by, d.life)
			}, func(ctx context.Context, file []byte) error {
				vkey, err := installation.RotateSigner(ctx, a.dir, file)
				if err != nil {
					return err
				}
				fmt.Fprintf(cmd.OutOrStdout(), "The log is signed by a new key from now on:\n%s\n", vkey)
				return nil
			})
		},
	}
	d.flags(cmd)
	return cmd
}

func (a *app) confirmCommand() *cobra.Command {
	d := decision{}
	size := int64(-1)
	cmd := &cobra.Command{
		Use: "confirm --size N", Short: "Say that nothing was recorded after the backup that was restored", Args: cobra.NoArgs,
		Long: `confirm lets a restored installation go on in its log: nothing was recorded after the
backup, which held --size signed events. If something was, the log would fork: don't
confirm, but refill it (azekura log refill) or begin a new log that names the gap
(azekura log new --after-loss). Where approvers are enrolled two of them must say so.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			carry := func(ctx context.Context, file []byte) error {
				if err := installation.Confirm(ctx, a.dir, size, file); err != nil {
					return err
				}
				fmt.Fprintf(cmd.OutOrStdout(), "The log goes on after its first %d events; an event says that it was restored.\n", size)
				return nil
			}
			if d.propose == "" && size < 0 {
				return errors.New("say how many events were signed, with --size; azekura restore printed it")
			}
			if d.propose == "" && d.approved == "" {
				return carry(cmd.Context(), nil)
			}
			return decided(cmd, &d, func(ctx context.Context) ([]byte, error) {
				return installation.ProposeConfirm(ctx, a.dir, d.by, d.life)
			}, carry)
		},
	}
	d.flags(cmd)
	cmd.Flags().Int64Var(&size, "size", -1, "the number of signed events that the backup held")
	return cmd
}
