// Package manual writes what the Debian package installs beside the binary: the manual
// page and the completion for bash.
//
// Both are made from the commands as they are declared in package main, so that no
// command or flag can be missing from them.
package manual
