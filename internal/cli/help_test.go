package cli_test

import (
	"bytes"
	"strings"
	"testing"

	"azekura/internal/cli"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// TestHelp asks every command for help: each says what it does, and describes
// each of its flags.
func TestHelp(t *testing.T) {
	var walk func(cmd *cobra.Command)
	walk = func(cmd *cobra.Command) {
		path := cmd.CommandPath()
		t.Run(strings.ReplaceAll(path, " ", "/"), func(t *testing.T) { helps(t, cmd, path) })
		for _, sub := range cmd.Commands() {
			walk(sub)
		}
	}
	walk(cli.New())
}

func helps(t *testing.T, cmd *cobra.Command, path string) {
	if s := cmd.Short; s == "" || strings.HasSuffix(s, ".") || s[:1] != strings.ToUpper(s[:1]) {
		t.Errorf("its short help is %q", s)
	}
	said := run(t, append(strings.Fields(path)[1:], "--help")...)
	if !strings.Contains(said, cmd.Short) && cmd.Long == "" {
		t.Errorf("--help doesn't say what it does:\n%s", said)
	}
	flags := func(f *pflag.Flag) {
		if f.Usage == "" {
			t.Errorf("--%s isn't described", f.Name)
		} else if !strings.Contains(said, f.Usage[:min(20, len(f.Usage))]) {
			t.Errorf("--help doesn't describe --%s:\n%s", f.Name, said)
		}
	}
	cmd.LocalFlags().VisitAll(flags)
	cmd.InheritedFlags().VisitAll(flags)
	if !cmd.HasSubCommands() && cmd.Name() != "drill" && !strings.Contains(said, "--dir") {
		t.Errorf("--help doesn't name --dir:\n%s", said)
	}
}

// run runs a command in this process.
func run(t *testing.T, args ...string) string {
	t.Helper()
	var said bytes.Buffer
	cmd := cli.New()
	cmd.SetArgs(args)
	cmd.SetOut(&said)
	cmd.SetErr(&said)
	if err := cmd.ExecuteContext(t.Context()); err != nil {
		t.Errorf("azekura %s: %v", strings.Join(args, " "), err)
	}
	return said.String()
}
