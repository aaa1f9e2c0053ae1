package player

import (
	"fmt"
	"net/http"
	"strings"
)

// Result is what a session has seen so far.
type Result struct {
	// Fatal holds the errors that ended playback, in words; Warnings those the player recovered from.
	Fatal, Warnings []string
	// Refusals are the answers of 400 and above that the player's own errors told the page about.
	Refusals []Refusal
	// KeySystem is the key system the player was granted; empty for clear content.
	KeySystem string
	// Keys holds every key of every EME session with its last status.
	Keys []KeyStatus
	// KeySessions counts the calls of generateRequest, KeyErrors holds those that failed.
	KeySessions int
	KeyErrors   []string
	// WaitingForKey counts how often decoding stopped for want of a key.
	WaitingForKey int
	// Requests holds all requests of the page, in order.
	Requests []Request
	// DecodedFrames and DroppedFrames count video frames, AudioBytes counts coded audio bytes that were decoded.
	DecodedFrames, DroppedFrames int
	AudioBytes                   int64
	// CurrentTime is the media clock in seconds, Presented the media time of the frame shown last, or -1. VideoHeight is
	// the height of the decoded picture in pixels.
	CurrentTime float64
	Presented   float64
	VideoHeight int
	// Buffered holds the buffered ranges in seconds: "0.00-12.01".
	Buffered []string
	// OpenSessions counts the EME sessions that are not closed.
	OpenSessions int
	// Stalls holds where the clock stood still for over 0.3 s while it ought to run, Jumps where it leapt ahead by
	// more than 0.2 s, or back; seeks of the harness count as neither.
	Stalls, Jumps []Break
}

// Break is where the media clock did not run: its time, and for how long it stood, or how far it went at once, both in seconds.
type Break struct {
	At      float64 `json:"at"`
	Seconds float64 `json:"seconds"`
}

// Refusal is an answer as a player's error has it: the HTTP status, and the field Drm-Reason as far as CORS let the page read it.
type Refusal struct {
	Status int
	Reason string
}

// KeyStatus is one key of an EME session: its KID as 32 hexadecimal digits, and the status of EME ("usable").
type KeyStatus struct{ KID, Status string }

// Licenses returns the license and key requests, preflights excluded.
func (r Result) Licenses() []Request { return r.of(License) }

// Segments returns the requests for init and media segments.
func (r Result) Segments() []Request { return r.of(Segment) }

// Manifests returns the requests for manifests and playlists.
func (r Result) Manifests() []Request { return r.of(Manifest) }

func (r Result) of(kind Kind) (some []Request) {
	for _, q := range r.Requests {
		if q.Kind == kind && q.Method != http.MethodOptions {
			some = append(some, q)
		}
	}
	return some
}

// UsableKeys returns the distinct KIDs whose status is "usable".
func (r Result) UsableKeys() (kids []string) {
	seen := map[string]bool{}
	for _, k := range r.Keys {
		if k.Status == "usable" && !seen[k.KID] {
			seen[k.KID] = true
			kids = append(kids, k.KID)
		}
	}
	return kids
}

// String sums the result up in a few lines, for the message of a failed test. Queries are left out: they may carry tokens.
func (r Result) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "clock %.2f s, picture of %.2f s, %d frames decoded, %d dropped, %d audio bytes, height %d, buffered %v",
		r.CurrentTime, r.Presented, r.DecodedFrames, r.DroppedFrames, r.AudioBytes, r.VideoHeight, r.Buffered)
	fmt.Fprintf(&b, "\nstalls %v, jumps %v, open key sessions %d", r.Stalls, r.Jumps, r.OpenSessions)
	fmt.Fprintf(&b, "\nkey system %q, %d key sessions, keys %v, waited for a key %d times", r.KeySystem, r.KeySessions, r.Keys, r.WaitingForKey)
	for _, list := range []struct {
		name  string
		lines []string
	}{{"fatal", r.Fatal}, {"key error", r.KeyErrors}, {"warning", r.Warnings}} {
		for _, line := range list.lines {
			fmt.Fprintf(&b, "\n%s: %s", list.name, line)
		}
	}
	if len(r.Refusals) > 0 {
		fmt.Fprintf(&b, "\nrefusals: %v", r.Refusals)
	}
	for _, q := range r.Requests {
		target, _, _ := strings.Cut(q.URL, "?")
		fmt.Fprintf(&b, "\n%s %s %d %s %s", q.Kind, q.Method, q.Status, target, q.Failure)
	}
	return b.String()
}

// PlaybackError says that a player did not do what was asked, with all that was seen until then.
type PlaybackError struct {
	Player Player
	// Doing is what was asked: "starting", "seeking to 5.60 s".
	Doing  string
	Result Result
	// Picture is what the screen showed when starting failed: after a wrong key it must not be whole.
	Picture Picture
}

// Error names the player's own fatal errors, or what playback was stuck on.
func (e *PlaybackError) Error() string {
	reason := "no progress"
	if len(e.Result.Fatal) > 0 {
		reason = strings.Join(e.Result.Fatal, "; ")
	} else if e.Result.WaitingForKey > 0 {
		reason = "no progress, waiting for a key"
	}
	return fmt.Sprintf("%s: %s: %s\n%s", e.Player, e.Doing, reason, e.Result)
}
