//go:build race

package autograd_test

// raceDetector says that sync.Pool forgets at random, as it does under the race detector.
const raceDetector = true
