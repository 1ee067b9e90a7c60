package gateway

import (
	"fmt"
	"strings"

	"presence/gatewayd/internal/alerts"
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
func (d *Gateway) taskConditions() (as []alerts.Alert) {
	for _, f := range d.crew.Failing() {
		as = append(as, alerts.TaskFailing.Raise(alerts.Values{"error": firstLine(f.Err)}, f.Name))
	}
	return as
}
