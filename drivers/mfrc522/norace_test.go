//go:build !race

package mfrc522_test

const raceDetector = false
