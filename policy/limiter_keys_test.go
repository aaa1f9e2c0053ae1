package policy

import (
	"bytes"
	"encoding/binary"
	"runtime"
	"testing"
)

// TestLimiterRemembersLittleOfLongKeys: whoever makes up hosts or headers fills the table, and must not choose how much memory that takes.
func TestLimiterRemembersLittleOfLongKeys(t *testing.T) {
	limiter, err := NewLimiter(LimiterConfig{Rate: 1, Burst: 1, MaxKeys: 1 << 14})
	if err != nil {
		t.Fatal(err)
	}
	key := bytes.Repeat([]byte("a"), 15<<10)
	now := testNow
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for i := range 1 << 12 {
		binary.BigEndian.PutUint32(key[len(key)-4:], uint32(i))
		if allowed, _ := limiter.Allow(key, now); !allowed {
			t.Fatalf("key %d was counted before", i)
		}
		if allowed, _ := limiter.Allow(key, now); allowed {
			t.Fatalf("key %d is not counted", i)
		}
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if grown := int64(after.HeapInuse) - int64(before.HeapInuse); grown > 4<<20 {
		t.Errorf("4096 keys of 15 KiB take %d KiB", grown>>10)
	}
	runtime.KeepAlive(limiter)
}
