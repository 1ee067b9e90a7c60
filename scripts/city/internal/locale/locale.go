// Package locale tells in which language a program of the city speaks.
//
// It exists because the city's programs share nothing with the gateway, whose package
// language is its own, and all of them are to understand the same settings.
package locale

import "strings"

// Indonesian reports whether the environment asks for Indonesian: of LC_ALL, LC_MESSAGES and
// LANG, the first that is set decides (locale(7)). getenv is os.Getenv.
func Indonesian(getenv func(string) string) bool {
	for _, key := range []string{"LC_ALL", "LC_MESSAGES", "LANG"} {
		if value := getenv(key); value != "" {
			return value == "id" || strings.HasPrefix(value, "id_") || strings.HasPrefix(value, "id.")
		}
	}
	return false
}
