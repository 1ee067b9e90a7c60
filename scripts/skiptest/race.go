//go:build race

package skiptest

const raceDetector = true
