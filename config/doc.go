// Package config turns the configuration file, strict TOML, into values that
// the rest of the gateway can use without checking them again.
//
// It exists so that a mistake in the file is found at the desk and not at the
// door: whatever is unknown, of the wrong type, out of range, contradictory or
// missing is reported with file, line and key, everything at once. The file
// gatewayd.toml beside this code is the commented reference; it is embedded
// in the binary and held to the code by a test.
//
// The way through the package: document.go reads TOML into tables that know
// their lines, values.go takes single values out of them and reports what is
// wrong with each, read.go and hours.go know the tables and the rules between
// keys, hardware.go the kinds of readers and receivers, files.go and badgeca.go look at the
// files that the configuration names, machine.go at the machine it is checked on.
package config
