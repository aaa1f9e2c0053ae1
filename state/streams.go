package state

import (
	"context"
	"time"
)

// StreamUse is one playback's use of one limit.
type StreamUse struct {
	// Key is what is counted: a viewer, a device or a title of one tenant. Playback is what counts as one.
	Key, Playback Digest
	// Limit is how many playbacks the key may have at the same time, at least 1.
	Limit int
	// Idle is how long after its last request a playback still counts.
	Idle time.Duration
	// Kick ends the playback that began first where one more would be too many. Else the new one is refused.
	Kick bool
	// Used and Started are how long ago the last and the first request were. A store counts by its own clock.
	Used, Started time.Duration
	// Look only asks what would be, and changes nothing.
	Look bool
}

// StreamResult is how a StreamUse came out.
type StreamResult uint8

// The results. The zero value is no answer.
const (
	// StreamHeld: the playback counts, or would.
	StreamHeld StreamResult = iota + 1
	// StreamLimited: as many others as may are being watched.
	StreamLimited
	// StreamKicked: a later playback has taken the place of this one.
	StreamKicked
)

// StreamStatus is a store's answer to one StreamUse.
type StreamStatus struct {
	Result StreamResult
	// RetryAfter is when a place is free at the earliest (StreamLimited), or for how long the playback stays out (StreamKicked).
	RetryAfter time.Duration
	// New is true if the playback did not count before.
	New bool
	// Kicked are playbacks that had to make room.
	Kicked []Digest
}

// StreamStore counts the playbacks of all nodes. All methods are safe for concurrent use. A store that does not answer returns
// an error; no method changes more than it says if the context ends early, but it may have changed that.
type StreamStore interface {
	// Hold takes or renews each use, and says how it came out: one status for each use, in their order. A playback that was kicked
	// stays out for KickedFor. One that the store has forgotten counts again as far as there is room.
	Hold(ctx context.Context, uses []StreamUse) ([]StreamStatus, error)
	// Release ends uses that count.
	Release(ctx context.Context, uses []StreamUse) error
}

const (
	// KickedFor is how long a playback that was kicked stays out: a player that goes on asking must not kick in its turn.
	KickedFor = time.Hour
	// maxKicked is how many kicked playbacks of one key are remembered, the last ones.
	maxKicked = 64
)

// FailureMode is what holds for streams while the store does not answer and leases have run out.
type FailureMode uint8

// The modes. The zero value is FailLocal.
const (
	// FailLocal lets each node count on its own: with n nodes a limit is up to n times as high.
	FailLocal FailureMode = iota
	// FailOpen admits everybody.
	FailOpen
	// FailClosed refuses.
	FailClosed
)

// String returns the word that configurations use.
func (m FailureMode) String() string {
	return [...]string{FailLocal: "local", FailOpen: "fail_open", FailClosed: "fail_closed"}[m]
}
