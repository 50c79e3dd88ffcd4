package cli

import "github.com/spf13/cobra"

func (a *app) drillCommand() *cobra.Command {
	return &cobra.Command{Use: "drill", Short: "Re-enact an incident against an installation of its own"}
}
