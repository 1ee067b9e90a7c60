// Package build says which build of gatewayd this is: its version, its commit and
// when that was made. The Makefile sets them through the linker; a binary that was
// built without the Makefile falls back on what the Go tool noted in it.
//
// It is a package of its own because both the commands and the running gateway
// print it, and because the linker's -X needs one fixed path of the variables.
package build

import (
	"runtime/debug"
	"time"
)

// Set by the Makefile (-ldflags "-X presence/gatewayd/internal/build.version=...").
var (
	version = ""
	commit  = ""
	built   = "" // RFC 3339: when the commit was made
)

// Version is the version as git describes it (v1.2.0, v1.2.0-3-gabcdef0), or
// "unknown".
func Version() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "unknown"
}

// Commit is the commit's hash, of which the Makefile sets the first 12 digits, or
// "unknown".
func Commit() string {
	if commit != "" {
		return commit
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				return s.Value
			}
		}
	}
	return "unknown"
}

// Time is when the commit was made, so that it lies before any run of this binary: a
// clock that shows an earlier time is wrong. It is zero if nobody noted it.
func Time() time.Time {
	text := built
	if info, ok := debug.ReadBuildInfo(); ok && text == "" {
		for _, s := range info.Settings {
			if s.Key == "vcs.time" {
				text = s.Value
			}
		}
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return time.Time{}
	}
	return t
}
