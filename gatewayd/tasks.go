package main

import (
	"fmt"
	"strings"

	"presence/gatewayd/internal/health"
	"presence/gatewayd/internal/presence"
)

// taskDied is what health says of the reader or receiver of a task that ended
// although it should not have: where it happened is in the log.
func taskDied(err error) error {
	return fmt.Errorf("the gateway's own task for it failed and is started again: %s", firstLine(err))
}

// firstLine leaves out the stack that a panic carries.
func firstLine(err error) string {
	line, _, _ := strings.Cut(err.Error(), "\n")
	return line
}

// taskConditions are the tasks that are started again and again and do not work.
func (d *daemon) taskConditions() (cs []health.Condition) {
	for _, f := range d.crew.Failing() {
		why := firstLine(f.Err)
		cs = append(cs, health.Condition{
			Code: taskCode(f.Name), Level: presence.LevelFault,
			ID: fmt.Sprintf("Bagian gateway %q gagal terus-menerus dan dijalankan ulang. Hubungi pembuatnya dengan keluaran: journalctl -u gatewayd. (%s)", f.Name, why),
			EN: fmt.Sprintf("The gateway's task %q fails again and again and is started anew. Tell its makers what journalctl -u gatewayd says. (%s)", f.Name, why),
		})
	}
	return cs
}

// taskCode is the alert of a task. Names of tasks hold spaces and what a
// configuration may call a reader; codes are lower-case letters, digits and
// hyphens.
func taskCode(name string) string {
	return "task-" + strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9', r == '-':
			return r
		}
		return '-'
	}, strings.ToLower(name))
}
