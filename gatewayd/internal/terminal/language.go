package terminal

import "strings"

// SpeaksIndonesian reads the language of messages from the environment
// (locale(7): LC_ALL, LC_MESSAGES, LANG; the first that is set decides).
func SpeaksIndonesian(getenv func(string) string) bool {
	for _, key := range []string{"LC_ALL", "LC_MESSAGES", "LANG"} {
		if v := getenv(key); v != "" {
			return v == "id" || strings.HasPrefix(v, "id_") || strings.HasPrefix(v, "id.")
		}
	}
	return false
}
