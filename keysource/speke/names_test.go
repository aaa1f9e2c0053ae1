package speke

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/caddy-drm/caddy-drm/drm"
	"github.com/caddy-drm/caddy-drm/keysource"
)

// TestNames: what a client says that keys are called is what the server's keys are called, in every crypto period.
func TestNames(t *testing.T) {
	for _, presets := range [][2]string{{Shared, Shared}, {"VIDEO-2", "AUDIO-1"}, {"VIDEO-8", "AUDIO-1"}} {
		w := &wire{server: testServer(t, testSecretText, true), tenant: "one.example"}
		c := testClient(t, w, V21, testContract(t, presets[0], presets[1]), false)
		source := keysource.NewBundled(c).NamedBy(c)
		for _, period := range []uint32{0, 1, 491000} {
			title := testTitle
			title.Period = period
			keys, err := source.ContentKeys(context.Background(), title)
			if err != nil {
				t.Fatal(err)
			}
			names, err := source.(keysource.Namer).KIDs(title)
			if err != nil {
				t.Fatal(err)
			}
			if len(names) != len(keys) {
				t.Errorf("%s, period %d: %d names of %d keys", presets[0], period, len(names), len(keys))
			}
			for _, key := range keys {
				if !slices.Contains(names, key.KID()) {
					t.Errorf("%s, period %d: nobody names %s", presets[0], period, key.KID())
				}
			}
		}
	}
}

// TestNamesOfOthers: a client that takes keys under any name does not know their names, and one that cannot ask has none.
func TestNamesOfOthers(t *testing.T) {
	w := &wire{server: testServer(t, testSecretText, true), tenant: "one.example"}
	c := testClient(t, w, V1, testContract(t, Shared, Shared), false)
	if !c.NamesKeys() {
		t.Error("a client that takes only the names that it asked for does not know them")
	}
	if c.config.AcceptKIDs = true; c.NamesKeys() {
		t.Error("a client that takes any name knows them")
	}
	title := testTitle
	title.Scheme = drm.SchemeAES128
	if kids, err := testClient(t, w, V20, testContract(t, Shared, Shared), false).KIDs(title); !errors.Is(err, keysource.ErrUnknownKey) || kids != nil {
		t.Errorf("%v, %v", kids, err)
	}
}
