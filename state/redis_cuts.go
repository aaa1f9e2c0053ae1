package state

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/redis/rueidis"
)

// RedisCuts is the CutStore of many nodes.
type RedisCuts struct{ redis *Redis }

// Cuts returns the CutStore of the server.
func (r *Redis) Cuts() *RedisCuts { return &RedisCuts{r} }

// cutTimeout bounds a question, if the caller does not.
const cutTimeout = time.Second

// Cut implements CutStore.
func (s *RedisCuts) Cut(ctx context.Context, id [16]byte, start, keep time.Duration) (time.Duration, error) {
	client, err := s.redis.get()
	if err != nil {
		return 0, err
	}
	ctx, cancel := context.WithTimeout(ctx, cutTimeout)
	defer cancel()
	key := fmt.Sprintf("%s:cut:{%x}", s.redis.prefix, id)
	nanos := strconv.FormatInt(int64(start), 10)
	seconds := max(1, int64((keep+time.Second-1)/time.Second))
	before, err := client.Do(ctx, client.B().Set().Key(key).Value(nanos).Nx().Get().ExSeconds(seconds).Build()).ToString()
	switch {
	case rueidis.IsRedisNil(err):
		return start, nil
	case err != nil:
		return 0, failed("beginnings of Periods", err)
	}
	if err := client.Do(ctx, client.B().Pexpire().Key(key).Milliseconds(1000*seconds).Build()).Error(); err != nil {
		return 0, failed("beginnings of Periods", err)
	}
	kept, err := strconv.ParseInt(before, 10, 64)
	if err != nil {
		return 0, failed("beginnings of Periods", errors.New("what is kept is no number"))
	}
	return time.Duration(kept), nil
}
