package state

import (
	"context"
	"errors"
	"io/fs"
	"testing"
	"time"
)

// TestAClockThatIsSetBack covers row 40 for streams: neither a lease nor a refusal lasts longer for it, and nobody gets a place beside
// those who watch.
func TestAClockThatIsSetBack(t *testing.T) {
	const back = -time.Hour
	c := newClock()
	store := &faultyStore{MemoryStreams: NewMemoryStreams(time.Now)} // servers have a clock of their own
	n := newNode(t, store, c, FailClosed, subjects(1))
	n.want(t, "1", OutcomeAdmitted, nil)
	n.want(t, "2", OutcomeLimited, nil)
	c.pass(back)
	n.round(t.Context())
	n.want(t, "1", OutcomeAdmitted, nil)
	n.want(t, "2", OutcomeLimited, nil)
	if err := store.Release(t.Context(), n.Streams.find(n.gate.keyOf(stream("1"))).uses); err != nil {
		t.Fatal(err)
	}
	c.pass(time.Duration(refusalStands) * time.Millisecond)
	n.want(t, "2", OutcomeAdmitted, nil) // and not in an hour

	store.out.Store(true)
	c.pass(back)
	n.want(t, "2", OutcomeUnavailable, nil) // and not in an hour and 15 s
	store.out.Store(false)
	n.round(t.Context())
	n.want(t, "2", OutcomeAdmitted, nil)
}

// TestAClockThatJumpsAhead: all streams have idled out by the node's clock and are counted anew; there are no more of them than may be.
func TestAClockThatJumpsAhead(t *testing.T) {
	c := newClock()
	n := newNode(t, NewMemoryStreams(c.now), c, FailClosed, subjects(1))
	n.want(t, "1", OutcomeAdmitted, nil)
	c.pass(24 * time.Hour)
	n.round(t.Context())
	n.want(t, "2", OutcomeAdmitted, nil)
	n.want(t, "1", OutcomeLimited, nil)
}

// fullDisk keeps what it had.
type fullDisk struct {
	text []byte
	full bool
}

func (d *fullDisk) Load(context.Context) ([]byte, error) {
	if d.text == nil {
		return nil, fs.ErrNotExist
	}
	return d.text, nil
}

func (d *fullDisk) Save(_ context.Context, text []byte) error {
	if d.full {
		return errors.New("no space left on device")
	}
	d.text = text
	return nil
}

// TestAFullDisk covers row 40 for revocations: what cannot be kept is an error to the operator and holds nowhere, what was kept goes on to
// hold, and so does what could not be lifted.
func TestAFullDisk(t *testing.T) {
	disk := &fullDisk{}
	store, err := OpenMemoryRevocations(t.Context(), disk, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	first, second := revocation(t, RevokeSubject, "a", "first", time.Hour), revocation(t, RevokeSubject, "a", "second", time.Hour)
	if err := store.Add(t.Context(), []Revocation{first}); err != nil {
		t.Fatal(err)
	}
	disk.full = true
	if err := store.Add(t.Context(), []Revocation{second}); err == nil {
		t.Error("a revocation that could not be kept is no error")
	}
	if found, err := store.Remove(t.Context(), first.ID); err == nil || found {
		t.Errorf("lifting: %t, %v", found, err)
	}
	holds := func(what string, s *MemoryRevocations, want int) {
		t.Helper()
		if _, entries, err := s.Load(t.Context()); err != nil || len(entries) != want {
			t.Errorf("%s: %d revocations, %v; want %d", what, len(entries), err, want)
		}
	}
	holds("on the full disk", store, 1)
	again, err := OpenMemoryRevocations(t.Context(), disk, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	holds("after a restart", again, 1)
	disk.full = false
	if err := store.Add(t.Context(), []Revocation{second}); err != nil {
		t.Fatal(err)
	}
	holds("with room again", store, 2)
}
