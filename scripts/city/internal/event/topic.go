package event

import "strings"

// Batch is the kind in the topic of a batch, which is no kind of event.
const Batch = "batch"

var errTopic = because(CauseTopic, "the topic is not presence/v1/<dinas>/<gateway>/event/<kind>")

// address is what the topic of an event says. The broker lets a gateway publish only
// below its own name, so the topic is what says which gateway speaks.
type address struct {
	dinas, gateway, kind string
}

func parseTopic(topic string) (address, error) {
	rest, ok := strings.CutPrefix(topic, "presence/v1/")
	if !ok {
		return address{}, errTopic
	}
	parts := strings.Split(rest, "/")
	if len(parts) != 4 || parts[2] != "event" || !isName(parts[0]) || !isName(parts[1]) ||
		parts[3] == "" || len(parts[3]) > maxKind {
		return address{}, errTopic
	}
	return address{parts[0], parts[1], parts[3]}, nil
}

// isName reports whether a text can be the name of a department or a gateway.
func isName(s string) bool {
	if s == "" || len(s) > 32 {
		return false
	}
	for i := range len(s) {
		if c := s[i]; c != '-' && (c < '0' || c > '9') && (c < 'a' || c > 'z') {
			return false
		}
	}
	return true
}
