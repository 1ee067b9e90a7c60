package event

import "github.com/go-json-experiment/json"

// lost is one of the ranges that a gap event names. The database computes with them, so
// they have to be what they seem.
type lost struct {
	Stream *string `json:"stream"`
	From   *int64  `json:"from"`
	To     *int64  `json:"to"` // null: to the stream's end
}

// checkRanges checks what a gap event says is lost; nil where it names nothing.
func checkRanges(value []byte) error {
	if value == nil || isNull(value) {
		return nil
	}
	var ranges []lost
	if err := json.Unmarshal(value, &ranges); err != nil {
		return because(CauseField, `ranges: want a list of {"stream","from","to"}`)
	}
	for _, r := range ranges {
		if r.Stream == nil || r.From == nil {
			return because(CauseField, "ranges: one without stream or from")
		}
		if _, err := parseStream("ranges: stream", []byte(*r.Stream)); err != nil {
			return err
		}
		if *r.From < 1 || *r.From > maxNumber || r.To != nil && (*r.To < *r.From || *r.To > maxNumber) {
			return because(CauseField, "ranges: one from %d that does not end behind it", *r.From)
		}
	}
	return nil
}

// checkPrevious checks what a start event says of the stream before; null where there
// was none.
func checkPrevious(value []byte) error {
	if value == nil || isNull(value) {
		return nil
	}
	var previous struct {
		Stream *string `json:"stream"`
		Seq    *int64  `json:"seq"`
		Clean  bool    `json:"clean"`
	}
	if err := json.Unmarshal(value, &previous); err != nil || previous.Stream == nil || previous.Seq == nil {
		return because(CauseField, `previous: want {"stream","seq","clean"} or null`)
	}
	if *previous.Seq < 0 || *previous.Seq > maxNumber {
		return because(CauseField, "previous: seq %d: want 0 or more", *previous.Seq)
	}
	_, err := parseStream("previous: stream", []byte(*previous.Stream))
	return err
}
