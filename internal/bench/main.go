// Command bench prints Azekura's figures, each beside its yardstick: what the
// same machine, the same PostgreSQL and the same file system do in the same run
// without Azekura.
//
//	go run ./internal/bench [-scale small|full] [-only import,gate,…] [-engine sqlite|postgresql] [-json | -markdown]
//
// It measures what is installed: imports and whole requests by the azekura
// binary, built for the purpose, the rest by the packages' own functions. Runs
// alternate with their yardsticks, so that a neighbour's noise falls on both, and
// figures are medians. It promises that nothing of it is left afterwards, an
// interrupt included. It decides nothing: whether a figure is reached, it prints.
// doc/figures.md says what each figure means.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/pprof"
	"slices"
	"strings"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return
		}
		if ctx.Err() != nil {
			err = errors.New("stopped")
		}
		fmt.Fprintln(os.Stderr, "bench:", err)
		stop()
		os.Exit(1)
	}
}

// options are the command line's.
type options struct {
	scale      scale
	stages     []string
	engines    []string
	runs       int
	dir        string
	asJSON     bool
	asMarkdown bool
	cpuProfile string
}

func run(ctx context.Context, args []string, out, progress io.Writer) (err error) {
	o, err := parse(args, progress)
	if err != nil {
		return err
	}
	if o.cpuProfile != "" {
		f, err := os.Create(o.cpuProfile)
		if err != nil {
			return err
		}
		defer f.Close()
		if err := pprof.StartCPUProfile(f); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
	}
	b, err := newBench(o, progress)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.close()) }()
	err = b.runAll(ctx)
	if len(b.figures) == 0 {
		return err
	}
	// What was found before an interrupt is worth having.
	return errors.Join(err, b.report().write(out, o))
}

func (b *bench) runAll(ctx context.Context) error {
	for _, s := range stages {
		if !slices.Contains(b.stages, s.name) {
			continue
		}
		if err := s.run(ctx, b); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
	}
	return nil
}

func parse(args []string, usage io.Writer) (o options, err error) {
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.SetOutput(usage)
	size := f.String("scale", "small", "small (minutes) or full (the sizes that the targets are meant at)")
	only := f.String("only", "", "comma-separated: "+strings.Join(stageNames(), ", "))
	engine := f.String("engine", "", "sqlite or postgresql; both without it")
	f.IntVar(&o.runs, "runs", 0, "how often each figure is taken; 3 at small scale, 5 at full (imports 3)")
	f.StringVar(&o.dir, "dir", os.TempDir(), "where the data lies while it runs: the disk that is measured; user postgres must be able to enter it")
	f.BoolVar(&o.asJSON, "json", false, "print JSON")
	f.BoolVar(&o.asMarkdown, "markdown", false, "print Markdown, for doc/figures.md")
	f.StringVar(&o.cpuProfile, "cpuprofile", "", "write a CPU profile of this process (not of imports and the server) to this file")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	var ok bool
	if o.scale, ok = scales[*size]; !ok {
		return o, errors.New("-scale is small or full")
	}
	if o.stages, err = choose("-only", *only, stageNames()); err != nil {
		return o, err
	}
	if o.engines, err = choose("-engine", *engine, []string{sqlite, postgresql}); err != nil {
		return o, err
	}
	if o.runs == 0 {
		o.runs = o.scale.runs
	}
	if o.runs < 1 || f.NArg() > 0 {
		return o, errors.New("-runs is 1 or more, and there are no arguments")
	}
	return o, nil
}

// choose reads a list of names, all of them where it is empty.
func choose(what, list string, all []string) ([]string, error) {
	if list == "" {
		return all, nil
	}
	chosen := strings.Split(list, ",")
	for _, name := range chosen {
		if !slices.Contains(all, name) {
			return nil, fmt.Errorf("%s takes %s", what, strings.Join(all, ", "))
		}
	}
	return chosen, nil
}
