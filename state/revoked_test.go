package state

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddy-drm/caddy-drm/drm"
	"github.com/caddy-drm/caddy-drm/token"
)

const testKID = "00112233-4455-6677-8899-aabbccddeeff"

func revocation(t testing.TB, kind RevocationKind, tenant, value string, life time.Duration) Revocation {
	t.Helper()
	r, err := NewRevocation(NewDigester(testKey()), kind, tenant, value, "", time.Now(), time.Now().Add(life))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func follow(t testing.TB, store RevocationStore) *Revocations {
	t.Helper()
	r := NewRevocations(t.Context(), RevocationConfig{Store: store, Digest: NewDigester(testKey())})
	t.Cleanup(r.Close)
	return r
}

func TestRevocationStores(t *testing.T) {
	everywhere(t, func(t *testing.T, s stores) {
		here := follow(t, s.revocations(t))
		question := Question{Site: named("one"), Subject: "viewer"}
		eventually(t, 5*time.Second, "first look", func() bool { return here.Freshness(time.Now()) == Fresh })
		entry := revocation(t, RevokeSubject, "one", "viewer", time.Hour)
		if err := here.Add(t.Context(), entry, revocation(t, RevokeTitle, "", "/vod/a", 1500*time.Millisecond)); err != nil {
			t.Fatal(err)
		}
		if here.Revoked(time.Now(), question) != RevokeSubject || here.Len() != 2 {
			t.Error("the node that revoked does not know")
		}
		// A node that starts later knows at once, and one that runs hears of changes.
		if _, memory := s.streams.(*MemoryStreams); memory {
			checkLifted(t, here, entry.ID, question)
			return
		}
		there := follow(t, s.revocations(t))
		if there.Revoked(time.Now(), question) != RevokeSubject || there.Revoked(time.Now(), Question{Path: "/vod/a/b"}) != RevokeTitle {
			t.Error("a node that starts does not know")
		}
		checkLifted(t, there, entry.ID, question)
		eventually(t, 5*time.Second, "lifting elsewhere", func() bool { return here.Revoked(time.Now(), question) == "" })
		start := time.Now()
		if err := there.Add(t.Context(), entry); err != nil {
			t.Fatal(err)
		}
		eventually(t, 5*time.Second, "revocation elsewhere", func() bool { return here.Revoked(time.Now(), question) == RevokeSubject })
		t.Logf("another node knew after %s", time.Since(start))
		eventually(t, 5*time.Second, "end of what is over", func() bool { return here.Revoked(time.Now(), Question{Path: "/vod/a/b"}) == "" })
	})
}

func checkLifted(t *testing.T, r *Revocations, id string, question Question) {
	t.Helper()
	for _, want := range []bool{true, false} {
		if found, err := r.Remove(t.Context(), id); err != nil || found != want {
			t.Errorf("lifting: %t, %v; want %t", found, err, want)
		}
	}
	if r.Revoked(time.Now(), question) != "" {
		t.Error("what was lifted still holds")
	}
}

// A server that comes back without what it held gets it from the nodes.
func TestNodesGiveBackWhatAServerHasLost(t *testing.T) {
	d := startRedis(t, "single")
	here := follow(t, openRedis(t, d).Revocations(time.Now))
	entry := revocation(t, RevokeSubject, "", "viewer", time.Hour)
	if err := here.Add(t.Context(), entry); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Data[0].Do("FLUSHALL"); err != nil {
		t.Fatal(err)
	}
	eventually(t, 5*time.Second, "entry in the server", func() bool {
		reply, err := d.Data[0].Do("HLEN", "drm:{revocations}:entries")
		return err == nil && reply == "1"
	})
	if here.Revoked(time.Now(), Question{Subject: "viewer"}) != RevokeSubject {
		t.Error("the node forgot")
	}
	if reply, err := d.Data[0].Do("HVALS", "drm:{revocations}:entries"); err != nil || strings.Contains(reply, "viewer") {
		t.Errorf("the server knows the subject: %s, %v", reply, err)
	}
}

func TestEveryKindIsFound(t *testing.T) {
	store, err := OpenMemoryRevocations(t.Context(), nil, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	r := follow(t, store)
	for _, test := range []struct {
		kind     RevocationKind
		tenant   string
		value    string
		hit      Question
		innocent Question
	}{
		{RevokeSubject, "one", "viewer", Question{Site: named("one"), Subject: "viewer"}, Question{Site: named("two"), Subject: "viewer"}},
		{RevokeSubject, "", "everywhere", Question{Site: named("two"), Subject: "everywhere"}, Question{Site: named("two"), Subject: "nowhere"}},
		{RevokeToken, "one", "id-1", Question{Site: named("one"), TokenID: token.Claims{ID: "id-1"}.IDDigest()}, Question{Site: named("one"), TokenID: "id-1"}},
		{RevokeDevice, "one", "tv", Question{Site: named("one"), Device: "tv"}, Question{Site: named("one"), Subject: "tv"}},
		{RevokeSession, "one", "0102030405060708", Question{Site: named("one"), Playback: [8]byte{1, 2, 3, 4, 5, 6, 7, 8}}, Question{Site: named("one"), Playback: [8]byte{1}}},
		{RevokeTitle, "one", "/vod/a/", Question{Site: named("one"), Path: "/vod/a/1.m4s"}, Question{Site: named("one"), Path: "/vod/ab/1.m4s"}},
		{RevokeTitle, "one", "/vod/b", Question{Site: named("one"), Path: "/audio/1.m4s", Asset: "/vod/b/"}, Question{Site: named("one"), Path: "/audio/1.m4s", Asset: "/vod/c/"}},
		{RevokeTitle, "all", "/", Question{Site: named("all"), Path: "/x"}, Question{Site: named("one"), Path: "/x"}},
	} {
		if err := r.Add(t.Context(), revocation(t, test.kind, test.tenant, test.value, time.Hour)); err != nil {
			t.Fatal(err)
		}
		if got := r.Revoked(time.Now(), test.hit); got != test.kind {
			t.Errorf("%s %s: %q", test.kind, test.value, got)
		}
		if got := r.Revoked(time.Now(), test.innocent); got != "" {
			t.Errorf("%s %s hits another: %q", test.kind, test.value, got)
		}
		if got := r.Revoked(time.Now().Add(2*time.Hour), test.hit); got != "" {
			t.Errorf("%s %s holds after its time", test.kind, test.value)
		}
	}
	kid, _ := drm.ParseKID(testKID)
	if r.AnyKeyRevoked() || r.KeyRevoked(time.Now(), named("one"), kid) {
		t.Error("a key is revoked")
	}
	if err := r.Add(t.Context(), revocation(t, RevokeKey, "one", strings.ToUpper(testKID), time.Hour)); err != nil {
		t.Fatal(err)
	}
	if !r.AnyKeyRevoked() || !r.KeyRevoked(time.Now(), named("one"), kid) || r.KeyRevoked(time.Now(), named("two"), kid) {
		t.Error("a key is not revoked, or elsewhere too")
	}
}

func TestNewRevocationRefuses(t *testing.T) {
	now := time.Now()
	for name, r := range map[string]struct {
		kind          RevocationKind
		value, tenant string
		expires       time.Duration
	}{
		"no kind":        {"", "x", "", time.Hour},
		"no value":       {RevokeSubject, "", "", time.Hour},
		"a long value":   {RevokeSubject, strings.Repeat("x", 2000), "", time.Hour},
		"the past":       {RevokeSubject, "x", "", -time.Hour},
		"no KID":         {RevokeKey, "x", "", time.Hour},
		"no clean path":  {RevokeTitle, "/a/../b", "", time.Hour},
		"no playback":    {RevokeSession, "0102", "", time.Hour},
		"a zero in it":   {RevokeSubject, "x", "a\x00b", time.Hour},
		"a long tenant":  {RevokeSubject, "x", strings.Repeat("t", 1025), time.Hour},
		"another's kind": {"viewer", "x", "", time.Hour},
	} {
		got, err := NewRevocation(NewDigester(testKey()), r.kind, r.tenant, r.value, "", now, now.Add(r.expires))
		if !errors.Is(err, ErrRevocation) || got != (Revocation{}) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}

// TestLongTenants: sites that nobody has named have a host of up to 280 bytes, and a prefix besides.
func TestLongTenants(t *testing.T) {
	tenant, now := strings.Repeat("h", 280)+"/"+strings.Repeat("p", 280), time.Now()
	if r, err := NewRevocation(NewDigester(testKey()), RevokeSubject, tenant, "viewer", "", now, now.Add(time.Hour)); err != nil || r.Tenant != tenant {
		t.Errorf("revoking: %v", err)
	}
	if r, err := NewRekey(RekeyTitle, tenant, "/vod/", "", now); err != nil || r.Tenant != tenant {
		t.Errorf("new keys: %v", err)
	}
}

// fileStorage is a Storage of a test.
type fileStorage struct {
	text []byte
	err  error
}

func (f *fileStorage) Load(context.Context) ([]byte, error) {
	if f.text == nil && f.err == nil {
		return nil, fs.ErrNotExist
	}
	return f.text, f.err
}

func (f *fileStorage) Save(_ context.Context, text []byte) error {
	if f.err == nil {
		f.text = slices.Clone(text)
	}
	return f.err
}

func TestRevocationsSurviveARestart(t *testing.T) {
	storage := &fileStorage{}
	open := func() *Revocations {
		store, err := OpenMemoryRevocations(t.Context(), storage, time.Now)
		if err != nil {
			t.Fatal(err)
		}
		return follow(t, store)
	}
	if err := open().Add(t.Context(), revocation(t, RevokeSubject, "", "viewer", time.Hour)); err != nil {
		t.Fatal(err)
	}
	r := open()
	if r.Revoked(time.Now(), Question{Subject: "viewer"}) != RevokeSubject {
		t.Error("it was forgotten")
	}
	storage.err = errors.New("disk full")
	if err := r.Add(t.Context(), revocation(t, RevokeSubject, "", "other", time.Hour)); !errors.Is(err, storage.err) || r.Revoked(time.Now(), Question{Subject: "other"}) != "" {
		t.Errorf("what cannot be stored holds for a while: %v", err)
	}
	storage.err, storage.text = nil, []byte("{")
	if _, err := OpenMemoryRevocations(t.Context(), storage, time.Now); err == nil {
		t.Error("a list that cannot be read is taken for an empty one")
	}
}

func TestFreshness(t *testing.T) {
	d := startRedis(t, "single")
	redis := openRedis(t, d)
	r := NewRevocations(t.Context(), RevocationConfig{
		Store: redis.Revocations(time.Now), Digest: NewDigester(testKey()), Poll: 50 * time.Millisecond, MaxStale: 500 * time.Millisecond,
	})
	t.Cleanup(r.Close)
	eventually(t, 10*time.Second, "freshness", func() bool { return r.Freshness(time.Now()) == Fresh })
	d.Data[0].Kill()
	eventually(t, 5*time.Second, "staleness", func() bool { return r.Freshness(time.Now()) == Stale })
	if err := d.Data[0].Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, 10*time.Second, "freshness", func() bool { return r.Freshness(time.Now()) == Fresh })
	never := follow(t, (&Redis{}).Revocations(time.Now))
	if got := never.Freshness(time.Now()); got != NeverRead {
		t.Errorf("freshness %d", got)
	}
}

// BenchmarkRevoked is the check of one request against a full list.
func BenchmarkRevoked(b *testing.B) {
	var entries []Revocation
	for i := range 25_000 {
		for _, kind := range []RevocationKind{RevokeSubject, RevokeToken, RevokeDevice} {
			entries = append(entries, revocation(b, kind, "", fmt.Sprint(i), time.Hour))
		}
		entries = append(entries, revocation(b, RevokeTitle, "", fmt.Sprintf("/other/%d", i), time.Hour))
	}
	r := &Revocations{config: RevocationConfig{Digest: NewDigester(testKey())}}
	r.copy.Store(newRevoked("", entries))
	now, q := time.Now(), Question{Site: named("one"), Subject: "viewer", Device: "tv", TokenID: "0123456789abcdef", Path: "/vod/series/title/video/1.m4s", Asset: "/vod/series/title/"}
	b.ReportAllocs()
	for b.Loop() {
		if r.Revoked(now, q) != "" {
			b.Fatal("revoked")
		}
	}
}
