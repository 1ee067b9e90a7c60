package demo

import (
	"os"
	"os/signal"
	"slices"
	"sync"
	"syscall"
)

// leaveNothing removes the demonstration's folder also when the process is to end at
// once: at the second signal to stop, when its terminal is closed, or when nobody
// reads what it prints any more. It does so until the returned function is called.
func leaveNothing(dir string, exit func(code int)) (release func()) {
	asked := []os.Signal{syscall.SIGINT, syscall.SIGTERM}
	atOnce := []os.Signal{syscall.SIGPIPE}
	if !signal.Ignored(syscall.SIGHUP) { // as under nohup(1)
		atOnce = append(atOnce, syscall.SIGHUP)
	}
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, append(asked, atOnce...)...)
	released := make(chan struct{})
	var waiting sync.WaitGroup
	waiting.Go(func() {
		for stops := 0; ; {
			var s os.Signal
			select {
			case s = <-signals:
			case <-released:
				return
			}
			if slices.Contains(asked, s) {
				if stops++; stops < 2 {
					continue
				}
			}
			for range 3 { // the gateway still runs and may make another file
				if os.RemoveAll(dir) == nil {
					break
				}
			}
			code := 1
			if n, ok := s.(syscall.Signal); ok {
				code = 128 + int(n) // as a shell reports a process that a signal has ended
			}
			exit(code)
			return
		}
	})
	return func() {
		signal.Stop(signals)
		close(released)
		waiting.Wait()
	}
}
