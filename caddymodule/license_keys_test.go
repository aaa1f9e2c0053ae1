package caddymodule

import (
	"bytes"
	"context"
	"errors"
	"net/http/httptest"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/caddy-drm/caddy-drm/address"
	"github.com/caddy-drm/caddy-drm/drm"
	"github.com/caddy-drm/caddy-drm/keysource"
	"github.com/caddy-drm/caddy-drm/licensing"
	"github.com/caddy-drm/caddy-drm/state"
)

// scriptedKeys is a source of keys, one for each class, that says what a function says.
type scriptedKeys func(keysource.Request) (drm.ContentKey, error)

func (scriptedKeys) Split() bool { return true }

func (s scriptedKeys) ContentKey(_ context.Context, r keysource.Request) (drm.ContentKey, error) {
	return s(r)
}

func (s scriptedKeys) ContentKeys(context.Context, keysource.Title) ([]drm.ContentKey, error) {
	return nil, keysource.ErrUnknownKey
}

// keyNumber is the key whose KID begins with a number.
func keyNumber(t testing.TB, number byte) drm.ContentKey {
	t.Helper()
	key, err := drm.NewContentKey(drm.KID{number}, bytes.Repeat([]byte{number}, drm.KeySize), make([]byte, drm.KeySize))
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// sealedRequest is one for a license under a seal, to a site whose keys come from a source. What has no key is asked for again at once.
func sealedRequest(t testing.TB, seal address.Seal, keys scriptedKeys) *request {
	t.Helper()
	source, err := keysource.NewCached(keys, time.Now, keysource.CacheOptions{UnknownFor: time.Nanosecond, RetryAfter: time.Nanosecond})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(source.Close)
	shared, err := (&MemoryState{}).Open(state.NewDigester([32]byte{1}), nil, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	h := &Handler{app: &App{clock: time.Now}, state: shared, keys: openKeys{source: source}}
	h.License = &LicenseConfig{ClearKey: true}
	seal.Asset, seal.Scheme = "/demo/", drm.SchemeCenc
	return &request{Handler: h, site: &site{}, seal: seal, r: httptest.NewRequestWithContext(t.Context(), "POST", "/", nil)}
}

func kidsOf(keys []drm.ContentKey) (kids []drm.KID) {
	for _, key := range keys {
		kids = append(kids, key.KID())
	}
	slices.SortFunc(kids, func(a, b drm.KID) int { return bytes.Compare(a[:], b[:]) })
	return slices.Compact(kids)
}

// sharedSound has a key for the pictures of each crypto period, from 1 on, and the one of sound for all of them.
func sharedSound(t *testing.T) scriptedKeys {
	return func(r keysource.Request) (drm.ContentKey, error) {
		if r.Class == drm.ClassAudio {
			return keyNumber(t, 100), nil
		}
		return keyNumber(t, byte(1+r.Period)), nil
	}
}

// TestKeysOfSeveralPeriods: a key that several crypto periods have stands for itself alone. It does not make up for the key of another title
// beside it, and does not end the search for the others.
func TestKeysOfSeveralPeriods(t *testing.T) {
	const sound = 100
	for _, test := range []struct {
		name  string
		asked []drm.KID
		found []drm.KID // by ClearKey
		err   error     // of a license server's request
	}{
		{"sound and a foreign key", []drm.KID{{sound}, {0xf0}}, []drm.KID{{sound}}, licensing.ErrNoKeys},
		{"sound and the pictures of the last period", []drm.KID{{sound}, {4}}, []drm.KID{{4}, {sound}}, nil},
		{"pictures of the first and the last period", []drm.KID{{1}, {4}, {sound}}, []drm.KID{{1}, {4}, {sound}}, nil},
		{"sound named twice, and a foreign key", []drm.KID{{sound}, {sound}, {0xf0}}, []drm.KID{{sound}}, licensing.ErrNoKeys},
	} {
		t.Run(test.name, func(t *testing.T) {
			q := sealedRequest(t, address.Seal{Window: address.Window{Further: 3}}, sharedSound(t))
			if granted, err := q.grantedKeys(test.asked); !errors.Is(err, test.err) || err != nil && granted != nil {
				t.Errorf("granted %v, %v; want %v", grantedKIDs(granted), err, test.err)
			} else if err == nil && slices.ContainsFunc(test.asked, func(kid drm.KID) bool { return !holdsAny(granted, []drm.KID{kid}) }) {
				t.Errorf("granted %v of %v", grantedKIDs(granted), test.asked)
			}
			keys, err := q.licensedKeys(test.asked)
			if got := kidsOf(keys); err != nil || !slices.Equal(got, test.found) {
				t.Errorf("a license of ClearKey has %v, %v; want %v", got, err, test.found)
			}
		})
	}
}

// TestLicensesThroughAnOutage: a title without tracks of some class has licenses while the key server is out, as its keys are at hand.
func TestLicensesThroughAnOutage(t *testing.T) {
	var out atomic.Bool
	q := sealedRequest(t, address.Seal{}, func(r keysource.Request) (drm.ContentKey, error) {
		switch {
		case out.Load():
			return drm.ContentKey{}, errors.New("connection refused")
		case r.Class == drm.ClassHD:
			return keyNumber(t, 1), nil
		}
		return drm.ContentKey{}, keysource.ErrUnknownKey
	})
	for _, when := range []string{"before", "in the outage", "later in the outage"} {
		keys, err := q.licensedKeys([]drm.KID{{1}})
		granted, errGranted := q.grantedKeys([]drm.KID{{1}})
		if err != nil || errGranted != nil || len(keys) != 1 || len(granted) != 1 {
			t.Errorf("%s: %d keys of ClearKey (%v), %d of another system (%v)", when, len(keys), err, len(granted), errGranted)
		}
		out.Store(true)
	}
}

// livePeriods is a license request for a channel whose keys change every ten seconds, at a time in its crypto period 100. The source
// has a key for the pictures of each, by number and generation, and fails where the function says so.
func livePeriods(t *testing.T, failing func(keysource.Request) bool) *request {
	t.Helper()
	q := sealedRequest(t, address.Seal{Window: address.Window{Rotate: 10, Depth: 30}}, func(r keysource.Request) (drm.ContentKey, error) {
		switch {
		case failing(r):
			return drm.ContentKey{}, errors.New("connection refused")
		case r.Class == drm.ClassHD:
			return keyNumber(t, byte(r.Period)+byte(100*r.Generation)), nil
		}
		return drm.ContentKey{}, keysource.ErrUnknownKey
	})
	q.app.clock = func() time.Time { return time.Unix(1005, 0) }
	return q
}

// TestNewestKeysFail: that the source cannot give the newest keys leaves those of this moment in peace. It is told to who asks for a key that
// was not found, since nobody knows whose that is.
func TestNewestKeysFail(t *testing.T) {
	fails := func(periods ...uint32) func(keysource.Request) bool {
		return func(r keysource.Request) bool { return slices.Contains(periods, r.Period) }
	}
	all := func(keysource.Request) bool { return true }
	for _, test := range []struct {
		name    string
		failing func(keysource.Request) bool
		asked   []drm.KID
		granted []drm.KID
		err     error
	}{
		{"nothing", fails(), []drm.KID{{100}}, []drm.KID{{100}}, nil},
		{"the next", fails(101), []drm.KID{{100}}, []drm.KID{{100}}, nil},
		{"the next and that of now", fails(101, 100), []drm.KID{{99}, {98}}, []drm.KID{{98}, {99}}, nil},
		{"the next, which is asked for", fails(101), []drm.KID{{101}}, nil, keysource.ErrUnavailable},
		{"the next, and a foreign key is asked for", fails(101), []drm.KID{{100}, {0xf0}}, nil, keysource.ErrUnavailable},
		{"nothing, and a foreign key is asked for", fails(), []drm.KID{{100}, {0xf0}}, nil, licensing.ErrNoKeys},
		{"the next, and no key is named", fails(101), nil, []drm.KID{{100}}, nil},
		{"all, and no key is named", all, nil, nil, keysource.ErrUnavailable},
	} {
		t.Run(test.name, func(t *testing.T) {
			q := livePeriods(t, test.failing)
			granted, err := q.grantedKeys(test.asked)
			if !errors.Is(err, test.err) || err == nil && !slices.Equal(kidsGranted(granted), test.granted) {
				t.Errorf("granted %v, %v; want %v, %v", grantedKIDs(granted), err, test.granted, test.err)
			}
			if len(test.asked) == 0 || errors.Is(test.err, licensing.ErrNoKeys) { // ClearKey gives what there is
				return
			}
			keys, err := q.licensedKeys(test.asked)
			if !errors.Is(err, test.err) || err == nil && !slices.Equal(kidsOf(keys), test.granted) {
				t.Errorf("a license of ClearKey has %v, %v; want %v, %v", kidsOf(keys), err, test.granted, test.err)
			}
		})
	}
}

func kidsGranted(granted []licensing.GrantedKey) []drm.KID {
	var keys []drm.ContentKey
	for _, key := range granted {
		keys = append(keys, key.Key)
	}
	return kidsOf(keys)
}

// TestNewestGenerationFails: the same behind a re-key.
func TestNewestGenerationFails(t *testing.T) {
	for _, failing := range []bool{true, false} {
		q := livePeriods(t, func(r keysource.Request) bool { return failing && r.Generation > 0 })
		rekey(t, q)
		want := []drm.KID{{100}, {101}, {200}, {201}}
		if failing {
			want = want[:2]
		}
		if granted, err := q.grantedKeys(nil); err != nil || !slices.Equal(kidsGranted(granted), want) {
			t.Errorf("failing %t: who names no key is granted %v, %v; want %v", failing, kidsGranted(granted), err, want)
		}
		for _, asked := range want {
			if granted, err := q.grantedKeys([]drm.KID{asked}); err != nil || len(granted) != 1 {
				t.Errorf("failing %t: %v, %v for key %v", failing, kidsGranted(granted), err, asked)
			}
		}
	}
}

// rekey gives the title new keys at the time of the request.
func rekey(t *testing.T, q *request) {
	t.Helper()
	entry, err := state.NewRekey(state.RekeyTitle, "", "/demo/", "", q.now())
	if err != nil {
		t.Fatal(err)
	}
	if err := q.state.Revocations.Add(t.Context(), entry); err != nil {
		t.Fatal(err)
	}
	if got := q.generations("", "/demo/"); got.Current() != 1 {
		t.Fatalf("generations %v behind a re-key", got)
	}
}

// TestHangingSourceOfKeys: who asks for a key that nobody knows waits behind a failure once, and not for each crypto period.
func TestHangingSourceOfKeys(t *testing.T) {
	hangs := make(chan struct{})
	q := livePeriods(t, func(r keysource.Request) bool {
		if r.Period < 100 {
			<-hangs
		}
		return r.Period > 100
	})
	t.Cleanup(func() { close(hangs) })
	began := time.Now()
	if granted, err := q.grantedKeys([]drm.KID{{0xf0}}); !errors.Is(err, keysource.ErrUnavailable) {
		t.Errorf("granted %v, %v", kidsGranted(granted), err)
	}
	if took := time.Since(began); took > searchBeyondFailure+2*time.Second {
		t.Errorf("answered after %v", took)
	}
}
