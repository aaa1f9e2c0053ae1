package state

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/redis/rueidis"
)

// RedisRevocations is the RevocationStore of many nodes: a hash of entries, with a version, and a channel that tells of changes.
type RedisRevocations struct {
	redis *Redis
	now   func() time.Time
}

// Revocations returns the RevocationStore of the server.
func (r *Redis) Revocations(now func() time.Time) *RedisRevocations { return &RedisRevocations{r, now} }

// addBatch is how many entries are added in one step.
const addBatch = 1000

func (s *RedisRevocations) key(name string) string { return s.redis.prefix + ":{revocations}:" + name }

// do runs the script once.
func (s *RedisRevocations) do(ctx context.Context, what string, args ...string) ([]string, error) {
	client, err := s.redis.get()
	if err != nil {
		return nil, err
	}
	args = append([]string{what, strconv.Itoa(MaxRevocations), s.key("changed")}, args...)
	keys := []string{s.key("entries"), s.key("over"), s.key("version")}
	reply, err := revocationsScript.run(ctx, client, []call{{keys, args}})[0].AsStrSlice()
	if err == nil && len(reply) == 0 {
		err = errors.New("the reply is empty")
	}
	return reply, failed("revocations", err)
}

// Add implements RevocationStore.
func (s *RedisRevocations) Add(ctx context.Context, entries []Revocation) error {
	for len(entries) > 0 {
		batch := entries[:min(len(entries), addBatch)]
		entries = entries[len(batch):]
		args := make([]string, 0, 3*len(batch))
		for _, entry := range batch {
			text, err := json.Marshal(entry)
			if err != nil {
				return fmt.Errorf("writing a revocation: %w", err)
			}
			args = append(args, entry.ID, strconv.FormatInt(entry.Expires.UnixMilli(), 10), string(text))
		}
		reply, err := s.do(ctx, "add", args...)
		if err != nil {
			return err
		}
		if len(reply) == 2 {
			return ErrFull
		}
	}
	return nil
}

// Remove implements RevocationStore.
func (s *RedisRevocations) Remove(ctx context.Context, id string) (bool, error) {
	reply, err := s.do(ctx, "remove", id)
	return len(reply) == 2, err
}

// Version implements RevocationStore.
func (s *RedisRevocations) Version(ctx context.Context) (string, error) {
	client, err := s.redis.get()
	if err != nil {
		return "", err
	}
	version, err := client.Do(ctx, client.B().Get().Key(s.key("version")).Build()).ToString()
	if rueidis.IsRedisNil(err) {
		return "", nil
	}
	return version, failed("revocations", err)
}

// Load implements RevocationStore.
func (s *RedisRevocations) Load(ctx context.Context) (string, []Revocation, error) {
	reply, err := s.do(ctx, "load")
	if err != nil {
		return "", nil, err
	}
	now := s.now()
	entries := make([]Revocation, 0, len(reply)-1)
	for _, text := range reply[1:] {
		var entry Revocation
		if err := json.Unmarshal([]byte(text), &entry); err != nil {
			return "", nil, fmt.Errorf("reading a revocation: %w", err)
		}
		if now.Before(entry.Expires) {
			entries = append(entries, entry)
		}
	}
	return reply[0], entries, nil
}

// Watch implements RevocationStore. What is missed while there is no connection, the next poll finds.
func (s *RedisRevocations) Watch(ctx context.Context, changed func()) {
	ticker := time.NewTicker(connectPause)
	defer ticker.Stop()
	for {
		if client, err := s.redis.get(); err == nil {
			subscribe := client.B().Subscribe().Channel(s.key("changed")).Build()
			_ = client.Receive(ctx, subscribe, func(rueidis.PubSubMessage) { changed() }) // connected to again below
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// RedisReplay is the Replay of many nodes.
type RedisReplay struct {
	redis *Redis
	now   func() time.Time
}

// Replay returns the Replay of the server.
func (r *Redis) Replay(now func() time.Time) *RedisReplay { return &RedisReplay{r, now} }

// replayTimeout bounds a question, if the caller does not.
const replayTimeout = time.Second

// Seen implements Replay.
func (s *RedisReplay) Seen(ctx context.Context, id [16]byte, until time.Time) (bool, error) {
	client, err := s.redis.get()
	if err != nil {
		return false, err
	}
	left := until.Sub(s.now())
	if left <= 0 {
		return false, nil // whoever judges the time refuses it
	}
	ctx, cancel := context.WithTimeout(ctx, replayTimeout)
	defer cancel()
	key := s.key(id)
	seconds := int64((left + time.Second - 1) / time.Second)
	err = client.Do(ctx, client.B().Set().Key(key).Value("1").Nx().ExSeconds(seconds).Build()).Error()
	if rueidis.IsRedisNil(err) {
		return true, nil
	}
	return false, failed("single-use tokens", err)
}

// Known implements Replay.
func (s *RedisReplay) Known(ctx context.Context, id [16]byte) (bool, error) {
	client, err := s.redis.get()
	if err != nil {
		return false, err
	}
	ctx, cancel := context.WithTimeout(ctx, replayTimeout)
	defer cancel()
	err = client.Do(ctx, client.B().Get().Key(s.key(id)).Build()).Error()
	if rueidis.IsRedisNil(err) {
		return false, nil
	}
	return err == nil, failed("single-use tokens", err)
}

func (s *RedisReplay) key(id [16]byte) string {
	return fmt.Sprintf("%s:seen:{%x}", s.redis.prefix, id)
}
