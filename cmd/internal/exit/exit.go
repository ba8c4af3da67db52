// Package exit says how a command ends: the one table of exit codes, the errors behind them, and what Ctrl-C does.
package exit

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"ddpm/checkpoint"
	"ddpm/data"
)

// The exit codes of every command. A command stopped by a signal ends with 128 + its number: 130 for Ctrl-C, 143 for
// SIGTERM.
const (
	Done     = 0
	Failure  = 1 // anything not below
	BadUsage = 2 // the command line asks for what cannot be
	BadFile  = 3 // data or a checkpoint that cannot be used
	Diverged = 4 // training produced NaN or Inf step after step
	Disk     = 5 // no space, no permission
)

// Code returns the exit code for an error.
func Code(err error) int {
	if err == nil || errors.Is(err, flag.ErrHelp) {
		return Done
	}
	if stopped, ok := errors.AsType[Stopped](err); ok {
		return 128 + int(stopped.Signal)
	}
	if e, ok := errors.AsType[*coded](err); ok {
		return e.code
	}
	// A file that may not be read is the disk's or its permissions' fault before it is bad data.
	if checkpoint.IsDisk(err) {
		return Disk
	}
	if _, ok := errors.AsType[*data.Error](err); ok {
		return BadFile
	}
	if _, ok := errors.AsType[*checkpoint.Error](err); ok {
		return BadFile
	}
	return Failure
}

// coded is an error whose exit code is known where it arises.
type coded struct {
	code int
	error
}

func (e *coded) Unwrap() error { return e.error }

// Usage returns an error for a command line that asks for what cannot be. Its text says what to do instead.
func Usage(format string, args ...any) error { return &coded{BadUsage, fmt.Errorf(format, args...)} }

// Bad returns an error for a file that cannot be used, found out by a package that knows nothing of files.
func Bad(path string, err error) error { return &coded{BadFile, fmt.Errorf("%s: %w", path, err)} }

// Diverge returns an error for a training that produces no numbers any more.
func Diverge(format string, args ...any) error { return &coded{Diverged, fmt.Errorf(format, args...)} }

// Stopped is the error of a command that a signal stopped, after it saved its work.
type Stopped struct{ Signal syscall.Signal }

func (s Stopped) Error() string { return "stopped by signal: " + s.Signal.String() }

// Context returns a context that the first Ctrl-C or SIGTERM cancels, with a [Stopped] as its cause. A second one ends
// the program at once.
func Context() context.Context {
	ctx, cancel := context.WithCancelCause(context.Background())
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		stopped := Stopped{(<-signals).(syscall.Signal)}
		cancel(stopped)
		<-signals
		os.Exit(Code(stopped))
	}()
	return ctx
}

// With ends the program: with one line on standard error if there is an error to tell of.
func With(command string, err error) {
	_, stopped := errors.AsType[Stopped](err)
	if err != nil && !stopped && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintf(os.Stderr, "%s: %s\n", command, line(err))
	}
	os.Exit(Code(err))
}

// line returns an error's text as one line.
func line(err error) string { return strings.Join(strings.Split(err.Error(), "\n"), "; ") }
