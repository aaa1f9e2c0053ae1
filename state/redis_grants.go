package state

import (
	"context"
	"fmt"
	"time"

	"github.com/redis/rueidis"
)

// RedisGrants is the GrantStore of many nodes.
type RedisGrants struct {
	redis *Redis
	now   func() time.Time
}

// Grants returns the GrantStore of the server.
func (r *Redis) Grants(now func() time.Time) *RedisGrants { return &RedisGrants{r, now} }

// grantTimeout bounds a question, if the caller does not.
const grantTimeout = time.Second

func (s *RedisGrants) key(id [16]byte) string {
	return fmt.Sprintf("%s:grant:{%x}", s.redis.prefix, id)
}

// Grant implements GrantStore.
func (s *RedisGrants) Grant(ctx context.Context, grants ...Grant) error {
	now := s.now()
	_, err := s.ask(ctx, len(grants), func(client rueidis.Client, i int) (command rueidis.Completed, ok bool) {
		left := grants[i].Until.Sub(now)
		if left <= 0 {
			return command, false
		}
		seconds := int64((left + time.Second - 1) / time.Second)
		return client.B().Set().Key(s.key(grants[i].ID)).Value("1").ExSeconds(seconds).Build(), true
	})
	return err
}

// Granted implements GrantStore.
func (s *RedisGrants) Granted(ctx context.Context, ids ...[16]byte) ([]time.Time, error) {
	answers, err := s.ask(ctx, len(ids), func(client rueidis.Client, i int) (rueidis.Completed, bool) {
		return client.B().Pttl().Key(s.key(ids[i])).Build(), true
	})
	now := s.now()
	until := make([]time.Time, len(ids))
	for i, answer := range answers {
		left, fault := answer.AsInt64()
		switch {
		case fault == nil && left > 0: // -2 is none, and -1 would be one without an end, which we do not make
			until[i] = now.Add(time.Duration(left) * time.Millisecond)
		case fault != nil && err == nil:
			err = failed("license grants", fault)
		}
	}
	return until, err
}

// Release implements GrantStore. A key that expires at once is deleted, by a command that operators have allowed already.
func (s *RedisGrants) Release(ctx context.Context, ids ...[16]byte) error {
	_, err := s.ask(ctx, len(ids), func(client rueidis.Client, i int) (rueidis.Completed, bool) {
		return client.B().Pexpire().Key(s.key(ids[i])).Milliseconds(0).Build(), true
	})
	return err
}

// ask sends n commands at once, to each server of a cluster those for it, and returns the answers, also beside the error of one of them. What
// command leaves out is not sent, and has no answer.
func (s *RedisGrants) ask(ctx context.Context, n int, command func(rueidis.Client, int) (rueidis.Completed, bool)) ([]rueidis.RedisResult, error) {
	client, err := s.redis.get()
	if err != nil {
		return nil, err
	}
	commands := make(rueidis.Commands, 0, n)
	for i := range n {
		if c, ok := command(client, i); ok {
			commands = append(commands, c)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, grantTimeout)
	defer cancel()
	answers := client.DoMulti(ctx, commands...)
	for _, answer := range answers {
		if err := answer.Error(); err != nil {
			return answers, failed("license grants", err)
		}
	}
	return answers, nil
}
