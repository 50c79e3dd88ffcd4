package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"

	"azekura/api"
	"azekura/approval"
	"azekura/auditlog"
	"azekura/internal/installation"
	"azekura/internal/slotfile"
	"azekura/keyring/root"

	"github.com/spf13/cobra"
)

// envApprover names the variable that names the file of an approver's passphrase.
// It isn't the root key's: the two are different people's.
const envApprover = "AZEKURA_APPROVER_PASSPHRASE_FILE"

// decision is the flags of a command that takes two people: one writes the
// proposal, another carries it out once both have signed.
type decision struct {
	propose, approved, by string
	life                  time.Duration
}

func (d *decision) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&d.propose, "propose", "", "write the proposal to this file, for two approvers to sign")
	f.StringVar(&d.approved, "approved", "", "carry out the proposal in this file, which two approvers signed")
	f.StringVar(&d.by, "by", "operator", "with --propose: who proposes, a code")
	f.DurationVar(&d.life, "for", 7*24*time.Hour, "with --propose: how long it may wait")
	cmd.MarkFlagsMutuallyExclusive("propose", "approved")
}

// write writes a proposal and says what to do with it.
func (d *decision) write(cmd *cobra.Command, file []byte) error {
	p, _, err := approval.Read(file)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(d.propose, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(file)
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	fmt.Fprintf(cmd.OutOrStdout(), "%sProposed in %s. Two approvers sign it, each with azekura approve %s --key KEY.\n", p.Words, d.propose, d.propose)
	return nil
}

func (d *decision) read() ([]byte, error) {
	file, err := os.ReadFile(d.approved)
	if err != nil {
		return nil, fmt.Errorf("read the proposal: %w", err)
	}
	return file, nil
}

var errDecide = errors.New("this takes two people: --propose FILE writes what they sign, and --approved FILE carries it out")

func (a *app) approverCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "approver", Short: "The people of whom two decide what one may not"}
	var out string
	var plain bool
	create := &cobra.Command{
		Use: "new NAME -o FILE", Short: "Make an approver's key, under a passphrase of its own", Args: cobra.ExactArgs(1),
		Long: "new makes a key in a file and prints its public half, which azekura approver add enrols.\nThe passphrase is asked for, or in the file that " + envApprover + " names.",
		RunE: func(cmd *cobra.Command, args []string) error {
			var passphrase []byte
			var err error
			if plain {
				fmt.Fprintln(cmd.ErrOrStderr(), "The key will lie in the file as it is: whoever copies the file approves in this person's name.")
			} else if passphrase, err = root.PassphraseFrom(envApprover, "A passphrase for the approver's key", true); err != nil {
				return err
			}
			defer clear(passphrase)
			file, vkey, err := approval.NewKey(args[0], passphrase, 0)
			if err != nil {
				return err
			}
			f, err := os.OpenFile(out, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
			if err != nil {
				return err
			}
			_, err = f.Write(file)
			if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
				return err
			}
			fmt.Fprintln(cmd.OutOrStdout(), vkey)
			return nil
		}}
	create.Flags().StringVarP(&out, "output", "o", "", "the key's file")
	create.Flags().BoolVar(&plain, "plain", false, "no passphrase: only for keys that lie where nobody else comes")
	_ = create.MarkFlagRequired("output")

	cmd.AddCommand(create, a.addApproverCommand(), a.removeApproverCommand(), a.approversCommand())
	return cmd
}

func (a *app) addApproverCommand() *cobra.Command {
	d := decision{}
	r := api.ApproverChange{}
	cmd := &cobra.Command{
		Use: "add VKEY", Short: "Enrol an approver: the first two at once, further ones by two people", Args: cobra.ExactArgs(1),
		Long: `add enrols the holder of a key. The first two are enrolled on your word, which is an
event; every further one takes two approvers.

On a running server: azekura proposal draft approver --approver VKEY, and once another
has consented, add VKEY --proposal ID. With the server stopped: --propose writes what
two approvers sign, and --approved carries it out.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			r.Approver = args[0]
			if d.propose != "" {
				file, err := installation.ProposeApprover(cmd.Context(), a.dir, args[0], d.by, d.life)
				if err != nil {
					return err
				}
				return d.write(cmd, file)
			}
			recorded, err := a.addApprover(cmd, &d, r)
			if err != nil {
				return err
			}
			name, err := approval.Name(args[0])
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s is an approver.\n", name)
			if !recorded {
				fmt.Fprintln(cmd.OutOrStdout(), "The log can't be opened now, so no event says so; the one that begins the new log will name the approvers.")
			}
			return nil
		}}
	d.flags(cmd)
	proposalFlag(cmd, &r.Proposal)
	cmd.MarkFlagsMutuallyExclusive("propose", "approved", "proposal")
	return cmd
}

// addApprover goes through a running server, and else without the root key, which
// whoever names the first two in a mishap may not have.
func (a *app) addApprover(cmd *cobra.Command, d *decision, r api.ApproverChange) (recorded bool, err error) {
	var file []byte
	if d.approved != "" {
		if file, err = d.read(); err != nil {
			return false, err
		}
	}
	if r.Proposal == "" {
		recorded, err = installation.AddApprover(cmd.Context(), a.dir, r.Approver, file)
		if file != nil || !errors.Is(err, auditlog.ErrHeld) {
			return recorded, err
		}
	}
	return true, a.changeApprovers(cmd, "/operator/approvers", r)
}

func (a *app) changeApprovers(cmd *cobra.Command, path string, r api.ApproverChange) error {
	return a.with(cmd, func(ctx context.Context, c *api.Client) error {
		var list api.Approvers
		return c.Do(ctx, http.MethodPost, path, r, &list)
	})
}

// approversCommand asks a running server, or reads the log without the root key.
func (a *app) approversCommand() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the approvers", Args: cobra.NoArgs,
		Long: "list lists the approvers as the log's events name them. Where the log can't be opened because events are lost, it lists who decides meanwhile.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			list, lost, err := installation.ListApprovers(cmd.Context(), a.dir)
			if errors.Is(err, auditlog.ErrHeld) {
				list, err = a.askApprovers(cmd)
			}
			if err != nil {
				return err
			}
			for _, vkey := range list {
				fmt.Fprintln(cmd.OutOrStdout(), vkey)
			}
			if lost {
				fmt.Fprintln(cmd.ErrOrStderr(), "The log can't be opened now: these decide by what is left of it and by azekura.json.")
			}
			if len(list) < approval.Needed {
				fmt.Fprintln(cmd.ErrOrStderr(), "Fewer than two are enrolled: what can't be undone is refused until there are two.")
			}
			return nil
		}}
}

func (a *app) askApprovers(cmd *cobra.Command) (list []string, err error) {
	err = a.with(cmd, func(ctx context.Context, c *api.Client) error {
		var all api.Approvers
		if err := c.Do(ctx, http.MethodGet, "/operator/approvers", nil, &all); err != nil {
			return err
		}
		for _, one := range all.Approvers {
			list = append(list, one.Key)
		}
		return nil
	})
	return list, err
}

func (a *app) removeApproverCommand() *cobra.Command {
	d := decision{}
	r := api.ApproverChange{}
	cmd := &cobra.Command{
		Use: "remove NAME (--propose FILE | --approved FILE | --proposal ID)", Short: "Strike an approver off, by two people", Args: cobra.ExactArgs(1),
		Long: `remove strikes an approver off, named by name or public key. At least two must be left.
From then on that key decides nothing, and what it signed and isn't done yet is void.
Who is to be an approver again is enrolled like anybody (azekura approver add).

On a running server: azekura proposal draft approver-remove --approver NAME, and once
another has consented, remove NAME --proposal ID. With the server stopped: --propose
writes what two approvers sign, and --approved carries it out.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			r.Approver = args[0]
			switch {
			case d.propose != "":
				file, err := installation.ProposeStrike(cmd.Context(), a.dir, args[0], d.by, d.life)
				if err != nil {
					return err
				}
				return d.write(cmd, file)
			case d.approved != "":
				file, err := d.read()
				if err == nil {
					_, err = installation.Strike(cmd.Context(), a.dir, args[0], file)
				}
				if err != nil {
					return err
				}
			case r.Proposal != "":
				if err := a.changeApprovers(cmd, "/operator/approvers/remove", r); err != nil {
					return err
				}
			default:
				return errDecide
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s is no approver any more.\n", args[0])
			return nil
		},
	}
	d.flags(cmd)
	proposalFlag(cmd, &r.Proposal)
	cmd.MarkFlagsMutuallyExclusive("propose", "approved", "proposal")
	return cmd
}

func (a *app) approveCommand() *cobra.Command {
	var key string
	cmd := &cobra.Command{
		Use: "approve FILE --key KEY", Short: "Read a proposal and sign it", Args: cobra.ExactArgs(1),
		Long: "approve shows what is proposed, asks for the word approve, and adds a signature to the file.",
		RunE: func(cmd *cobra.Command, args []string) error {
			file, err := os.ReadFile(args[0])
			if err != nil {
				return fmt.Errorf("read the proposal: %w", err)
			}
			p, signed, err := approval.Read(file)
			if err != nil {
				return err
			}
			w := cmd.OutOrStdout()
			fmt.Fprintf(w, "Proposed by %s on %s, good until %s, signed by %d so far:\n\n%s\n", p.By, p.Made.Format(time.RFC3339), p.Expires.Format(time.RFC3339), signed, p.Words)
			fmt.Fprint(w, "To sign it, type the word approve: ")
			answer, _ := bufio.NewReader(cmd.InOrStdin()).ReadString('\n')
			fmt.Fprintln(w)
			if strings.TrimSpace(answer) != "approve" {
				return errors.New("not signed")
			}
			raw, err := os.ReadFile(key)
			if err != nil {
				return fmt.Errorf("read the approver's key: %w", err)
			}
			signer, err := approval.OpenKey(raw, func() ([]byte, error) {
				return root.PassphraseFrom(envApprover, "Passphrase of the approver's key", false)
			})
			if err != nil {
				return err
			}
			if file, err = approval.Sign(file, signer, time.Now()); err != nil {
				return err
			}
			if err := slotfile.Replace(args[0], file); err != nil {
				return err
			}
			fmt.Fprintf(w, "Signed by %s.\n", signer.Name())
			return nil
		},
	}
	cmd.Flags().StringVar(&key, "key", "", "the file of the approver's key")
	_ = cmd.MarkFlagRequired("key")
	return cmd
}
