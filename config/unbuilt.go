package config

// unbuilt reports whether a value switches on a feature that this version does
// not have. Whoever builds the feature deletes its line.
func unbuilt(key, value string) bool {
	switch key {
	case "reader.chip":
		return value == "pn532"
	case "receiver.protocol":
		return value == "meshtastic"
	}
	return false
}
