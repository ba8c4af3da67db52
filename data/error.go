package data

import (
	"errors"
	"io/fs"
	"strings"
)

// An Error is data that cannot be used. Its message is one line: where, what is wrong, what to do about it. Errors
// about a caller's Options have another type, so errors.As tells bad data from a bad request.
type Error struct {
	Path   string // the file or directory at fault
	Detail string // what is wrong with it
	Remedy string // what to do about it
	Err    error  // the cause, or nil
}

func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.Path + ": " + e.Detail)
	if e.Err != nil {
		// The path of an fs.PathError is already in the message.
		cause := e.Err
		if p, ok := errors.AsType[*fs.PathError](cause); ok {
			cause = p.Err
		}
		b.WriteString(": " + cause.Error())
	}
	b.WriteString("; " + e.Remedy)
	return b.String()
}

func (e *Error) Unwrap() error { return e.Err }
