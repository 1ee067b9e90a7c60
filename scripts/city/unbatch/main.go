// Command unbatch shows the events of gateways as text, those in batches among them:
//
//	mosquitto_sub ... -F '%t %x' -t 'presence/v1/+/+/event/#' | unbatch
//
// It reads a message a line, its topic and its payload in hexadecimal digits, and writes
// an event a line as `mosquitto_sub -v` would: the topic and the JSON. An event of a batch
// is written with the topic that it would have had alone. A message that is no such thing
// is named on stderr and left out; the exit status is 1 then, once the input has ended.
package main

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"

	"presence/scripts/city/unpack"
)

// longestTopic is the most bytes of a topic (MQTT 3.1.1, 1.5.3).
const longestTopic = 1<<16 - 1

func main() {
	refused, err := run(os.Stdin, os.Stdout, os.Stderr)
	if err != nil {
		fmt.Fprintln(os.Stderr, "unbatch:", err)
	}
	if err != nil || refused > 0 {
		os.Exit(1)
	}
}

// run is the command. It returns how many messages were left out.
func run(in io.Reader, out, errs io.Writer) (refused int, err error) {
	reader, err := unpack.NewReader()
	if err != nil {
		return 0, err
	}
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, longestTopic+1+2*unpack.MaxFrame+1)
	for lines.Scan() {
		text, err := show(reader, lines.Bytes())
		if err != nil {
			refused++
			fmt.Fprintf(errs, "unbatch: %v\n", err)
			continue
		}
		if _, err := out.Write(text); err != nil {
			return refused, fmt.Errorf("write events: %w", err)
		}
	}
	if err := lines.Err(); err != nil {
		return refused, fmt.Errorf("read messages: %w", err)
	}
	return refused, nil
}

// show returns a message's events, a line each.
func show(reader *unpack.Reader, line []byte) ([]byte, error) {
	topic, digits, found := bytes.Cut(line, []byte(" "))
	if !found {
		return nil, errors.New("a line without a payload: mosquitto_sub needs -F '%t %x'")
	}
	payload := make([]byte, hex.DecodedLen(len(digits)))
	if _, err := hex.Decode(payload, digits); err != nil {
		return nil, fmt.Errorf("read payload on %.200q: %w", topic, err)
	}
	topics, isBatch := bytes.CutSuffix(topic, []byte("/event/batch"))
	if !isBatch {
		if bytes.ContainsAny(payload, "\r\n") {
			return nil, fmt.Errorf("a payload of several lines on %.200q", topic)
		}
		return fmt.Appendf(nil, "%s %s\n", topic, payload), nil
	}
	events, err := reader.Events(payload)
	if err != nil {
		return nil, fmt.Errorf("on %.200q: %w", topic, err)
	}
	var b []byte
	for _, e := range events {
		kind, err := unpack.Kind(e)
		if err != nil {
			return nil, fmt.Errorf("on %.200q: %w", topic, err)
		}
		b = fmt.Appendf(b, "%s/event/%s %s\n", topics, kind, e)
	}
	return b, nil
}
