// Package childtest starts the programs that tests run beside themselves, such that they
// end with the test.
//
// It exists because Linux sends a child its parent-death signal when the thread that
// started it ends, not when the process does (prctl(2), PR_SET_PDEATHSIG). A Go program
// ends a thread whenever a goroutine returns that was locked to it, and that may be the
// thread on which an unrelated test once started its broker.
package childtest

import (
	"os/exec"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// Start is cmd.Start for a child that is killed when the process of the test ends, also
// when that is killed itself. A Pdeathsig in cmd.SysProcAttr is sent in place of SIGKILL.
// The caller waits for the command, as always.
func Start(cmd *exec.Cmd) error {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	if cmd.SysProcAttr.Pdeathsig == 0 {
		cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	}
	started := make(chan error)
	go func() {
		// This thread is nobody else's for as long as the child lives, so nobody ends it.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err != nil {
			return
		}
		for {
			// WNOWAIT leaves the child to the caller. It is no error here if the caller was
			// the first to wait for it.
			err := unix.Waitid(unix.P_PID, cmd.Process.Pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
			if err != unix.EINTR {
				return
			}
		}
	}()
	return <-started
}
