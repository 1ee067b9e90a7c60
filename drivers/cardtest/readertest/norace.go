//go:build !race

package readertest

const raceDetector = false
