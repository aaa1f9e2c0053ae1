package caddymodule

import (
	"sync"
	"time"
)

const (
	// strangerBurst is how many records of denied strangers are written at once, and strangerPause the time in which one more may be.
	strangerBurst = 20
	strangerPause = time.Second
)

// strangerRecords bounds the records of license requests that nobody we know has made: with a seal that is not ours, or without a
// credential that is authentic. Anybody can send those as fast as the network allows. They are counted all the same, and each record says
// how many before it were not written. The zero value is ready. It is safe for concurrent use.
type strangerRecords struct {
	mu         sync.Mutex
	spent      int       // records of the burst that are not regained yet
	last       time.Time // until when spent was regained
	unrecorded uint64
}

// take reports whether a record may be written, and how many were left out since the last.
func (s *strangerRecords) take(now time.Time) (unrecorded uint64, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.regain(now)
	if s.spent >= strangerBurst {
		s.unrecorded++
		return 0, false
	}
	s.spent++
	unrecorded, s.unrecorded = s.unrecorded, 0
	return unrecorded, true
}

// regain gives back a record for each pause that went by. A clock that was set back begins anew from there.
func (s *strangerRecords) regain(now time.Time) {
	if now.Before(s.last) {
		s.last = now
	}
	if regained := int64(now.Sub(s.last) / strangerPause); regained < int64(s.spent) {
		s.spent -= int(regained)
		s.last = s.last.Add(time.Duration(regained) * strangerPause)
		return
	}
	s.spent, s.last = 0, now
}

// isStranger reports whether nobody is known to have made a license request: its seal is not ours, or no token or session of it is
// authentic. On a site without tokens whoever has the seal is a viewer.
func (q *request) isStranger() bool {
	return q.seal.Asset == "" || q.Token != nil && !q.license.admitted && q.license.subject == ""
}
