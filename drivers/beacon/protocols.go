package beacon

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// The protocols, by their names in the configuration.
const (
	Meshtastic = "meshtastic"
	IDAS       = "idas"
	Kenwood    = "kenwood"
	Reyax      = "reyax"
	Waypoint   = "waypoint"
)

// protocol is all that this package knows of one radio protocol.
type protocol struct {
	name string // in the configuration

	// decoder makes its decoder, nil where this version has none.
	decoder func(r io.Reader, opt Options) Decoder

	// The name of a tag is this prefix, a colon and the id that the radio sends.
	prefix   string
	isID     func(id string) bool // whether a tag can have this id
	examples []string             // of whole names, for messages about a wrong one
}

// protocols is the table of all protocols: a new one is a row here.
func protocols() []protocol {
	return []protocol{
		{IDAS, NewIDAS, "idas", isIDASID, []string{"idas:200"}},
		{Kenwood, NewKenwood, "kenwood", isKenwoodID, []string{"kenwood:100-1001", "kenwood:U00002"}},
		{Meshtastic, NewMeshtastic, "mesh", isMeshID, []string{"mesh:1c2f13fc"}},
		{Reyax, NewReyax, "reyax", isReyaxID, []string{"reyax:50"}},
		{Waypoint, NewWaypoint, "waypoint", isWaypointID, []string{"waypoint:NAME"}},
	}
}

// Protocols names the protocols that New knows, in alphabetical order.
func Protocols() []string {
	var names []string
	for _, p := range protocols() {
		if p.decoder != nil {
			names = append(names, p.name)
		}
	}
	return names
}

// New makes the decoder for a protocol by its name in the configuration.
func New(protocol string, r io.Reader, opt Options) (Decoder, error) {
	opt = opt.complete()
	if !slices.Contains(Payloads(), opt.Payload) {
		return nil, fmt.Errorf("unknown payload %q: want one of %s", opt.Payload, strings.Join(Payloads(), ", "))
	}
	for _, p := range protocols() {
		if p.name == protocol && p.decoder != nil {
			return p.decoder(r, opt), nil
		}
	}
	return nil, fmt.Errorf("unknown protocol %q: want one of %s", protocol, strings.Join(Protocols(), ", "))
}

// maxTagName is the longest name of a tag that a person may write, in bytes.
const maxTagName = 128

// TagName is the name of a tag as Fix.Tag has it, or false for a text that no
// decoder can ever give. The digits of a Meshtastic node may be in either case,
// as in Meshtastic's own programs; they are returned in lower case.
func TagName(s string) (name string, ok bool) {
	if len(s) > maxTagName || !utf8.ValidString(s) || strings.ContainsFunc(s, unicode.IsControl) || strings.TrimSpace(s) != s {
		return "", false
	}
	prefix, id, found := strings.Cut(s, ":")
	if !found {
		return "", false
	}
	for _, p := range protocols() {
		if p.prefix != prefix {
			continue
		}
		if p.name == Meshtastic {
			id = strings.ToLower(id)
		}
		if p.isID(id) {
			return prefix + ":" + id, true
		}
	}
	return "", false
}

// TagExamples are names of tags, one or more of each protocol.
func TagExamples() []string {
	var all []string
	for _, p := range protocols() {
		all = append(all, p.examples...)
	}
	return all
}

// isMeshID takes the number of a Meshtastic node, 32 bits in hex.
func isMeshID(id string) bool {
	_, err := strconv.ParseUint(id, 16, 32)
	return err == nil && len(id) == 8 && strings.ToLower(id) == id
}

// isKenwoodID takes fleet and unit, or the unit ID of a NEXEDGE radio.
func isKenwoodID(id string) bool {
	fleet, unit, fleetSync := strings.Cut(id, "-")
	_, ok := kenwoodTag([]byte(fleet), []byte(unit), fleetSync)
	return ok
}

// isReyaxID takes a LoRa address: 16 bits (RYLR998 AT command guide, AT+ADDRESS),
// as decimal digits without leading zeros.
func isReyaxID(id string) bool {
	n, err := strconv.ParseUint(id, 10, 16)
	return err == nil && strconv.FormatUint(n, 10) == id
}

// isIDASID takes the unit ID of an NXDN radio, 1 to 65519 (NXDN TS 1-A, "unit ID": the
// numbers above are reserved), as decimal digits without leading zeros.
func isIDASID(id string) bool {
	n, err := strconv.ParseUint(id, 10, 16)
	return err == nil && n >= 1 && n <= idasMaxUnit && strconv.FormatUint(n, 10) == id
}

// isWaypointID takes any name that is not empty and has no blank at its ends.
func isWaypointID(id string) bool { return id != "" && id[0] != ' ' }
