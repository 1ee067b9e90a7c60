package chain_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"presence/scripts/city/internal/chain/chaintest"
)

// member is where a value is in an event.
type member struct {
	path string
	get  any
	set  func(v any) // nothing: takes it away
}

// nothing stands for no value.
type nothing struct{}

// members are all values of an event, those within others too.
func members(prefix string, of any) (all []member) {
	switch of := of.(type) {
	case map[string]any:
		for _, name := range slices.Sorted(maps.Keys(of)) {
			all = append(all, member{prefix + name, of[name], func(v any) {
				if _, gone := v.(nothing); gone {
					delete(of, name)
				} else {
					of[name] = v
				}
			}})
			all = append(all, members(prefix+name+".", of[name])...)
		}
	case []any:
		for i := range of {
			all = append(all, member{prefix + strconv.Itoa(i), of[i], func(v any) { of[i] = v }})
			all = append(all, members(prefix+strconv.Itoa(i)+".", of[i])...)
		}
	}
	return all
}

// changeField changes one value of one event, of whatever depth.
func changeField(w *world) mutant {
	for {
		i := w.IntN(len(w.events))
		e := w.events[i].Clone()
		all := members("", map[string]any(e))
		where := all[w.IntN(len(all))]
		top, _, _ := strings.Cut(where.path, ".")
		if top != "link" && slices.Contains(chaintest.Mutable, top) {
			continue // see changeTime and changeNothing
		}
		if w.twice(i) && (top == "id" || top == "stream" || top == "seq") {
			continue // may be as if one of the two lines was not there
		}
		what := w.change(where, e)
		if e.Core() == w.events[i].Clone().Core() && e["link"] == w.events[i]["link"] {
			continue // says the same
		}
		m := mutant{what: w.id(i) + " " + what, lines: w.with(i, e.JSON()), at: []string{w.id(i), fmt.Sprintf("%v-%v", e["stream"], e["seq"])}}
		if w.firstOf(i) { // the files may begin with the second then
			m.at = append(m.at, w.around(i)...)
		}
		if w.lastOf(i) && heldByNothing[top] {
			m.at, m.either = nil, true
		}
		return m
	}
}

// heldByNothing is what a gateway's last seal says beside what it signs.
var heldByNothing = map[string]bool{"anchors": true, "boot": true, "boot_ms": true, "dinas": true, "v": true, "x": true}

// change changes a value, and says how.
func (w *world) change(m member, e chaintest.Event) string {
	if _, inList := m.get.(map[string]any); !inList && w.IntN(12) == 0 {
		e["x"] = 1
		return "x added"
	}
	to := w.other(m.get)
	m.set(to)
	return fmt.Sprintf("%s: %v to %v", m.path, m.get, to)
}

func (w *world) other(v any) any {
	if v == nil {
		return []any{0, "", false, map[string]any{}, []any{}}[w.IntN(5)]
	}
	if w.IntN(4) == 0 { // another type
		return []any{nil, true, json.Number("7"), "7", []any{v}, map[string]any{"x": v}}[w.IntN(6)]
	}
	switch v := v.(type) {
	case json.Number:
		return json.Number(w.otherDigit(v.String()))
	case string:
		return w.otherLetter(v)
	case bool:
		return !v
	case []any:
		if len(v) == 0 {
			return []any{0}
		}
		if w.IntN(2) == 0 {
			return v[1:]
		}
		return append(slices.Clone(v), v[0])
	case map[string]any:
		other := maps.Clone(v)
		for _, name := range slices.Sorted(maps.Keys(v)) {
			delete(other, name)
			break
		}
		other["y"] = 1
		return other
	}
	panic(fmt.Sprintf("%T", v))
}

// otherDigit changes one digit.
func (w *world) otherDigit(number string) string {
	b := []byte(number)
	for {
		if i := w.IntN(len(b)); b[i] >= '0' && b[i] <= '9' {
			b[i] = '1' + (b[i]-'0'+byte(w.IntN(8)))%9
			return string(b)
		}
	}
}

// alike are letters that look alike.
var alike = strings.NewReplacer("a", "а", "e", "е", "o", "о", "d", "ԁ", "0", "O", "1", "l", "-", "‐", ":", "։")

func (w *world) otherLetter(s string) string {
	if look := alike.Replace(s); look != s && w.IntN(3) == 0 {
		return look
	}
	if s == "" {
		return "x"
	}
	b := []rune(s)
	i := w.IntN(len(b))
	switch w.IntN(4) {
	case 0:
		return string(slices.Delete(b, i, i+1))
	case 1:
		return string(slices.Insert(b, i, '\u200b'))
	case 2:
		return strings.ToUpper(s) + " "
	}
	b[i]++
	if b[i] >= 0xD800 && b[i] < 0xE000 {
		b[i] = 'x'
	}
	return string(b)
}

// changeTime moves an event's time: beyond what the anchors of its boot allow, or within.
func changeTime(w *world) mutant {
	i := w.pick(func(i int) bool { return w.events[i]["time"] != nil })
	e := w.events[i].Clone()
	at, err := time.Parse(time.RFC3339Nano, e["time"].(string))
	if err != nil {
		panic(err)
	}
	m := mutant{what: w.id(i), at: []string{w.id(i)}}
	switch w.IntN(4) {
	case 0:
		at = at.Add(time.Duration(w.IntN(1900)-950) * time.Millisecond)
		m.at = nil
	case 1: // as far as one pleases, if one says that it may be wrong by as much
		at = at.Add(time.Hour)
		e["time_error_ms"] = 3_600_000
		m.at = nil
	case 2:
		at = at.Add(-time.Duration(1+w.IntN(1000)) * time.Minute)
	case 3:
		e["time"] = "soon"
	}
	if e["time"] != "soon" {
		e["time"] = at.Format("2006-01-02T15:04:05.000Z07:00")
	}
	m.lines, m.what = w.with(i, e.JSON()), fmt.Sprintf("%s: %v to %v", w.id(i), w.events[i]["time"], e["time"])
	return m
}

// changeNothing writes an event differently that says the same, or changes what nothing
// can hold.
func changeNothing(w *world) mutant {
	i := w.IntN(len(w.events))
	e := w.events[i].Clone()
	m := mutant{what: w.id(i)}
	line := e.JSON()
	switch w.IntN(7) {
	case 0:
		line = "  " + strings.ReplaceAll(line, `":`, "\" :\t") + " \r"
	case 1:
		line = strings.ReplaceAll(line, `"kind"`, `"\u006bind"`)
	case 2: // other text of the same numbers
		line = strings.ReplaceAll(line, `"v":1`, `"v":1.0e0`)
	case 3:
		var parts []string
		for name, v := range e { // in another order
			parts = append(parts, chaintest.Event{name: v}.JSON())
		}
		line = strings.ReplaceAll("{"+strings.Join(parts, ",")+"}", "},{", ",")
		line = "{" + line[2:len(line)-2] + "}"
		if json.Unmarshal([]byte(line), new(any)) != nil || chaintest.Parse(line).Core() != e.Core() {
			line = e.JSON()
		}
	case 4:
		e["time_quality"] = "trusted"
		line = e.JSON()
	case 5:
		if w.events[i]["time"] != nil {
			e["time_error_ms"] = 700
		}
		line = e.JSON()
	case 6:
		if !w.twice(i) {
			e["rev"] = 9
		}
		line = e.JSON()
	}
	m.lines = w.with(i, line)
	return m
}
