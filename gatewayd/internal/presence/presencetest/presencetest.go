// Package presencetest makes events with all fields set, for tests of what is printed or
// described of events: it exists so that such a test fails where somebody adds a field
// and forgets it there.
package presencetest

import (
	"fmt"
	"reflect"
	"time"

	"github.com/google/uuid"

	"presence/gatewayd/internal/presence"
)

// Timing is one that has all fields.
func Timing() presence.Timing {
	at := time.Date(2026, 11, 23, 0, 30, 0, 0, time.UTC)
	return presence.Timing{Quality: presence.QualityBounded, Time: at, Error: time.Second, Min: at.Add(-time.Second), Max: at.Add(time.Second), Rev: 2}
}

// Records is a record of each kind with all fields set.
func Records() (all []presence.Record) {
	body := map[presence.Kind]string{
		presence.KindStart: "Start", presence.KindBadge: "Badge", presence.KindTag: "Tag",
		presence.KindGap: "Gap", presence.KindPresence: "Person", presence.KindSeal: "Seal",
	}
	for kind := presence.Kind(1); kind.String() != "unknown"; kind++ {
		r := presence.Record{Stream: presence.ID(uuid.Must(uuid.NewV7())), Seq: 7}
		draft := reflect.ValueOf(&r.Draft).Elem()
		fill(draft)
		fill(reflect.ValueOf(&r.Chain).Elem())
		for i := range draft.NumField() {
			if draft.Field(i).Kind() == reflect.Pointer && draft.Type().Field(i).Name != body[kind] {
				draft.Field(i).SetZero()
			}
		}
		r.Kind = kind
		all = append(all, r)
	}
	return all
}

// fill sets everything to something.
func fill(v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem())
	case reflect.Struct:
		for i := range v.NumField() {
			fill(v.Field(i))
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(v.Index(0))
	case reflect.Array:
		for i := range v.Len() {
			fill(v.Index(i))
		}
	case reflect.Map:
		key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		fill(key)
		fill(value)
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(key, value)
	case reflect.String:
		v.SetString("x")
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Float64:
		v.SetFloat(1.5)
	case reflect.Int, reflect.Int16, reflect.Int64:
		v.SetInt(1)
	case reflect.Uint8, reflect.Uint64:
		v.SetUint(1)
	default:
		panic(fmt.Sprintf("cannot fill a %s", v.Type()))
	}
}

// Fields are the names of all fields of a JSON value: "previous.stream",
// "ranges[].from".
func Fields(v any) []string { return fields(v, "") }

func fields(v any, path string) (names []string) {
	switch v := v.(type) {
	case map[string]any:
		for key, in := range v {
			name := key
			if path != "" {
				name = path + "." + key
			}
			names = append(append(names, name), fields(in, name)...)
		}
	case []any:
		for _, in := range v {
			names = append(names, fields(in, path+"[]")...)
		}
	}
	return names
}
