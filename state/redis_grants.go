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
func (s *RedisGrants) Grant(ctx context.Context, id [16]byte, until time.Time) error {
	client, err := s.redis.get()
	if err != nil {
		return err
	}
	left := until.Sub(s.now())
	if left <= 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, grantTimeout)
	defer cancel()
	seconds := int64((left + time.Second - 1) / time.Second)
	return failed("license grants", client.Do(ctx, client.B().Set().Key(s.key(id)).Value("1").ExSeconds(seconds).Build()).Error())
}

// Granted implements GrantStore.
func (s *RedisGrants) Granted(ctx context.Context, id [16]byte) (time.Time, error) {
	client, err := s.redis.get()
	if err != nil {
		return time.Time{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, grantTimeout)
	defer cancel()
	left, err := client.Do(ctx, client.B().Pttl().Key(s.key(id)).Build()).AsInt64()
	if rueidis.IsRedisNil(err) || err == nil && left <= 0 { // -2 is none, and -1 would be one without an end, which we do not make
		return time.Time{}, nil
	}
	if err != nil {
		return time.Time{}, failed("license grants", err)
	}
	return s.now().Add(time.Duration(left) * time.Millisecond), nil
}

// Release implements GrantStore. A key that expires at once is deleted, by a command that operators have allowed already.
func (s *RedisGrants) Release(ctx context.Context, id [16]byte) error {
	client, err := s.redis.get()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, grantTimeout)
	defer cancel()
	return failed("license grants", client.Do(ctx, client.B().Pexpire().Key(s.key(id)).Milliseconds(0).Build()).Error())
}
