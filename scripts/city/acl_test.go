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
	for _, secret := range []string{"event/badge", "reply/resync", "roster"} {
		if covered(rules(t, string(acl), "topic read"), secret) {
			t.Errorf("monitoring may read %s", secret)
		}
	}
}
