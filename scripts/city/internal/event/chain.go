package event

import (
	"bytes"
	"crypto/sha256"
	"slices"

	"github.com/go-json-experiment/json/jsontext"
)

// NextLink is the link of an event with this core behind one with the link before
// (schema link of asyncapi.yaml). 16 zero bytes are before the first event of all.
func NextLink(before, core []byte) []byte {
	digest := sha256.Sum256(core)
	both := sha256.Sum256(slices.Concat(before, digest[:]))
	return both[:linkBytes]
}

// Core is what the link of an event rests on: its JSON in the canonical form of RFC 8785,
// without its link and what a correction may change.
func Core(payload []byte) ([]byte, error) {
	reader := jsontext.NewDecoder(bytes.NewReader(payload))
	if _, err := reader.ReadToken(); err != nil {
		return nil, notJSON(err)
	}
	object := []byte{'{'}
	for reader.PeekKind() == '"' {
		name, err := reader.ReadValue()
		if err != nil {
			return nil, notJSON(err)
		}
		member := append(slices.Clone(name), ':')
		inCore := isInCore(text(name))
		value, err := reader.ReadValue()
		if err != nil {
			return nil, notJSON(err)
		}
		if !inCore {
			continue
		}
		if len(object) > 1 {
			object = append(object, ',')
		}
		object = append(append(object, member...), value...)
	}
	core := jsontext.Value(append(object, '}'))
	if err := core.Canonicalize(); err != nil {
		return nil, notJSON(err)
	}
	return core, nil
}

func isInCore(name []byte) bool {
	switch string(name) {
	case "link", "rev", "time", "time_quality", "time_error_ms", "time_min", "time_max":
		return false
	}
	return true
}
