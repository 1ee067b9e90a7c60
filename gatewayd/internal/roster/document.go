package roster

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"presence/gatewayd/internal/presence"
)

// ParseEntries reads the body of a signed roster: a list of
// {"badge":...,"tag":...,"assurance":...} under the rules of the file. An empty list is a valid roster
// without pairs. Errors repeat none of the content.
func ParseEntries(body []byte, badges presence.Badges) ([]Pair, error) {
	var entries []Pair
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&entries); err != nil || entries == nil {
		return nil, errors.New(`has wrong entries: write a list of {"badge":...,"tag":...,"assurance":...} and nothing else, no names`)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("has more than one list of entries")
	}
	if len(entries) > maxPairs {
		return nil, fmt.Errorf("has more than %d entries: this is no roster of an office", maxPairs)
	}
	pairs := make([]Pair, 0, len(entries))
	seen := make(map[string]int) // badge: its entry
	for i, e := range entries {
		p, err := pair(e.Badge, e.Tag, string(e.Assurance), badges)
		if err != nil {
			return nil, fmt.Errorf("entry %d %w", i+1, err)
		}
		if before := seen[p.Badge]; before > 0 {
			return nil, fmt.Errorf("entry %d has the badge of entry %d again: keep one of the two", i+1, before)
		}
		seen[p.Badge] = i + 1
		pairs = append(pairs, p)
	}
	return sorted(pairs), nil
}
