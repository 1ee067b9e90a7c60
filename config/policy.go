package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/pelletier/go-toml/v2/unstable"
)

// maxDepth is how deep the values of a policy may lie in each other.
const maxDepth = 8

// ParseHours reads working hours as the city sends them: a JSON object with the
// keys of the table [hours], its periods as the list "period". The same rules
// hold as for the file. The name stands in the problems, which know no lines.
// The error is of type Problems.
func ParseHours(name string, data []byte) (Hours, error) {
	d := &document{file: name}
	d.root = &table{doc: d}
	hours := &table{doc: d, path: "hours"}
	d.root.put("hours", &value{kind: unstable.Table, table: hours})
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	if len(data) > maxSize {
		d.report(0, "", "is larger than %d bytes", maxSize)
	} else if err := hours.fromJSON(dec); err != nil {
		d.report(0, "", "is no JSON object with the keys of [hours]: %s", oneLine(err.Error()))
	}
	if len(d.problems) > 0 {
		return Hours{}, d.problems
	}
	h := readHours(d.root.table("hours"), true, true)
	d.reportUnknown(d.root)
	if len(d.problems) > 0 {
		return Hours{}, d.problems
	}
	return h, nil
}

// fromJSON fills a table with the only value of a text, an object.
func (t *table) fromJSON(dec *json.Decoder) error {
	v, err := t.jsonValue("", dec, 0)
	if err != nil {
		return err
	}
	if v.kind != unstable.Table {
		return fmt.Errorf("it is %w", v.describe())
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return errors.New("something stands behind it")
	}
	for _, key := range v.table.order {
		t.put(key, v.table.values[key])
	}
	return nil
}

// jsonValue reads the next value, that of a key of this table; without a key
// it is the table itself.
func (t *table) jsonValue(key string, dec *json.Decoder, depth int) (*value, error) {
	if depth > maxDepth {
		return nil, errors.New("it is too deep")
	}
	token, err := dec.Token()
	if err != nil {
		return nil, err
	}
	switch token := token.(type) {
	case json.Delim:
		if token == '[' {
			return t.jsonList(key, dec, depth)
		}
		return t.jsonObject(key, dec, depth)
	case string:
		return &value{kind: unstable.String, text: token}, nil
	case bool:
		return &value{kind: unstable.Bool, text: strconv.FormatBool(token)}, nil
	case json.Number:
		return &value{kind: unstable.Float, text: token.String()}, nil
	}
	return &value{kind: unstable.Invalid}, nil // null
}

// jsonObject reads what follows "{".
func (t *table) jsonObject(key string, dec *json.Decoder, depth int) (*value, error) {
	in := &table{doc: t.doc, path: t.path}
	if key != "" {
		in.path = join(t.path, key)
	}
	for dec.More() {
		token, err := dec.Token()
		if err != nil {
			return nil, err
		}
		name, _ := token.(string) // the decoder lets nothing else stand here
		v, err := in.jsonValue(name, dec, depth+1)
		if err != nil {
			return nil, err
		}
		if in.has(name) {
			return nil, fmt.Errorf("%s is there twice", join(in.path, name))
		}
		in.put(name, v)
	}
	_, err := dec.Token() // "}"
	return &value{kind: unstable.Table, table: in}, err
}

// jsonList reads what follows "[". A list of objects only is a list of tables.
func (t *table) jsonList(key string, dec *json.Decoder, depth int) (*value, error) {
	v := &value{kind: unstable.ArrayTable}
	for dec.More() {
		item, err := t.jsonValue(key, dec, depth+1)
		if err != nil {
			return nil, err
		}
		if item.kind != unstable.Table {
			v.kind = unstable.Array
		}
		v.items = append(v.items, item)
	}
	if len(v.items) == 0 {
		v.kind = unstable.Array
	}
	_, err := dec.Token() // "]"
	return v, err
}
