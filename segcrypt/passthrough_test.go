package segcrypt

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/caddy-drm/caddy-drm/drm"
	"github.com/caddy-drm/caddy-drm/internal/testtools"
)

// TestIsProtected: only init segments whose every video and audio entry is protected are.
func TestIsProtected(t *testing.T) {
	protected := func(init Clear, scheme drm.ProtectionScheme) Clear {
		return Clear(newTestProtector(t, init, testProtection(scheme)).Init())
	}
	video := readTestdata(t, "avc-init.mp4")
	replace := func(b Clear, from, to []byte) Clear {
		if !bytes.Contains(b, from) {
			t.Fatalf("no %q", from)
		}
		return bytes.Replace(b, from, to, 1)
	}
	tenc := slices.Concat([]byte("tenc"), n32(0), []byte{0, 0, 1, 8})
	seig := func(isProtected byte) []byte {
		return mk("sgpd", n32(1<<24), []byte("seig"), n32(20, 1), []byte{0, 0, isProtected, 8}, make([]byte, 16))
	}
	inStbl := func(b []byte) Clear {
		// A stbl with one more child: the boxes around it grow.
		out := protected(initParts{}.build(), drm.SchemeCenc)
		at := bytes.Index(out, []byte("stco")) - 4
		for _, typ := range []string{"moov", "trak", "mdia", "minf", "stbl"} {
			i := bytes.Index(out, []byte(typ)) - 4
			grow(out, box{off: i}, len(b))
		}
		return slices.Insert(out, at, b...)
	}
	for name, tc := range map[string]struct {
		init Clear
		want bool
	}{
		"video cenc":             {protected(video, drm.SchemeCenc), true},
		"video cbcs":             {protected(video, drm.SchemeCbcs), true},
		"audio cbcs":             {protected(initParts{}.build(), drm.SchemeCbcs), true},
		"muxed":                  {Clear(twoAndText(t, drm.SchemeCenc).Init()), true},
		"clear":                  {video, false},
		"text alone":             {muxedInit(textParts), false},
		"nothing":                {nil, false},
		"two tracks, one clear":  {replace(Clear(twoAndText(t, drm.SchemeCenc).Init()), []byte("enca"), []byte("mp4a")), false},
		"tenc says clear":        {replace(protected(video, drm.SchemeCenc), tenc, append(tenc[:10:10], 0, 0)), false},
		"no IV at all":           {replace(protected(video, drm.SchemeCenc), tenc, append(tenc[:11:11], 0)), false},
		"an unknown scheme":      {replace(protected(video, drm.SchemeCenc), []byte("cenc"), []byte("abcd")), false},
		"no sinf":                {initParts{entries: [][]byte{entryAudio("enca")}}.build(), false},
		"a group like the track": {inStbl(seig(1)), true},
		"a group in clear":       {inStbl(seig(0)), false},
	} {
		if got := IsProtected(tc.init); got != tc.want {
			_, err := parseProtectedInit(tc.init)
			t.Errorf("%s: %v (%v)", name, got, err)
		}
	}
}

// TestCheckProtected: what we protect ourselves passes; anything that leaves samples in clear, or hides bytes, does not.
func TestCheckProtected(t *testing.T) {
	for name, m := range map[string]*media{
		"avc": {init: readTestdata(t, "avc-init.mp4"), fragments: []Clear{readTestdata(t, "avc-1.m4s")}},
		"aac": {init: aacInit(2), fragments: []Clear{aacChunk(0x21, 0x20)}},
	} {
		for _, scheme := range drm.Schemes {
			pr := newTestProtector(t, m.init, testProtection(scheme))
			out := Clear(mustProtect(t, pr, m.all()))
			if err := CheckProtected(Clear(pr.Init()), out); err != nil {
				t.Errorf("%s, %s: %v", name, scheme, err)
			}
			if err := CheckProtected(m.init, out); err == nil {
				t.Errorf("%s, %s: accepted under the clear init segment", name, scheme)
			}
			if err := CheckProtected(Clear(pr.Init()), m.all()); err == nil {
				t.Errorf("%s, %s: the clear segment passes", name, scheme)
			}
		}
	}
	pr := twoAndText(t, drm.SchemeCenc)
	seg := muxedChunk(muxedData(),
		trafParts{1, tfhdBaseIsMoof, 0, []placedRun{{0, []uint32{100, 60}, false}}, nil},
		trafParts{3, tfhdBaseIsMoof, 0, []placedRun{{160, []uint32{8}, false}}, nil},
		trafParts{2, tfhdBaseIsMoof, 0, []placedRun{{168, []uint32{40}, false}}, nil})
	if err := CheckProtected(Clear(pr.Init()), Clear(mustProtect(t, pr, seg))); err != nil {
		t.Errorf("muxed: %v", err)
	}
}

// aacInit is an init segment of AAC with an audioObjectType.
func aacInit(objectType byte) Clear {
	config := slices.Concat([]byte{4, 17, 0x40}, make([]byte, 12), []byte{5, 2, objectType << 3, 0x10})
	config[1] = byte(len(config) - 2)
	es := slices.Concat([]byte{3, 0x80, 0x80, byte(3 + len(config)), 0, 0, 0}, config) // a length in three bytes
	return initParts{entries: [][]byte{entryAudio("mp4a", mk("esds", n32(0), es))}}.build()
}

// aacChunk holds two frames that begin with these bytes.
func aacChunk(first, second byte) Clear {
	return with(func(c *chunkParts) {
		c.data = bytes.Clone(c.data)
		c.data[0], c.data[100] = first, second
	})
}

// TestClearAudioIsToldFromEncrypted: under a constant IV without senc, the beginnings of the samples are all there is.
func TestClearAudioIsToldFromEncrypted(t *testing.T) {
	other := func(entry string) Clear { return initParts{entries: [][]byte{entryAudio(entry)}}.build() }
	sound := func(first, second []byte) Clear {
		return with(func(c *chunkParts) {
			c.data = bytes.Clone(c.data)
			copy(c.data, first)
			copy(c.data[100:], second)
		})
	}
	sync := []byte{0x0b, 0x77}
	silence := make([]byte, 16)
	for name, tc := range map[string]struct {
		init Clear
		seg  Clear
		is   error // nil: it passes
	}{
		"AAC, pairs":                      {aacInit(2), aacChunk(0x21, 0x20), errClearFrames},
		"AAC, single channels":            {aacInit(5), aacChunk(0x00, 0x01), errClearFrames},
		"AAC, one of two by chance":       {aacInit(2), aacChunk(0x21, 0x9f), nil},
		"AAC that is encrypted":           {aacInit(2), aacChunk(0x61, 0x9f), nil},
		"AAC, silence":                    {aacInit(2), sound(silence, silence), nil},
		"AC-3":                            {other("ac-3"), sound(sync, append(sync, 1)), errClearFrames},
		"E-AC-3":                          {other("ec-3"), sound(sync, append(sync, 1)), errClearFrames},
		"E-AC-3 that is encrypted":        {other("ec-3"), sound([]byte{9, 1}, []byte{8, 1}), nil},
		"USAC, which begins otherwise":    {aacInit(31), aacChunk(0x61, 0x9f), errWholeSamples},
		"AAC-ELD likewise":                {aacInit(23), aacChunk(0x61, 0x9f), errWholeSamples},
		"AAC without a configuration":     {initParts{}.build(), aacChunk(0x61, 0x9f), errWholeSamples},
		"a codec that nothing is seen of": {other("Opus"), aacChunk(0x61, 0x9f), errWholeSamples},
	} {
		init := newTestProtector(t, tc.init, testProtection(drm.SchemeCbcs)).Init()
		if err := CheckProtected(Clear(init), tc.seg); !errors.Is(err, tc.is) || tc.is == nil && err != nil {
			t.Errorf("%s: got %v, want %v", name, err, tc.is)
		}
	}
}

// TestInitThatPasses: an init segment that came protected is taken where that is asked for, leaves byte for byte, and nothing is
// encrypted under it.
func TestInitThatPasses(t *testing.T) {
	clear := readTestdata(t, "avc-init.mp4")
	seg := readTestdata(t, "avc-1.m4s")
	pr := newTestProtector(t, clear, testProtection(drm.SchemeCenc))
	blank := append(Clear(slices.Clone(pr.Init())), mk("free", make([]byte, 40))...)
	if _, err := ParseInit(blank); !errors.Is(err, ErrAlreadyProtected) {
		t.Errorf("without the option: %v", err)
	}
	in, err := ParseInitWith(blank, ParseOptions{Protected: true})
	if err != nil || !in.Protected() || !bytes.Equal(in.PassInit(), blank) || in.Digest() == [16]byte{} {
		t.Fatalf("%v", err)
	}
	if _, err := NewProtector(in, testProtection(drm.SchemeCenc)); !errors.Is(err, ErrAlreadyProtected) {
		t.Errorf("a protector for it: %v", err)
	}
	out := Clear(mustProtect(t, pr, seg))
	if passed, err := in.Pass(out); err != nil || !bytes.Equal(passed, out) {
		t.Errorf("its segment: %v", err)
	}
	if _, err := in.Pass(seg); err == nil {
		t.Error("a clear segment passes")
	}
	hidden := append(Clear(slices.Clone(pr.Init())), mk("free", seg)...)
	if _, err := ParseInitWith(hidden, ParseOptions{Protected: true}); !errors.Is(err, errHiddenBytes) {
		t.Errorf("bytes in free: %v", err)
	}
	own, err := ParseInitWith(clear, ParseOptions{Protected: true})
	if err != nil || own.Protected() || own.PassInit() != nil {
		t.Errorf("a clear one: %v", err)
	}
	if _, err := own.Pass(out); err == nil {
		t.Error("a segment passes under a clear init segment")
	}
}

// TestCheckProtectedRefuses takes boxes by hand.
func TestCheckProtectedRefuses(t *testing.T) {
	audio := Clear(newTestProtector(t, initParts{}.build(), testProtection(drm.SchemeCenc)).Init())
	video := Clear(newTestProtector(t, readTestdata(t, "avc-init.mp4"), testProtection(drm.SchemeCenc)).Init())
	iv := make([]byte, 8)
	senc := func(flags, count uint32, infos ...[]byte) []byte {
		return mk("senc", n32(flags, count), slices.Concat(infos...))
	}
	subs := func(values ...uint16) []byte {
		b := []byte{byte(len(values) >> 9), byte(len(values) / 2)}
		for i, v := range values {
			if i%2 == 1 {
				b = append(b, 0, 0)
			}
			b = append(b, byte(v>>8), byte(v))
		}
		return b
	}
	whole := senc(0, 2, iv, iv)
	traf := func(b ...[]byte) []byte { return with(func(c *chunkParts) { c.traf = slices.Concat(b...) }) }
	big := func(sub []byte) []byte {
		return with(func(c *chunkParts) {
			c.runs, c.data, c.traf = simpleRun(5000), pattern(5000, 1), senc(2, 1, iv, sub)
		})
	}
	seig := func(b ...byte) []byte {
		return mk("sgpd", n32(1<<24), []byte("seig"), n32(20, 1), b, make([]byte, 16))
	}
	for name, tc := range map[string]struct {
		init Clear
		seg  []byte
		is   error // nil: accepted
	}{
		"whole samples":             {audio, traf(whole), nil},
		"subsamples":                {video, traf(senc(2, 2, iv, subs(10, 90), iv, subs(60, 0))), nil},
		"small and clear":           {video, traf(senc(2, 2, iv, subs(100, 0), iv, subs(60, 0))), nil},
		"no subsamples of a sample": {video, traf(senc(2, 2, iv, subs(), iv, subs())), nil},
		"another key":               {audio, traf(whole, seig(0, 0, 1, 8)), nil},
		"pssh in moof":              {audio, with(func(c *chunkParts) { c.traf, c.moof = whole, drm.AppendCommonPssh(nil) }), nil},
		"no senc":                   {audio, traf(), errNoSenc},
		"large and clear":           {video, big(subs(5000, 0)), errNothing},
		"one sample too few":        {audio, traf(senc(0, 1, iv)), errSenc},
		"too short":                 {audio, traf(senc(0, 2, iv)), errSenc},
		"too long":                  {audio, traf(senc(0, 2, iv, iv, iv)), errSenc},
		"subsamples too short":      {video, traf(senc(2, 2, iv, subs(10, 89), iv, subs(0, 60))), errSenc},
		"subsamples too long":       {video, traf(senc(2, 2, iv, subs(10, 91), iv, subs(0, 60))), errSenc},
		"subsamples cut":            {video, traf(senc(2, 2, iv, subs(10, 90), iv, []byte{0, 1, 0, 0})), errSenc},
		"overridden parameters":     {audio, traf(senc(1, 2, iv, iv)), errSenc},
		"a group in clear":          {audio, traf(whole, seig(0, 0, 0, 0)), errSeig},
		"a group with other IVs":    {audio, traf(whole, seig(0, 0, 1, 16)), errSeig},
		"a group cut":               {audio, traf(whole, mk("sgpd", n32(1<<24), []byte("seig"), n32(20, 1, 0))), errSeig},
		"a group without a length":  {audio, traf(whole, mk("sgpd", n32(0), []byte("seig"))), errSeig},
		"bytes in free, top level":  {audio, append(traf(whole), mk("free", []byte{1})...), errHiddenBytes},
		"bytes in free, in moof":    {audio, with(func(c *chunkParts) { c.traf, c.moof = whole, mk("skip", []byte{1}) }), errHiddenBytes},
		"bytes in free, in traf":    {audio, traf(whole, mk("free", []byte{0, 1})), errHiddenBytes},
		"bytes beside the samples":  {audio, with(func(c *chunkParts) { c.traf, c.tail = whole, []byte{1} }), errDataUnused},
		"a second mdat":             {audio, append(traf(whole), mk("mdat", []byte{1})...), errStrayMdat},
		"an unknown uuid":           {audio, traf(whole, mk("uuid", make([]byte, 16))), errTrafBox},
		"nothing":                   {audio, nil, errNoFragment},
		"another track":             {audio, with(func(c *chunkParts) { c.trackID, c.traf = 2, whole }), ErrTrackMismatch},
	} {
		err := CheckProtected(tc.init, tc.seg)
		var fe *FormatError
		if tc.is == nil && err != nil || tc.is != nil && (!errors.Is(err, tc.is) || !errors.As(err, &fe)) {
			t.Errorf("%s: got %v, want %v", name, err, tc.is)
		}
	}
}

// packagerFile protects m with shaka-packager.
func packagerFile(t *testing.T, m *media, scheme drm.ProtectionScheme) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "theirs.mp4")
	runTool(t, testtools.Packager, append([]string{
		fmt.Sprintf("in=%s,stream=%s,output=%s", m.path, m.stream, path), "--quiet",
		"--protection_scheme", scheme.String(), "--clear_lead", "0",
	}, keyArguments("encryption")...)...)
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestCheckProtectedForeign: files that shaka-packager protected pass.
func TestCheckProtectedForeign(t *testing.T) {
	for _, name := range []string{"avc", "aac"} {
		for _, scheme := range drm.Schemes {
			m := loadMedia(t, name)
			init, fragments := cutFile(t, packagerFile(t, m, scheme))
			if !IsProtected(init) {
				t.Errorf("%s, %s: not protected", name, scheme)
			}
			for i, f := range fragments {
				if err := CheckProtected(init, f); err != nil {
					t.Errorf("%s, %s, fragment %d: %v", name, scheme, i, err)
				}
			}
		}
	}
}
