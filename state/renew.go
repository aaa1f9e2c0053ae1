package state

import (
	"cmp"
	"context"
	"slices"
	"time"
)

// run renews all leases in rounds until ctx ends.
func (s *Streams) run(ctx context.Context) {
	timer := time.NewTimer(s.renew)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		s.round(ctx)
		if s.failures.Load() > 0 {
			timer.Reset(min(s.renew, retryRound))
		} else {
			timer.Reset(s.renew)
		}
	}
}

// retryRound is the pause after a round that did not reach the store, so that nodes notice soon that it is back.
const retryRound = 500 * time.Millisecond

// round renews the leases of playbacks that may still go on, forgets the others, and finds out whether the store answers again.
// Paused playbacks are renewed too, with the time of their last request: that is how a node learns that one was kicked.
func (s *Streams) round(ctx context.Context) {
	now := s.now().UnixMilli()
	var live []*lease
	s.each(func(l *lease) {
		switch {
		case l.over(now):
			s.remove(l)
		case StreamOutcome(l.outcome.Load()) == OutcomeAdmitted:
			live = append(live, l)
		}
	})
	if s.failures.Load() > 0 { // if there are more than may be by now, those that began first stay
		slices.SortFunc(live, func(a, b *lease) int { return cmp.Compare(a.started, b.started) })
	}
	reached := true
	for len(live) > 0 && reached && ctx.Err() == nil {
		n, uses := 0, 0
		for n < len(live) && uses < renewBatch {
			uses += len(live[n].uses)
			n++
		}
		reached = s.renewAll(ctx, live[:n], now) == nil
		live = live[n:]
	}
	s.local.Sweep()
	if s.failures.Load() > 0 && reached && ctx.Err() == nil {
		s.probe(ctx)
	}
}

// renewAll renews a batch of leases. If the store does not answer, they stay as they are, and run out in their time.
func (s *Streams) renewAll(ctx context.Context, leases []*lease, now int64) error {
	var uses []StreamUse
	for _, l := range leases {
		uses = append(uses, l.current(now)...)
	}
	start := time.Now()
	bounded, cancel := context.WithTimeout(ctx, renewTimeout)
	defer cancel()
	statuses, err := s.store.Hold(bounded, uses)
	if ctx.Err() == nil {
		s.note("renew", time.Since(start), err)
	}
	if err != nil {
		return err
	}
	if !s.inMemory && s.onFailure == FailLocal { // the node's own count follows, for when it is needed
		_, _ = s.local.Hold(ctx, uses)
	}
	for _, l := range leases {
		own := statuses[:len(l.uses)]
		statuses = statuses[len(l.uses):]
		l.settle(own, now)
		s.sendOff(l, own, now)
		s.giveUp(ctx, l, own)
	}
	return nil
}

// giveUp releases the other uses of a lease that one rule ended.
func (s *Streams) giveUp(ctx context.Context, l *lease, statuses []StreamStatus) {
	var held []StreamUse
	for i, status := range statuses {
		if status.Result == StreamHeld {
			held = append(held, l.uses[i])
		}
	}
	if len(held) < len(statuses) {
		s.giveBack(ctx, held)
		_ = s.local.Release(ctx, l.uses) // memory never fails
	}
}

// sendOff ends the leases that this node has on playbacks which had to make room for l. Other nodes learn of it in their next round.
func (s *Streams) sendOff(l *lease, statuses []StreamStatus, now int64) {
	for i, status := range statuses {
		for _, playback := range status.Kicked {
			found, ok := s.playbacks.Load(playback)
			if !ok {
				continue
			}
			kicked, _ := found.(*lease)
			for rule, use := range kicked.uses {
				if use.Key == l.uses[i].Key {
					kicked.kick(rule, now, KickedFor)
				}
			}
		}
	}
}

// probe asks for nothing, to see whether the store answers.
func (s *Streams) probe(ctx context.Context) {
	start := time.Now()
	bounded, cancel := context.WithTimeout(ctx, renewTimeout)
	defer cancel()
	_, err := s.store.Hold(bounded, []StreamUse{{Limit: 1, Idle: time.Second, Look: true}})
	if ctx.Err() == nil {
		s.note("probe", time.Since(start), err)
	}
}
