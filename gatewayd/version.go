package main

import (
	"fmt"
	"runtime"

	"presence/gatewayd/internal/build"
)

type versionCmd struct{}

// Run prints what this binary is.
func (versionCmd) Run(con console) error {
	fmt.Fprintf(con.out, "gatewayd %s commit %s %s %s/%s\n",
		build.Version(), build.Commit(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
	return nil
}
