package address

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/caddy-drm/caddy-drm/drm"
)

// testSealKey is 00 01 02 … 1f.
var testSealKey = func() (key [32]byte) {
	for i := range key {
		key[i] = byte(i)
	}
	return key
}()

func mustTemplate(t testing.TB, text string) Template {
	t.Helper()
	tmpl, err := ParseTemplate(text)
	if err != nil {
		t.Fatal(err)
	}
	return tmpl
}

// A seal of each kind as a gateway makes them.
func playlistSeal() Seal {
	return Seal{Kind: SealPlaylist, Group: "premium", Asset: "/vod/demo/", Scheme: drm.SchemeCbcs, KeyFormats: 5, Generation: 1}
}

func mediaSeal() Seal {
	return Seal{
		Kind: SealMedia, Group: "premium", Asset: "/vod/demo/", Scheme: drm.SchemeCenc, Class: drm.ClassHD,
		Period: 300, Generation: 1, Init: "/vod/demo/video/init.mp4", InitDigest: [16]byte{0xd0, 15: 0xdf}, KeyDigest: [8]byte{0xc1, 7: 0xc8},
	}
}

func templateSeal(t testing.TB) Seal {
	s := mediaSeal()
	s.Template = mustTemplate(t, "/vod/demo/video/seg_$Number%05d$.m4s")
	return s
}

func fullSeal() Seal {
	s := mediaSeal()
	s.Range, s.InitRange, s.Index = Range{900, 70000}, Range{10, 800}, Range{800, 100}
	s.IndexDigest, s.Sequence, s.IFrame = [8]byte{0xe1, 7: 0xe8}, 77, true
	s.Clock = Clock{Origin: -22_000_000_000_000, Length: 900_000}
	s.Lead = []Resource{{Path: "/vod/demo/video/p1.m4s"}, {Path: "/x/p2.m4s", Range: Range{5, 6}}}
	return s
}

func leadSeal(t testing.TB) Seal {
	s := templateSeal(t)
	s.ClearUntil = 540_000
	return s
}

func passingSeal() Seal {
	s := mediaSeal()
	s.Scheme, s.Class, s.KeyDigest, s.Passes = 0, 0, [8]byte{}, true
	return s
}

func sidecarSeal() Seal {
	return Seal{Kind: SealSidecar, Group: "premium", Asset: "/vod/demo/"}
}

func licenseSeal() Seal {
	return Seal{Kind: SealLicense, Group: "premium", Asset: "/vod/demo/", Scheme: drm.SchemeCenc, Period: 7, Generation: 2, Window: Window{Further: 11, Rotate: 600, Depth: 7200}}
}

const testSegment Path = "/vod/demo/video/seg_00007.m4s"

func requireOpen(t testing.TB, k *Sealer, text string, want Seal, p Path) {
	t.Helper()
	got, err := k.Open(text, want.Kind, p)
	if err != nil || !equalSeals(got, want) {
		t.Errorf("Open(%q, %d, %q) = %+v, %v; want %+v", text, want.Kind, p, got, err, want)
	}
}

func requireRefused(t testing.TB, k *Sealer, text string, kind SealKind, p Path) {
	t.Helper()
	if got, err := k.Open(text, kind, p); !errors.Is(err, ErrSeal) || !equalSeals(got, Seal{}) {
		t.Errorf("Open(%q, %d, %q) = %+v, %v; want the zero Seal and ErrSeal", text, kind, p, got, err)
	}
}

// equalSeals compares what a seal says. The parts of a template follow from its text.
func equalSeals(a, b Seal) bool {
	if a.Template.String() != b.Template.String() || !slices.Equal(a.Template.parts, b.Template.parts) {
		return false
	}
	return fmt.Sprintf("%#v", withoutTemplate(a)) == fmt.Sprintf("%#v", withoutTemplate(b))
}

func withoutTemplate(s Seal) Seal {
	s.Template = Template{}
	return s
}

// The text of a seal is in manifests, caches and bookmarks. If this test fails, sealLayout takes a new number. The texts
// were computed by a program of a few lines in another language, from the layout that Seal documents.
func TestSealTextStaysAsItIs(t *testing.T) {
	k := NewSealer(testSealKey)
	for _, test := range []struct {
		name string
		seal Seal
		path Path
		want string
	}{
		{
			"playlist", playlistSeal(), "/vod/demo/video/720p.m3u8",
			"AwECAAUAAQdwcmVtaXVtCi92b2QvZGVtby8AAKNl_1CBN5n69S58TPMm9Xg",
		},
		{
			"media by path", mediaSeal(), testSegment,
			"AwIBBACsAgEHcHJlbWl1bQovdm9kL2RlbW8vDnZpZGVvL2luaXQubXA0AADQAAAAAAAAAAAAAAAAAADfwQAAAAAAAMhXoXBXq02vdg5-nWsXR-VJ",
		},
		{
			"media by template", templateSeal(t), "",
			"AwIBBACsAgEHcHJlbWl1bQovdm9kL2RlbW8vDnZpZGVvL2luaXQubXA0GnZpZGVvL3NlZ18kTnVtYmVyJTA1ZCQubTRzANAAAAAAAAAAAAAAAAAAAN_BAAAAAAAAyEy4E8xne2S0w6tNxti50Vs",
		},
		{
			"media, every field", fullSeal(), testSegment,
			"AwIBBACsAgEHcHJlbWl1bQovdm9kL2RlbW8vDnZpZGVvL2luaXQubXA0AL8C0AAAAAAAAAAAAAAAAAAA38EAAAAAAADIhAfwogQKoAagBmThAAAAAAAA6E0CDHZpZGVvL3AxLm00cwAACS94L3AyLm00cwUG___64siACqD3Ni8yDtCon4f-G2qtUzFz3CA",
		},
		{
			"media with a clear lead", leadSeal(t), "",
			"AwIBBACsAgEHcHJlbWl1bQovdm9kL2RlbW8vDnZpZGVvL2luaXQubXA0GnZpZGVvL3NlZ18kTnVtYmVyJTA1ZCQubTRzgATQAAAAAAAAAAAAAAAAAADfwQAAAAAAAMjg-iDEHIbd7sgSBhDPEPs2Mr3h",
		},
		{
			"media that passes", passingSeal(), testSegment,
			"AwIAAACsAgEHcHJlbWl1bQovdm9kL2RlbW8vDnZpZGVvL2luaXQubXA0AEDQAAAAAAAAAAAAAAAAAADfAAAAAAAAAACguRsk4H5Uu0H1V6N_ToY5",
		},
		{
			"sidecar", sidecarSeal(), "/vod/demo/text/en.vtt",
			"AwMAAAAAAAdwcmVtaXVtCi92b2QvZGVtby8AAEiJysVfoAaqVz7pbhCb7t4",
		},
		{
			"license", licenseSeal(), "/vod/demo/",
			"AwQBAAAHAgdwcmVtaXVtCi92b2QvZGVtby8AAAvYBKA4G4AdNSDL6Z1ibgguD-vguQ",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := k.Seal(test.seal, test.path)
			if got != test.want {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
			path := test.path
			if path == "" {
				path = testSegment
			}
			requireOpen(t, k, got, test.seal, path)
		})
	}
}

func TestSealIsShort(t *testing.T) {
	k := NewSealer(testSealKey)
	for name, text := range map[string]string{
		"playlist":             k.Seal(playlistSeal(), "/vod/demo/video/720p.m3u8"),
		"media by path":        k.Seal(mediaSeal(), testSegment),
		"media by template":    k.Seal(templateSeal(t), ""),
		"sidecar":              k.Seal(sidecarSeal(), "/vod/demo/text/en.vtt"),
		"license of one asset": k.Seal(licenseSeal(), "/vod/demo/"),
	} {
		t.Logf("%s: %d characters", name, len(text))
		if len(text) >= 200 {
			t.Errorf("%s: %d characters, want fewer than 200", name, len(text))
		}
	}
}

func TestSealOpensOnlyForItsPath(t *testing.T) {
	k := NewSealer(testSealKey)
	text := k.Seal(mediaSeal(), testSegment)
	requireOpen(t, k, text, mediaSeal(), testSegment)
	for name, p := range map[string]Path{
		"the next segment":            "/vod/demo/video/seg_00008.m4s",
		"the init segment":            "/vod/demo/video/init.mp4",
		"another track":               "/vod/demo/audio/seg_00007.m4s",
		"another title":               "/vod/premium/video/seg_00007.m4s",
		"another letter case":         "/vod/demo/video/SEG_00007.m4s",
		"a longer name":               testSegment + "x",
		"a shorter name":              testSegment[:len(testSegment)-1],
		"the directory":               "/vod/demo/video/",
		"no path":                     "",
		"what stands for a template":  boundToTemplate,
		"the path behind a zero byte": "\x00" + testSegment,
	} {
		t.Run(name, func(t *testing.T) { requireRefused(t, k, text, SealMedia, p) })
	}
}

func TestTemplateSealOpensForMatchesAndInit(t *testing.T) {
	k := NewSealer(testSealKey)
	text := k.Seal(templateSeal(t), "")
	if k.Seal(templateSeal(t), testSegment) != text {
		t.Error("the text of a template seal depends on a path")
	}
	for _, p := range []Path{testSegment, "/vod/demo/video/seg_00000.m4s", "/vod/demo/video/seg_123456.m4s", "/vod/demo/video/init.mp4"} {
		requireOpen(t, k, text, templateSeal(t), p)
	}
	for name, p := range map[string]Path{
		"an alias with a leading zero": "/vod/demo/video/seg_000007.m4s",
		"an alias without zeros":       "/vod/demo/video/seg_7.m4s",
		"another name":                 "/vod/demo/video/sub_00007.m4s",
		"another track":                "/vod/demo/audio/seg_00007.m4s",
		"another title":                "/vod/other/video/seg_00007.m4s",
		"another init":                 "/vod/demo/audio/init.mp4",
		"more behind":                  "/vod/demo/video/seg_00007.m4s.bak",
		"the template":                 "/vod/demo/video/seg_$Number%05d$.m4s",
		"no path":                      "",
		"the marker":                   boundToTemplate,
	} {
		t.Run(name, func(t *testing.T) { requireRefused(t, k, text, SealMedia, p) })
	}
}

func TestSealForOnePathIsNoTemplateSeal(t *testing.T) {
	// A template without identifiers says the same as a path, in another field: neither text opens as the other.
	k := NewSealer(testSealKey)
	single := mediaSeal()
	single.Template = mustTemplate(t, string(testSegment))
	byTemplate, byPath := k.Seal(single, ""), k.Seal(mediaSeal(), testSegment)
	if byTemplate == byPath {
		t.Error("one text for both")
	}
	requireOpen(t, k, byTemplate, single, testSegment)
	requireOpen(t, k, byTemplate, single, single.Init)
	requireRefused(t, k, byTemplate, SealMedia, "/vod/demo/video/seg_00008.m4s")
}

func TestSealOpensOnlyAsItsKind(t *testing.T) {
	k := NewSealer(testSealKey)
	for _, s := range []Seal{playlistSeal(), mediaSeal(), templateSeal(t), sidecarSeal(), licenseSeal()} {
		text := k.Seal(s, testSegment)
		for kind := range SealKind(8) {
			if kind != s.Kind {
				requireRefused(t, k, text, kind, testSegment)
			}
		}
		requireOpen(t, k, text, s, testSegment)
	}
	for _, kind := range []SealKind{0, SealLicense + 1, 255} {
		s := sidecarSeal()
		s.Kind = kind
		requireRefused(t, k, k.Seal(s, testSegment), kind, testSegment)
	}
}

func TestSealOpensOnlyForItsTenant(t *testing.T) {
	k := NewSealer(testSealKey)
	for i := range testSealKey {
		other := testSealKey
		other[i] ^= 1
		requireRefused(t, NewSealer(other), k.Seal(templateSeal(t), ""), SealMedia, testSegment)
	}
	requireRefused(t, NewSealer([32]byte{}), k.Seal(mediaSeal(), testSegment), SealMedia, testSegment)
	requireOpen(t, NewSealer(testSealKey), k.Seal(mediaSeal(), testSegment), mediaSeal(), testSegment) // another node
}

func TestDamagedSealIsRefused(t *testing.T) {
	k := NewSealer(testSealKey)
	for name, s := range map[string]Seal{
		"playlist": playlistSeal(), "media": mediaSeal(), "template": templateSeal(t), "sidecar": sidecarSeal(), "license": licenseSeal(),
	} {
		text := k.Seal(s, testSegment)
		raw, err := base64.RawURLEncoding.DecodeString(text)
		if err != nil {
			t.Fatal(err)
		}
		encode := base64.RawURLEncoding.EncodeToString
		t.Run(name+": every bit of it counts", func(t *testing.T) {
			for bit := range 8 * len(raw) {
				flipped := slices.Clone(raw)
				flipped[bit/8] ^= 1 << (bit % 8)
				requireRefused(t, k, encode(flipped), s.Kind, testSegment)
			}
		})
		t.Run(name+": every bit of its text counts", func(t *testing.T) {
			for bit := range 8 * len(text) {
				flipped := []byte(text)
				flipped[bit/8] ^= 1 << (bit % 8)
				requireRefused(t, k, string(flipped), s.Kind, testSegment)
			}
		})
		t.Run(name+": cut anywhere", func(t *testing.T) {
			for n := range len(text) {
				requireRefused(t, k, text[:n], s.Kind, testSegment)
				requireRefused(t, k, text[n+1:], s.Kind, testSegment)
			}
			for n := range len(raw) {
				requireRefused(t, k, encode(raw[:n]), s.Kind, testSegment)
			}
		})
		t.Run(name+": added to anywhere", func(t *testing.T) {
			for n := range len(text) + 1 {
				for _, more := range []string{"A", "\n", "\r", "=", "%41", " ", "AAAA", "\r\n\r\n"} {
					requireRefused(t, k, text[:n]+more+text[n:], s.Kind, testSegment)
				}
			}
		})
	}
	requireRefused(t, k, strings.Repeat("A", MaxSeal), SealMedia, testSegment)
	requireRefused(t, k, strings.Repeat("A", MaxSeal+1), SealMedia, testSegment)
}

func TestSealerIsSafeForConcurrentUse(t *testing.T) {
	k := NewSealer(testSealKey)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for n := range 200 {
				p := Path(fmt.Sprintf("/vod/demo/%d/%d.m4s", i, n))
				text := k.Seal(mediaSeal(), p)
				requireOpen(t, k, text, mediaSeal(), p)
				requireRefused(t, k, text, SealMedia, p+"x")
			}
		})
	}
	wg.Wait()
}

func TestOpenedSealDoesNotChangeWithLaterUse(t *testing.T) {
	k := NewSealer(testSealKey)
	got, err := k.Open(k.Seal(templateSeal(t), ""), SealMedia, testSegment)
	if err != nil {
		t.Fatal(err)
	}
	for range 10 {
		other := playlistSeal()
		other.Group, other.Asset = "xxxxxxxxxxxxxxxx", "/xxxxxxxxxxxxxxxxxxx/"
		requireOpen(t, k, k.Seal(other, "/x"), other, "/x")
	}
	if !equalSeals(got, templateSeal(t)) {
		t.Errorf("the seal became %+v", got)
	}
}

func TestSealerDoesNotPrintItsKey(t *testing.T) {
	k := NewSealer(testSealKey)
	_ = k.Seal(mediaSeal(), testSegment)
	type holder struct{ sealer *Sealer }
	for _, format := range []string{"%v", "%+v", "%#v", "%x", "% x", "%d", "%s", "%q", "%t"} {
		for _, value := range []any{k, holder{k}, []*Sealer{k}} {
			text := fmt.Sprintf(format, value)
			for _, secret := range []string{"040506", "04 05 06", "4 5 6", "0x4, 0x5, 0x6", "\x04\x05\x06", "=4) %!t(uint8=5"} {
				if strings.Contains(text, secret) {
					t.Errorf("%s prints the key: %s", format, text)
				}
			}
		}
	}
}

// TestSealsWithClearLead: one without a lead never has one, whatever is done to it; what decides for many segments says until when.
func TestSealsWithClearLead(t *testing.T) {
	k := NewSealer(testSealKey)
	always := func(s Seal) Seal { s.ClearUntil = ClearAlways; return s }
	requireOpen(t, k, k.Seal(leadSeal(t), ""), leadSeal(t), testSegment)
	requireOpen(t, k, k.Seal(always(mediaSeal()), testSegment), always(mediaSeal()), testSegment)
	requireRefused(t, k, k.Seal(always(templateSeal(t)), ""), SealMedia, testSegment)
	indexed, clear := mediaSeal(), mediaSeal()
	indexed.Index, clear.Clear = Range{800, 100}, true
	for _, s := range []Seal{indexed, clear, passingSeal()} {
		requireRefused(t, k, k.Seal(always(s), testSegment), SealMedia, testSegment)
	}
	// The field put behind a seal that has none, with its bit.
	payload := mediaSeal().append(nil)
	at := len(payload) - 1 - len(Seal{}.InitDigest) - len(Seal{}.KeyDigest)
	forged := append(binary.AppendUvarint(slices.Clone(payload[:at]), hasClearUntil), payload[at+1:]...)
	forged = binary.AppendUvarint(forged, ClearAlways)
	if f, ok := parseSeal(forged); !ok || f.media.ClearUntil != ClearAlways {
		t.Fatal("the forged seal is none")
	}
	text, err := sealEncoding.DecodeString(k.Seal(mediaSeal(), testSegment))
	if err != nil {
		t.Fatal(err)
	}
	requireRefused(t, k, sealEncoding.EncodeToString(append(forged, text[len(text)-sealMAC:]...)), SealMedia, testSegment)
}
