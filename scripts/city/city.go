// Package city holds what the city's side needs to understand a gateway: the
// AsyncAPI document, and a check of messages against it.
//
// It exists so that the document is not only written but true: every test that
// sees a message published puts it through Validate.
package city

import (
	"bytes"
	_ "embed" // the document
	"encoding/json"
	"fmt"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"

	"presence/scripts/city/unpack"
)

//go:embed asyncapi.yaml
var document []byte

// AsyncAPI is the document: AsyncAPI 3 with JSON Schemas (2020-12).
func AsyncAPI() []byte { return bytes.Clone(document) }

// Validator judges messages by the document. It may be used by several
// goroutines.
type Validator struct {
	schemas  map[string]*jsonschema.Schema // by channel address behind the gateway, "alert/{code}"
	document *jsonschema.Schema            // what a signed message holds
	batches  *unpack.Reader
}

// prefix is how all addresses of the document begin.
const prefix = "presence/v1/{dinas}/{gateway}/"

// NewValidator reads the document.
func NewValidator() (*Validator, error) {
	var tree any
	if err := yaml.Unmarshal(document, &tree); err != nil {
		return nil, fmt.Errorf("read AsyncAPI: %w", err)
	}
	// Through JSON, so that numbers and maps have the types of JSON.
	asJSON, err := json.Marshal(tree)
	if err != nil {
		return nil, fmt.Errorf("read AsyncAPI: %w", err)
	}
	whole, err := jsonschema.UnmarshalJSON(bytes.NewReader(asJSON))
	if err != nil {
		return nil, fmt.Errorf("read AsyncAPI: %w", err)
	}
	compiler := jsonschema.NewCompiler()
	compiler.AssertFormat()
	const url = "asyncapi.json"
	if err := compiler.AddResource(url, whole); err != nil {
		return nil, fmt.Errorf("read AsyncAPI: %w", err)
	}
	var channels struct {
		Channels map[string]struct {
			Address  string `json:"address"`
			Messages map[string]struct {
				Ref string `json:"$ref"`
			} `json:"messages"`
		} `json:"channels"`
		Components struct {
			Messages map[string]struct {
				Payload struct {
					Ref string `json:"$ref"`
				} `json:"payload"`
			} `json:"messages"`
		} `json:"components"`
	}
	if err := json.Unmarshal(asJSON, &channels); err != nil {
		return nil, fmt.Errorf("read AsyncAPI: %w", err)
	}
	v := &Validator{schemas: make(map[string]*jsonschema.Schema)}
	if v.batches, err = unpack.NewReader(); err != nil {
		return nil, err
	}
	for name, c := range channels.Channels {
		address, ok := strings.CutPrefix(c.Address, prefix)
		if !ok || len(c.Messages) != 1 {
			return nil, fmt.Errorf("read AsyncAPI: channel %s: want an address below %s and one message", name, prefix)
		}
		for _, m := range c.Messages {
			ref := channels.Components.Messages[m.Ref[strings.LastIndexByte(m.Ref, '/')+1:]].Payload.Ref
			if v.schemas[address], err = compiler.Compile(url + ref); err != nil {
				return nil, fmt.Errorf("read AsyncAPI: channel %s: %w", name, err)
			}
		}
	}
	if v.document, err = compiler.Compile(url + "#/components/schemas/document"); err != nil {
		return nil, fmt.Errorf("read AsyncAPI: %w", err)
	}
	return v, nil
}

// ValidateDocument says what is wrong with the payload of a signed document, nil
// if nothing is.
func (v *Validator) ValidateDocument(payload []byte) error {
	return validate(v.document, "signed payload", payload)
}

// Validate says what is wrong with a message on a topic, nil if nothing is.
func (v *Validator) Validate(topic string, payload []byte) error {
	parts := strings.SplitN(topic, "/", 5)
	if len(parts) != 5 || parts[0] != "presence" || parts[1] != "v1" {
		return fmt.Errorf("topic %q is not in the AsyncAPI document", topic)
	}
	rest := parts[4]
	schema, ok := v.schemas[rest]
	for _, family := range []string{"alert/{code}", "cmd/{name}", "reply/{name}"} {
		if name, of := strings.CutPrefix(rest, family[:strings.IndexByte(family, '{')]); of && name != "" && !strings.Contains(name, "/") {
			schema, ok = v.schemas[family]
		}
	}
	if !ok {
		return fmt.Errorf("topic %q is not in the AsyncAPI document", topic)
	}
	if strings.HasPrefix(rest, "alert/") && len(payload) == 0 {
		return nil // clears the alert
	}
	if events, isBatch := strings.CutSuffix(topic, "/batch"); isBatch && rest == "event/batch" {
		return v.validateBatch(events, payload)
	}
	return validate(schema, "message on "+topic, payload)
}

// validateBatch says what is wrong with a batch: each event in it is to be as one that
// comes on its own topic.
func (v *Validator) validateBatch(topics string, payload []byte) error {
	all, err := v.batches.Events(payload)
	if err != nil {
		return fmt.Errorf("message on %s/batch: %w", topics, err)
	}
	for _, e := range all {
		kind, err := unpack.Kind(e)
		if err != nil {
			return fmt.Errorf("message on %s/batch: %w", topics, err)
		}
		if err := v.Validate(topics+"/"+kind, e); err != nil {
			return fmt.Errorf("in a batch: %w", err)
		}
	}
	return nil
}

func validate(schema *jsonschema.Schema, what string, payload []byte) error {
	message, err := jsonschema.UnmarshalJSON(bytes.NewReader(payload))
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	if err := schema.Validate(message); err != nil {
		return fmt.Errorf("%s: %w\n%s", what, err, payload)
	}
	return nil
}
