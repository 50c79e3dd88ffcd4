package cli

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// What a caller says, and what a record is to hold, is personal data, and
// arguments are seen by everyone on the machine. So wherever such a text is an
// argument, it can be "-" instead: then it is asked for at a terminal, or read
// from standard input, a line each.
const askHelp = `
Arguments are seen by others on this machine while the command runs, and stay in the
shell's history. Give - in the place of a text and it is asked for, or read from
standard input: one line each, in the order `

// maxAsked bounds a line.
const maxAsked = 4096

// asker reads the texts that were given as "-".
type asker struct {
	prompt io.Writer // nil where nobody sits at a terminal
	lines  *bufio.Reader
}

func newAsker(cmd *cobra.Command) *asker {
	in := cmd.InOrStdin()
	a := &asker{lines: bufio.NewReaderSize(in, maxAsked)}
	if f, ok := in.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		a.prompt = cmd.ErrOrStderr()
	}
	return a
}

// fill replaces a text that is "-".
func (a *asker) fill(what string, text *string) error {
	if *text != "-" {
		return nil
	}
	if a.prompt != nil {
		fmt.Fprintf(a.prompt, "%s: ", what)
	}
	line, err := a.lines.ReadSlice('\n')
	switch {
	case errors.Is(err, bufio.ErrBufferFull):
		return fmt.Errorf("the line for %s is longer than %d bytes", what, maxAsked)
	case err != nil && !errors.Is(err, io.EOF):
		return fmt.Errorf("read %s from standard input: %w", what, err)
	}
	*text = strings.TrimRight(string(line), "\r\n")
	if *text == "" {
		return fmt.Errorf("standard input has no line for %s", what)
	}
	return nil
}
