package state

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"time"
)

// RedisStreams is the StreamStore of many nodes. What is counted under one key lies in one slot of a cluster; every step is one
// script, by the server's clock, and every key expires when the last of what is in it has ended.
type RedisStreams struct{ redis *Redis }

// Streams returns the StreamStore of the server.
func (r *Redis) Streams() *RedisStreams { return &RedisStreams{r} }

// keysOf returns the names of what is kept for a counted key. The part in braces decides the slot.
func (r *Redis) keysOf(key Digest) []string {
	base := r.prefix + ":{" + hex.EncodeToString(key[:]) + "}:"
	return []string{base + "playing", base + "started", base + "kicked"}
}

// Hold implements StreamStore.
func (s *RedisStreams) Hold(ctx context.Context, uses []StreamUse) ([]StreamStatus, error) {
	client, err := s.redis.get()
	if err != nil || len(uses) == 0 {
		return nil, err
	}
	calls := make([]call, len(uses))
	for i, use := range uses {
		calls[i] = call{s.redis.keysOf(use.Key), []string{
			string(use.Playback[:]), strconv.Itoa(use.Limit), millis(use.Idle), millis(use.Used), millis(use.Started),
			millis(KickedFor), strconv.Itoa(maxKicked), flag(use.Kick), flag(use.Look),
		}}
	}
	statuses := make([]StreamStatus, len(uses))
	for i, result := range streamsScript.run(ctx, client, calls) {
		reply, err := result.ToArray()
		if err != nil {
			return nil, failed("counting streams", err)
		}
		if len(reply) < 3 {
			return nil, failed("counting streams", errors.New("the reply is too short"))
		}
		numbers := make([]int64, 3)
		for j := range numbers {
			if numbers[j], err = reply[j].AsInt64(); err != nil {
				return nil, failed("counting streams", err)
			}
		}
		statuses[i] = StreamStatus{
			Result: StreamResult(numbers[0]), RetryAfter: time.Duration(numbers[1]) * time.Millisecond, New: numbers[2] == 1,
		}
		for _, message := range reply[3:] {
			playback, err := message.ToString()
			if err != nil || len(playback) != len(Digest{}) {
				return nil, failed("counting streams", fmt.Errorf("a playback of %d bytes", len(playback)))
			}
			statuses[i].Kicked = append(statuses[i].Kicked, Digest([]byte(playback)))
		}
	}
	return statuses, nil
}

// Release implements StreamStore.
func (s *RedisStreams) Release(ctx context.Context, uses []StreamUse) error {
	client, err := s.redis.get()
	if err != nil {
		return err
	}
	for _, use := range uses {
		for _, key := range s.redis.keysOf(use.Key)[:2] {
			if err := client.Do(ctx, client.B().Zrem().Key(key).Member(string(use.Playback[:])).Build()).Error(); err != nil {
				return failed("releasing a stream", err)
			}
		}
	}
	return nil
}

func millis(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }

func flag(set bool) string {
	if set {
		return "1"
	}
	return "0"
}
