// Package deb holds what makes the Debian package: its description for nfpm, its
// maintainer scripts, and the way back from a version that does not start.
//
// It has no code. Its tests build packages and let dpkg install, upgrade, remove
// and purge them in a scratch root.
package deb
