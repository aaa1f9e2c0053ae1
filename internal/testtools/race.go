//go:build race

package testtools

// RaceEnabled is true in a build with the race detector, where code runs many times slower and reflection over what other
// goroutines use is reported.
const RaceEnabled = true
