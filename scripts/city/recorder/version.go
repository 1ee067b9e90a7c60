package main

import (
	"cmp"
	"fmt"
	"runtime"
	"runtime/debug"
)

// version is set by the Makefile (-ldflags "-X main.version=...").
var version string

type versionCmd struct{}

// Run implements the command.
func (*versionCmd) Run(con *console) error {
	said := version
	if info, ok := debug.ReadBuildInfo(); ok {
		said = cmp.Or(said, info.Main.Version)
	}
	_, err := fmt.Fprintf(con.out, "recorder %s %s %s/%s\n", cmp.Or(said, "unknown"), runtime.Version(), runtime.GOOS, runtime.GOARCH)
	return err
}
