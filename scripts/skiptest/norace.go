//go:build !race

package skiptest

const raceDetector = false
