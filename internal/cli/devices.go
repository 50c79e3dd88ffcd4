package cli

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"time"

	"azekura/access"
	"azekura/api"

	"github.com/spf13/cobra"
)

func (a *app) deviceCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "device", Short: "Add, enrol, list and revoke devices"}
	in := api.NewDevice{}
	add := &cobra.Command{
		Use:   "add ID",
		Short: "Add a device, and print the code with which its agent enrols",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			in.ID = args[0]
			return a.with(cmd, func(ctx context.Context, c *api.Client) error {
				var d api.AddedDevice
				if err := c.Do(ctx, http.MethodPost, "/operator/devices", in, &d); err != nil {
					return err
				}
				fmt.Fprintf(cmd.OutOrStdout(), "device %s, office %s (event %d)\n", d.ID, d.Office, d.Event)
				writeCode(cmd.OutOrStdout(), d.Code, d.Expires)
				return nil
			})
		},
	}
	add.Flags().StringVar(&in.Office, "office", "main", "the office's code")
	cmd.AddCommand(add, a.deviceCodeCommand(), a.deviceRevokeCommand(), a.deviceAgentCommand(), listCommand(a, "the devices and their keys", "/operator/devices", func(w io.Writer, d api.DeviceAnswer) {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\tevent %d\n", d.ID, d.Office, d.Added.Format(time.RFC3339), keysOf(d.Keys), d.Event)
	}))
	return cmd
}

func writeCode(w io.Writer, code string, expires time.Time) {
	fmt.Fprintf(w, "On that PC, until %s, once:\n  azekura device agent --server https://HOST:PORT --code %s --keep FOLDER\n", expires.Format(time.RFC3339), code)
}

// keysOf says a device's keys in a few words: the newest, and how many before.
func keysOf(keys []access.DeviceKey) string {
	if len(keys) == 0 {
		return "no key: its sessions are bound to none"
	}
	k := keys[len(keys)-1]
	text := "key " + k.Print[:12]
	if k.Copyable() {
		text += ", in a file, copyable"
	} else {
		text += ", in a TPM by its agent's word"
	}
	if k.Revoked != nil {
		return text + ", revoked " + k.Revoked.Format(time.RFC3339)
	}
	return text + ", until " + k.Until.Format(time.RFC3339)
}

func (a *app) deviceCodeCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "code ID",
		Short: "Print a new one-time code with which a device's agent enrols",
		Long: `Print a new one-time code with which a device's agent enrols a key. It is good for a
day, for one key, and replaces an older one. It carries the hash of the server's key,
by which the agent knows the server; where azekura serve has a certificate of its own
(--tls-cert), make codes while it runs.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.with(cmd, func(ctx context.Context, c *api.Client) error {
				var d api.NewDeviceCode
				if err := c.Do(ctx, http.MethodPost, "/operator/people/device-code", api.OfDevice{Device: args[0]}, &d); err != nil {
					return err
				}
				writeCode(cmd.OutOrStdout(), d.Code, d.Expires)
				return nil
			})
		},
	}
}

func (a *app) deviceRevokeCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "revoke ID",
		Short: "End a device's keys, connections and sessions at once and for good",
		Long: `End a device's keys, its connections, and the sessions that are bound to its keys, at
once and for good. The device comes back with a new key alone (azekura device code).`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.with(cmd, func(ctx context.Context, c *api.Client) error {
				var d access.Device
				if err := c.Do(ctx, http.MethodPost, "/operator/people/device-revoke", api.OfDevice{Device: args[0]}, &d); err != nil {
					return err
				}
				fmt.Fprintf(cmd.OutOrStdout(), "device %s is revoked\n", d.ID)
				return nil
			})
		},
	}
}

func (a *app) deviceAgentCommand() *cobra.Command {
	var e api.Enrol
	var keep string
	var once bool
	cmd := &cobra.Command{
		Use:   "agent --keep FOLDER [--server URL --code CODE]",
		Short: "Enrol this PC with its code, and renew its certificate",
		Long: `Run on a staff PC: make a key, enrol it with the code from azekura device add, and
renew its certificate at half of its life, until ended. Give --server and --code the
first time; killed at any moment and run again, it goes on.

FOLDER then holds key.pem and client.pem. Where the PC has a TPM 2.0 that the agent may
open, the TPM makes the key, and key.pem is of use at this PC alone; else the key itself
is in key.pem: whoever reads that can copy it, and every list says so. --tpm off asks
for that, --tpm PATH for a certain TPM.

AZEKURA_DEVICE=FOLDER has this command line's own staff-side commands come from this
PC, over the network. For a browser, run the agent as the user whose browser it is, with
a key in a file (--tpm off) and --browser and the folder of the browser's NSS database:
  Chromium  --browser $HOME/.pki/nssdb
  Firefox   --browser of the profile's folder, such as $HOME/.mozilla/firefox/x.default
The agent makes the database where there is none, installs each certificate with its key
there, and removes the one of before. It needs certutil and pk12util (Debian's
libnss3-tools), and a database without a password.

For whatever else takes certificates, a key in a file is in client.p12 too, renewed with
it (PKCS #12; its password is changeit, which keeps nobody out: the key lies beside it
in key.pem). --after COMMAND has the shell run it with each new certificate, and once
at the start: AZEKURA_P12 is that file's path (empty for a TPM's key), AZEKURA_CERT
client.pem's. It must bear being run again.

A browser uses a TPM's key by way of PKCS #11 (Debian's libtpm2-pkcs11-1), which this
agent doesn't set up; --browser refuses such a key.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			e.Says = cmd.ErrOrStderr()
			agent, err := api.OpenAgent(cmd.Context(), keep, e)
			if err != nil {
				return err
			}
			failed := func(err error) { fmt.Fprintln(cmd.ErrOrStderr(), err, "(the agent tries again)") }
			for {
				fmt.Fprintf(cmd.OutOrStdout(), "device %s: certificate until %s in %s; %s\n", agent.Device(), agent.Until().Format(time.RFC3339), keep, agent.Kept())
				if once {
					return agent.Install(cmd.Context())
				}
				agent.Installed(cmd.Context(), failed)
				if err := agent.Renewed(cmd.Context(), failed); err != nil {
					return err
				}
			}
		},
	}
	f := cmd.Flags()
	f.StringVar(&e.Server, "server", "", "the server's https:// address")
	f.StringVar(&e.Code, "code", "", "the one-time code of this device")
	f.StringVar(&e.TPM, "tpm", api.AutoTPM, "where the key is made: auto (the PC's TPM if there is one), off (a file), or a TPM's path")
	f.StringArrayVar(&e.Browsers, "browser", nil, "the folder of an NSS database (Chromium's, Firefox's) to install each certificate in; may be repeated")
	f.StringVar(&e.After, "after", "", "a command that the shell runs with each new certificate (AZEKURA_P12, AZEKURA_CERT)")
	f.StringVar(&keep, "keep", "", "the folder for the key and the certificate")
	f.BoolVar(&once, "once", false, "end once the certificate is there, or renewed where that is due")
	_ = cmd.MarkFlagRequired("keep") // fails only for a flag that isn't there
	return cmd
}
