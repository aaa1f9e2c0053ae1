package state

import (
	"context"
	"errors"
	"testing"
	"time"
)

func TestErrorsOfAStoreWrapOneSentinel(t *testing.T) {
	r, err := OpenRedis(RedisConfig{Addresses: []string{"127.0.0.1:1"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	_, holding := r.Streams().Hold(ctx, []StreamUse{{Limit: 1}})
	_, seeing := r.Replay(time.Now).Seen(ctx, digestOf("x"), time.Now().Add(time.Minute))
	_, _, loading := r.Revocations(time.Now).Load(ctx)
	for _, err := range []error{holding, seeing, loading, r.Streams().Release(ctx, []StreamUse{{Limit: 1}})} {
		if !errors.Is(err, ErrUnavailable) {
			t.Errorf("%v", err)
		}
	}
	for _, bad := range []RedisConfig{{}, {Addresses: []string{"x:1"}, Sentinel: "m", Cluster: true}, {Addresses: []string{"x:1"}, Cluster: true, DB: 1}} {
		if r, err := OpenRedis(bad, nil); err == nil {
			r.Close()
			t.Errorf("%+v is accepted", bad)
		}
	}
}
