package main

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"time"
)

// Set by the build (-ldflags -X).
var (
	version = ""
	commit  = ""
	built   = "" // RFC 3339: when the commit was made
)

// buildVersion and buildCommit fall back on what the Go tool knows, for a
// binary that was built without the Makefile.
func buildVersion() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "unknown"
}

func buildCommit() string {
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

// buildTime is an instant that has passed since this binary was made, zero if
// nobody noted one.
func buildTime() time.Time {
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

type versionCmd struct{}

// Run prints what this binary is.
func (versionCmd) Run(con console) error {
	fmt.Fprintf(con.out, "gatewayd %s commit %s %s %s/%s\n",
		buildVersion(), buildCommit(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
	return nil
}
