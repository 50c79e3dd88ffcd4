// Command azekura is the whole system: consoles, gate, log and tools, as
// subcommands of one binary. See azekura --help.
package main

import (
	"os"

	"azekura/internal/cli"
)

func main() { os.Exit(cli.Main()) }
