// Package pi reads what a Raspberry Pi tells about itself: its model, its
// temperature, whether its power is weak and its storage dying.
//
// It exists because most gateways that fail in an office fail by power or by
// SD card, and both announce themselves in files under /proc and /sys. A file
// that is not there is a thing unknown, never an error: the same daemon runs on
// boards that have other files, or none.
package pi
