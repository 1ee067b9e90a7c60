package conf

import (
	"fmt"
	"slices"
	"strings"
)

// Rules is what a client may publish and subscribe to, as subjects of NATS.
type Rules struct{ Publish, Subscribe []string }

// ACL is who may say what, as mosquitto's acl_file has it.
type ACL struct {
	gateway  Rules            // with %u for the gateway's id
	Programs map[string]Rules // of the city, by the name in their certificate
}

// ParseACL reads an acl_file of mosquitto. What is not understood is an error: a rule that
// was passed over could be one that forbids.
func ParseACL(text string) (ACL, error) {
	acl := ACL{Programs: make(map[string]Rules)}
	program := ""
	number := 0
	for line := range strings.Lines(text) {
		number++
		word := strings.Fields(line)
		if len(word) == 0 || strings.HasPrefix(word[0], "#") {
			continue
		}
		known := false
		switch {
		case len(word) == 2 && word[0] == "user":
			program, known = word[1], true
			acl.Programs[program] = Rules{}
		case len(word) == 3 && word[0] == "pattern":
			known = acl.gateway.add(word[1], word[2])
		case len(word) == 3 && word[0] == "topic" && program != "":
			rules := acl.Programs[program]
			known = rules.add(word[1], word[2])
			acl.Programs[program] = rules
		}
		if !known {
			return ACL{}, fmt.Errorf("read ACL: line %d is not understood: %s", number, strings.TrimSpace(line))
		}
	}
	return acl, nil
}

// Gateway is what a gateway may do.
func (a ACL) Gateway(id string) Rules {
	named := func(subjects []string) (all []string) {
		for _, s := range subjects {
			all = append(all, strings.ReplaceAll(s, "%u", id))
		}
		return all
	}
	return Rules{Publish: named(a.gateway.Publish), Subscribe: named(a.gateway.Subscribe)}
}

// add adds a topic filter of MQTT; false if the kind of access is not known.
func (r *Rules) add(access, filter string) bool {
	subjects := subjectsOf(filter)
	if access == "write" || access == "readwrite" {
		r.Publish = append(r.Publish, subjects...)
	}
	if access == "read" || access == "readwrite" {
		r.Subscribe = append(r.Subscribe, subjects...)
	}
	return slices.Contains([]string{"read", "write", "readwrite"}, access)
}

// subjectsOf are the subjects of a topic filter. In MQTT "a/#" takes in "a" as well, in
// NATS "a.>" does not, and the subscription to it fails for want of the permission.
func subjectsOf(filter string) []string {
	subject := strings.NewReplacer("/", ".", "+", "*", "#", ">").Replace(filter)
	if parent, all := strings.CutSuffix(subject, ".>"); all {
		return []string{parent, subject}
	}
	return []string{subject}
}
