package state

import (
	"context"
	"crypto/sha256"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/caddy-drm/caddy-drm/internal/redistest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// testKey is a key of digests.
func testKey() [32]byte { return sha256.Sum256([]byte("test key of digests")) }

// digestOf names something in a test.
func digestOf(name string) Digest { return NewDigester(testKey()).Digest("test", name) }

// startRedis starts servers that end with the test.
func startRedis(t testing.TB, kind string) *redistest.Deployment {
	t.Helper()
	d, err := redistest.Start(kind, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	return d
}

// openRedis connects to them, and waits until that is done.
func openRedis(t testing.TB, d *redistest.Deployment) *Redis {
	t.Helper()
	r, err := OpenRedis(RedisConfig{
		Addresses: d.Addresses, Sentinel: d.Sentinel, Cluster: d.Kind == "cluster", Username: d.Username, Password: d.Password, TLS: d.TLS,
	}, func(err error) { t.Logf("connecting: %v", err) })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	eventually(t, 10*time.Second, "a connection", func() bool {
		_, err := r.Streams().Hold(context.Background(), []StreamUse{{Limit: 1, Idle: time.Second, Look: true}})
		return err == nil
	})
	return r
}

func eventually(t testing.TB, limit time.Duration, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(limit); !holds(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("there was no %s within %s", what, limit)
		}
	}
}

// stores is one implementation of everything.
type stores struct {
	streams     StreamStore
	revocations func(t *testing.T) RevocationStore // the view of another node on the same store
	replay      Replay
	grants      GrantStore
	cuts        CutStore
}

// everywhere runs a test against memory and against each kind of deployment.
func everywhere(t *testing.T, test func(t *testing.T, s stores)) {
	t.Run("memory", func(t *testing.T) {
		revocations, err := OpenMemoryRevocations(t.Context(), nil, time.Now)
		if err != nil {
			t.Fatal(err)
		}
		test(t, stores{
			streams: NewMemoryStreams(time.Now), replay: NewMemoryReplay(0, time.Now), grants: NewMemoryGrants(time.Now), cuts: NewMemoryCuts(time.Now),
			revocations: func(*testing.T) RevocationStore { return revocations },
		})
	})
	for _, kind := range redistest.Kinds {
		t.Run(kind, func(t *testing.T) {
			d := startRedis(t, kind)
			r := openRedis(t, d)
			test(t, stores{
				streams: r.Streams(), replay: r.Replay(time.Now), grants: r.Grants(time.Now), cuts: r.Cuts(),
				revocations: func(t *testing.T) RevocationStore { return openRedis(t, d).Revocations(time.Now) },
			})
		})
	}
}
