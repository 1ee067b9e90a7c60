// Package debtest builds the Debian package for a test, and lets dpkg install it
// into a scratch root.
package debtest
