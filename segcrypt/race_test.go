//go:build race

package segcrypt

// raceDetector is true in tests under the race detector, where sync.Pool drops some of what it is given, at random.
const raceDetector = true
