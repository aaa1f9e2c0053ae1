//go:build !race

package segcrypt

const raceDetector = false
