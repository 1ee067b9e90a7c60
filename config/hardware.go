package config

// hardware is a kind of device that a configuration names by one word.
type hardware struct {
	name  string
	gain  bool // of a reader chip: gain_db can be set
	maxHz int  // of a reader chip: the fastest SPI clock that it takes
	baud  int  // of a protocol: the usual speed of its receivers' serial ports
	data  bool // of a protocol: it carries data of any form, which payload names
}

// chips is the table of reader chips. The drivers behind them are in the table
// where the gateway opens its readers; a test compares the two.
func chips() []hardware {
	return []hardware{
		{name: "mfrc522", gain: true, maxHz: 10_000_000},
		{name: "pn532", maxHz: 5_000_000},
	}
}

// protocols is the table of the protocols that receivers of tags speak. The
// decoders are in the table of presence/drivers/beacon; a test compares the two.
func protocols() []hardware {
	return []hardware{
		{name: "idas", baud: 9600},
		{name: "kenwood", baud: 9600},
		{name: "meshtastic", baud: 115200},
		{name: "reyax", baud: 115200, data: true},
		{name: "waypoint", baud: 9600},
	}
}

// Chips names the reader chips that this version has a driver for.
func Chips() []string { return namesOf(chips()) }

// Protocols names the protocols of tags that this version has a decoder for.
func Protocols() []string { return namesOf(protocols()) }

// Payloads names the forms in which tags may put their position into a protocol's data,
// the usual one first. What reads them is in the table of presence/drivers/beacon; a
// test compares the two.
func Payloads() []string { return []string{"rmc", "latlon", "json"} }

func namesOf(table []hardware) (names []string) {
	for _, h := range table {
		names = append(names, h.name)
	}
	return names
}

// hardware is the row of a table that a key names. Where the word is wrong, that is
// reported and the row of the default returned: the zero row where there is no default.
func (t *table) hardware(key, byDefault string, known []hardware) hardware {
	rows := make(map[string]hardware)
	for _, h := range known {
		rows[h.name] = h
	}
	return rows[t.choice(key, byDefault, namesOf(known)...)]
}
