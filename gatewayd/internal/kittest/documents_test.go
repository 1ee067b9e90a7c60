package kittest_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"presence/gatewayd/internal/kittest"
	"presence/scripts/brokertest"
	"presence/scripts/deb/debtest"
)

// brokerCalls are the calls of mosquitto_sub and mosquitto_pub in a document's blocks of
// code, the program's name first: bash calls them as they stand there, and programs of
// these names write down what they are called with.
func brokerCalls(t *testing.T, document string) (calls [][]string) {
	t.Helper()
	bin, written := t.TempDir(), filepath.Join(t.TempDir(), "calls")
	for _, name := range []string{"mosquitto_sub", "mosquitto_pub"} {
		debtest.Write(t, filepath.Join(bin, name), "#!/bin/sh\n{ printf '%s\\n' "+name+" \"$@\"; echo; } >>'"+written+"'\n", 0o755)
	}
	var script strings.Builder
	script.WriteString("set -e\n")
	for _, m := range regexp.MustCompile("(?m)^```sh\n((?:.*\n)*?)```$").FindAllStringSubmatch(document, -1) {
		for line := range strings.Lines(strings.ReplaceAll(m[1], "\\\n", "")) {
			// What is piped into a filter, or follows as a comment, is of no account here.
			line, _, _ = strings.Cut(line, " | ")
			if regexp.MustCompile(`^(\w+\(\) \{.*mosquitto_|city |tell |sub |mosquitto_)`).MatchString(line) {
				script.WriteString(strings.TrimRight(line, "\n") + "\n")
			}
		}
	}
	cmd := exec.Command("bash", "-c", script.String())
	cmd.Env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s\nof\n%s", err, out, script.String())
	}
	for call := range strings.SplitSeq(strings.TrimSpace(debtest.Read(t, written)), "\n\n") {
		calls = append(calls, strings.Split(call, "\n"))
	}
	return calls
}

// options are what a call gives an option, each time that it names it.
func options(call []string, name string) (values []string) {
	for i, arg := range call[:len(call)-1] {
		if arg == name {
			values = append(values, call[i+1])
		}
	}
	return values
}

// Whoever types the documents' commands for the broker hears what they are there to
// show, and is heard: with the certificate that they name, under the delivered ACL. A
// broker says nothing to who subscribes to what he may not read.
func TestDocumentsNameProgramsThatMayDoWhatTheyShow(t *testing.T) {
	t.Parallel()
	city := kittest.New(t, tree, "admin", "city", "monitor")
	broker := city.Broker()
	cert, key := city.Issue("dinkes-01")
	gateway := call(t, city.As(broker, cert, key), "dinkes-01", true)
	const own = "presence/v1/dinkes/dinkes-01/"
	for _, topic := range []string{"status", "info", "health", "alert/no-rtc", "event/badge", "event/batch", "log"} {
		done(t, gateway.Publish(own+topic, 1, true, "{}")) // retained, so that who comes later hears it
	}
	heard := make(chan string, 10)
	for _, topic := range []string{"receipt", "roster", "policy/hours", "cmd/+"} {
		done(t, gateway.Subscribe(own+topic, 1, func(_ mqtt.Client, m mqtt.Message) { heard <- m.Topic() }))
	}
	dir := city.CA
	for _, name := range []string{"roster.json", "policy.json"} {
		debtest.Write(t, filepath.Join(dir, name), "{}", 0o600)
	}

	run := func(call []string, more ...string) string {
		t.Helper()
		args := []string{"-h", "127.0.0.1", "-p", strconv.Itoa(broker.Port)}
		for _, name := range []string{"--cafile", "--cert", "--key"} {
			args = append(args, name, strings.Join(options(call, name), " "))
		}
		cmd := exec.Command(call[0], append(args, more...)...)
		cmd.Dir = dir
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Errorf("%s: %v\n%s", strings.Join(call, " "), err, out)
		}
		return string(out)
	}
	subscribed, published := 0, 0
	for _, call := range brokerCalls(t, debtest.Read(t, city.Path("scripts/city/MESSAGES.md"))) {
		for _, topic := range options(call, "-t") {
			if call[0] == "mosquitto_sub" {
				subscribed++
				if out := run(call, "-t", topic, "-W", "5", "-C", "1", "-F", "%t"); !strings.HasPrefix(out, own) {
					t.Errorf("nothing comes of %s", strings.Join(call, " "))
				}
				continue
			}
			published++
			args := []string{"-t", topic, "-q", "1"}
			for _, name := range []string{"-m", "-f"} {
				for _, value := range options(call, name) {
					args = append(args, name, value)
				}
			}
			if slices.Contains(call, "-r") {
				args = append(args, "-r")
			}
			run(call, args...)
			select {
			case got := <-heard:
				if got != topic {
					t.Errorf("the gateway hears %s, want %s", got, topic)
				}
			case <-time.After(brokertest.Wait):
				t.Errorf("the gateway does not hear %s", strings.Join(call, " "))
			}
		}
	}
	if subscribed < 6 || published < 3 {
		t.Errorf("the document subscribes %d times and publishes %d times: are its calls found?", subscribed, published)
	}
}
