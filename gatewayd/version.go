package main

import (
	"fmt"
	"runtime"
	"runtime/debug"
)

// Set by the build (-ldflags -X).
var (
	version = ""
	commit  = ""
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

type versionCmd struct{}

// Run prints what this binary is.
func (versionCmd) Run(con console) error {
	fmt.Fprintf(con.out, "gatewayd %s commit %s %s %s/%s\n",
		buildVersion(), buildCommit(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
	return nil
}
