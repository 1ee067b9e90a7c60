package city_test

import (
	"os"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"presence/scripts/city"
)

// rules are the topics of an acl_file's lines that begin with some words, below
// the gateway.
func rules(t *testing.T, text string, words ...string) (topics []string) {
	t.Helper()
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) != 3 || !slices.Contains(words, f[0]+" "+f[1]) {
			continue
		}
		for _, prefix := range []string{"presence/v1/+/%u/", "presence/v1/+/+/"} {
			if topic, ok := strings.CutPrefix(f[2], prefix); ok {
				topics = append(topics, topic)
			}
		}
	}
	return topics
}

// section is the part of an acl_file that is about one of the city's programs.
func section(t *testing.T, acl, program string) string {
	t.Helper()
	_, rest, found := strings.Cut(acl, "\nuser "+program+"\n")
	if !found {
		t.Fatalf("the ACL has no user %s", program)
	}
	lines, _, _ := strings.Cut(rest, "\nuser ")
	return lines
}

// programs are the users of an acl_file.
func programs(acl string) (names []string) {
	for line := range strings.Lines(acl) {
		if name, ok := strings.CutPrefix(strings.TrimSpace(line), "user "); ok {
			names = append(names, name)
		}
	}
	return names
}

// covered reports whether one of some filters takes in a topic.
func covered(filters []string, topic string) bool {
	return slices.ContainsFunc(filters, func(filter string) bool {
		if family, ok := strings.CutSuffix(filter, "/+"); ok {
			rest, in := strings.CutPrefix(topic, family+"/")
			return in && !strings.Contains(rest, "/")
		}
		return filter == topic
	})
}

// The ACL lets gateways say and hear what the AsyncAPI document says, and lets
// the city answer.
func TestACLFollowsAsyncAPI(t *testing.T) {
	acl, err := os.ReadFile("gatewayd.acl")
	if err != nil {
		t.Fatal(err)
	}
	var document struct {
		Channels   map[string]struct{ Address string }
		Operations map[string]struct {
			Action  string
			Channel struct {
				Ref string `yaml:"$ref"`
			}
		}
	}
	if err := yaml.Unmarshal(city.AsyncAPI(), &document); err != nil {
		t.Fatal(err)
	}
	write := rules(t, string(acl), "pattern write", "pattern readwrite")
	read := rules(t, string(acl), "pattern read", "pattern readwrite")
	answer := rules(t, string(acl), "topic write")
	for name, o := range document.Operations {
		channel := strings.ReplaceAll(strings.TrimPrefix(o.Channel.Ref, "#/channels/"), "~1", "/")
		topic := strings.TrimPrefix(document.Channels[channel].Address, "presence/v1/{dinas}/{gateway}/")
		switch {
		case topic == "":
			t.Errorf("%s has no channel", name)
		case o.Action == "send" && !covered(write, topic):
			t.Errorf("a gateway may not write %s", topic)
		case o.Action == "send" && covered(answer, topic):
			t.Errorf("the city may write %s in a gateway's name", topic)
		case o.Action == "receive" && !covered(read, topic):
			t.Errorf("a gateway may not read %s", topic)
		case o.Action == "receive" && covered(write, topic):
			t.Errorf("a gateway may write %s, which is the city's", topic)
		case o.Action == "receive" && !covered(answer, topic):
			t.Errorf("the city may not write %s", topic)
		}
	}
	for _, name := range programs(string(acl)) {
		if name == "recorder" || name == "city" {
			continue
		}
		for _, secret := range []string{"event/badge", "event/tag", "roster"} {
			if covered(rules(t, section(t, string(acl), name), "topic read"), secret) {
				t.Errorf("%s may read %s", name, secret)
			}
		}
	}
	// Only by hand is anything cleared that is a gateway's to say (ca.sh retire).
	for _, name := range programs(string(acl)) {
		if name != "admin" && len(rules(t, section(t, string(acl), name), "topic readwrite")) > 0 {
			t.Errorf("%s may write in a gateway's name", name)
		}
	}
	for _, name := range programs(string(acl)) {
		if monitors := name == "monitor" || strings.HasPrefix(name, "telegraf-"); monitors &&
			len(rules(t, section(t, string(acl), name), "topic write")) > 0 {
			t.Errorf("%s may write", name)
		}
	}
}

// The authority makes certificates for the programs that the ACL knows, and a
// program for each input of Telegraf is among them.
func TestAuthorityAndACLKnowTheSamePrograms(t *testing.T) {
	acl := programs(read(t, "gatewayd.acl"))
	_, rest, found := strings.Cut(read(t, "ca.sh"), "\nprograms=\"")
	list, _, _ := strings.Cut(rest, "\"")
	authority := strings.Fields(list)
	slices.Sort(acl)
	slices.Sort(authority)
	if !found || !slices.Equal(acl, authority) {
		t.Errorf("the ACL has %v, ca.sh %v", acl, authority)
	}
}
