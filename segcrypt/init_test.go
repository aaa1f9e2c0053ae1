package segcrypt

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/caddy-drm/caddy-drm/drm"
)

func readTestdata(t testing.TB, name string) Clear {
	t.Helper()
	b, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestParseInit(t *testing.T) {
	b := readTestdata(t, "avc-init.mp4")
	in, err := ParseInit(b)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(b)
	if in.Digest() != [16]byte(sum[:16]) {
		t.Errorf("digest %x, want the start of %x", in.Digest(), sum)
	}
	want := []Track{{ID: 1, Kind: KindVideo, SampleEntry: "avc1", Timescale: 12800, Width: 128, Height: 96}}
	if got := in.Tracks(); !slices.Equal(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	clear(b)
	if sum := sha256.Sum256(in.clear); in.Digest() != [16]byte(sum[:16]) {
		t.Error("the input was not copied")
	}
}

func TestParseInitRefuses(t *testing.T) {
	sinf := mk("sinf", mk("frma", []byte("mp4a")))
	for name, tc := range map[string]struct {
		init Clear
		path string
		is   error
	}{
		"nothing":                {nil, "init", errInitSize},
		"2 MiB":                  {make(Clear, 2<<20), "init", errInitSize},
		"no moov":                {mk("ftyp", n32(0, 0)), "moov", errMissing},
		"a track twice":          {initParts{traks: 2}.build(), "moov/trak/tkhd", errTrackID},
		"two moov":               {slices.Concat(initParts{}.build(), initParts{}.build()), "moov", errRepeated},
		"media behind it":        {initParts{after: mk("mdat", pattern(9, 1))}.build(), "mdat", errInitBox},
		"a file with a fragment": {slices.Concat(initParts{}.build(), defaultChunk().build()), "moof", errInitBox},
		"progressive":            {initParts{stts: 1}.build(), "moov/trak/mdia/minf/stbl/stts", errProgressive},
		"no mvex":                {initParts{noMvex: true}.build(), "moov/mvex", errMissing},
		"trex of another track":  {initParts{trexID: 5}.build(), "moov/mvex", errTrexTrack},
		"track_ID 0":             {replaceTrackID(initParts{}.build()), "moov/trak/tkhd", errZeroTrackID},
		"pssh":                   {initParts{moov: drm.AppendCommonPssh(nil)}.build(), "moov/pssh", ErrAlreadyProtected},
		"enca":                   {initParts{entries: [][]byte{entryAudio("enca", sinf)}}.build(), "stsd/enca", ErrAlreadyProtected},
		"encv":                   {initParts{handler: "vide", entries: [][]byte{entryVideo("encv", sinf)}}.build(), "stsd/encv", ErrAlreadyProtected},
		"a sinf in mp4a":         {initParts{entries: [][]byte{entryAudio("mp4a", sinf)}}.build(), "stsd/mp4a", ErrAlreadyProtected},
		"an unknown codec":       {initParts{handler: "vide", entries: [][]byte{entryVideo("vp08")}}.build(), "stsd/vp08", ErrUnsupportedSampleEntry},
		"VVC, not switched on":   {initParts{handler: "vide", entries: [][]byte{entryVideo("vvc1")}}.build(), "stsd/vvc1", ErrUnsupportedSampleEntry},
		"Dolby Vision, no hvcC":  {initParts{handler: "vide", entries: [][]byte{entryVideo("dvh1")}}.build(), "stsd/dvh1", errCodecConfig},
		"video said to be text":  {initParts{handler: "text", entries: [][]byte{entryVideo("avc1")}}.build(), "stsd/avc1", errEntryHandler},
		"text said to be video":  {initParts{handler: "vide", entries: [][]byte{mk("wvtt", make([]byte, 8))}}.build(), "stsd/wvtt", errEntryHandler},
		"no avcC":                {initParts{handler: "vide", entries: [][]byte{entryVideo("avc1")}}.build(), "stsd/avc1", errCodecConfig},
		"no hvcC":                {initParts{handler: "vide", entries: [][]byte{entryVideo("hvc1")}}.build(), "stsd/hvc1", errCodecConfig},
		"no av1C":                {initParts{handler: "vide", entries: [][]byte{entryVideo("av01")}}.build(), "stsd/av01", errCodecConfig},
		"broken avcC":            {initParts{handler: "vide", entries: [][]byte{entryVideo("avc1", mk("avcC", []byte{1, 100, 0, 31, 0xff, 0xe1, 0xff, 0xff}))}}.build(), "stsd/avc1/avcC", errCodecConfig},
		"NAL lengths of 3 bytes": {initParts{handler: "vide", entries: [][]byte{entryVideo("avc1", mk("avcC", []byte{1, 100, 0, 31, 0xfe, 0xe0, 0}))}}.build(), "stsd/avc1/avcC", errLengthSize},
		"a short sound entry":    {initParts{entries: [][]byte{mk("mp4a", make([]byte, 27))}}.build(), "stsd/mp4a", errBoxLength},
		"entries of two kinds": {
			initParts{entries: [][]byte{entryAudio("mp4a"), mk("stpp")}}.build(), "stsd/stpp", errEntryHandler,
		},
	} {
		t.Run(name, func(t *testing.T) {
			in, err := ParseInit(tc.init)
			var fe *FormatError
			if in != nil || !errors.As(err, &fe) || !errors.Is(err, tc.is) || fe.Path != tc.path {
				t.Fatalf("got %v, want %q at %q", err, tc.is, tc.path)
			}
		})
	}
}

func replaceTrackID(b Clear) Clear {
	i := bytes.Index(b, []byte("tkhd"))
	copy(b[i+4+12:], n32(0))
	return b
}

// TestParseInitCut: no prefix of an init segment is accepted or panics.
func TestParseInitCut(t *testing.T) {
	b := readTestdata(t, "avc-init.mp4")
	for n := range len(b) {
		if _, err := ParseInit(b[:n]); err == nil {
			t.Fatalf("the first %d of %d bytes were accepted", n, len(b))
		}
	}
}

// findBox returns the payload of the first box at the path of types; audio and visual entries are stepped into.
func findBox(t testing.TB, b []byte, path ...string) []byte {
	t.Helper()
	for _, name := range path {
		var found []byte
		if err := eachBox(b, 0, len(b), name, func(x box) error {
			if x.typ == cc(name) && found == nil {
				found = b[x.payload():x.end]
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		if found == nil {
			t.Fatalf("no %s in %v", name, path)
		}
		switch b = found; name {
		case "stsd":
			b = b[8:]
		case "encv":
			b = b[visualEntryBytes:]
		case "enca":
			b = b[audioEntryBytes:]
		}
	}
	return b
}

// TestProtectInit checks the protection boxes byte by byte (23001-7, 8.2; 14496-12, 8.12).
func TestProtectInit(t *testing.T) {
	const tencHead = "0123456789abcdef0123456789abcdef"
	schm := func(scheme string) []byte { return slices.Concat(n32(0), []byte(scheme), n32(0x10000)) }
	audio := initParts{}.build()
	for name, tc := range map[string]struct {
		init   Clear
		scheme drm.ProtectionScheme
		entry  string
		frma   string
		tenc   string // payload
		growth int
	}{
		"video cenc": {readTestdata(t, "avc-init.mp4"), drm.SchemeCenc, "encv", "avc1", "00000000" + "00000108" + tencHead, 80},
		"video cbcs": {readTestdata(t, "avc-init.mp4"), drm.SchemeCbcs, "encv", "avc1", "01000000" + "00190100" + tencHead + "10" + testIVHex, 97},
		"audio cenc": {audio, drm.SchemeCenc, "enca", "mp4a", "00000000" + "00000108" + tencHead, 80},
		"audio cbcs": {audio, drm.SchemeCbcs, "enca", "mp4a", "01000000" + "00000100" + tencHead + "10" + testIVHex, 97},
	} {
		t.Run(name, func(t *testing.T) {
			p := testProtection(tc.scheme)
			p.Pssh = drm.AppendCommonPssh(drm.AppendCommonPssh(nil, p.Key.KID()), p.Key.KID())
			out := newTestProtector(t, tc.init, p).Init()
			if want := len(tc.init) + tc.growth + len(p.Pssh); len(out) != want {
				t.Errorf("%d bytes, want %d", len(out), want)
			}
			if !bytes.HasSuffix(out, p.Pssh) {
				t.Error("the pssh boxes are not last in moov")
			}
			path := []string{"moov", "trak", "mdia", "minf", "stbl", "stsd", tc.entry, "sinf"}
			if got := findBox(t, out, append(path, "frma")...); string(got) != tc.frma {
				t.Errorf("frma %q", got)
			}
			if got := findBox(t, out, append(path, "schm")...); !bytes.Equal(got, schm(tc.scheme.String())) {
				t.Errorf("schm %x", got)
			}
			if got := findBox(t, out, append(path, "schi", "tenc")...); !bytes.Equal(got, mustHex(tc.tenc)) {
				t.Errorf("tenc %x, want %s", got, tc.tenc)
			}
			if _, err := ParseInit(Clear(out)); !errors.Is(err, ErrAlreadyProtected) {
				t.Errorf("the output as input: %v", err)
			}
		})
	}
}

// TestInitSeveralEntries: every sample entry is protected, and fragments may name any of them.
func TestInitSeveralEntries(t *testing.T) {
	entries := [][]byte{entryAudio("mp4a", mk("esds", n32(0))), entryAudio("Opus", mk("dOps", n32(0)))}
	pr := newTestProtector(t, initParts{entries: entries, after: mk("free", pattern(20, 1))}.build(), testProtection(drm.SchemeCbcs))
	stsd := findBox(t, pr.Init(), "moov", "trak", "mdia", "minf", "stbl", "stsd")
	n := 0
	if err := eachBox(stsd, 0, len(stsd), "stsd", func(x box) error {
		entry := stsd[x.payload()+audioEntryBytes : x.end]
		if frma := findBox(t, entry, "sinf", "frma"); x.typ != cc("enca") || string(frma) != []string{"mp4a", "Opus"}[n] {
			t.Errorf("entry %d is %s of %s", n+1, x.typ, frma)
		}
		n++
		return nil
	}); err != nil || n != 2 {
		t.Errorf("%d entries, %v", n, err)
	}
	if got := topLevelTypes(t, pr.Init()); got != "ftyp moov" {
		t.Errorf("top level: %s", got)
	}
	mustProtect(t, pr, with(func(c *chunkParts) { c.tfhdFlags |= tfhdDescription; c.desc = 2 }))
}

func TestNewProtectorRefuses(t *testing.T) {
	in, err := ParseInit(initParts{}.build())
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*Protection){
		"no scheme":        func(p *Protection) { p.Scheme = 0 },
		"no key":           func(p *Protection) { p.Key = drm.ContentKey{} },
		"no IV secret":     func(p *Protection) { p.IVSecret = [32]byte{} },
		"a pssh that ends": func(p *Protection) { p.Pssh = drm.AppendCommonPssh(nil)[:30] },
		"not a pssh":       func(p *Protection) { p.Pssh = mk("free", make([]byte, 40)) },
	} {
		p := testProtection(drm.SchemeCenc)
		change(&p)
		if pr, err := NewProtector(in, p); pr != nil || !errors.Is(err, ErrProtection) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := NewProtector(nil, testProtection(drm.SchemeCenc)); !errors.Is(err, ErrProtection) {
		t.Errorf("no init: %v", err)
	}
}

// TestText: text tracks pass byte for byte; media of another kind does not pass as text.
func TestText(t *testing.T) {
	vtt := slices.Concat(mk("vttc", mk("payl", []byte("Hello"))), mk("vtte"))
	ttml := []byte("\xef\xbb\xbf\n<tt xmlns=\"http://www.w3.org/ns/ttml\"/>")
	for name, tc := range map[string]struct {
		entry, handler string
		data           []byte
		ok             bool
	}{
		"wvtt":             {"wvtt", "text", vtt, true},
		"stpp":             {"stpp", "subt", ttml, true},
		"NAL units, wvtt":  {"wvtt", "text", readTestdata(t, "avc-1.m4s")[200:400], false},
		"NAL units, stpp":  {"stpp", "subt", readTestdata(t, "avc-1.m4s")[200:400], false},
		"AAC as subtitles": {"stpp", "subt", []byte{0x21, 0x10, 0x04}, false},
	} {
		t.Run(name, func(t *testing.T) {
			init := initParts{handler: tc.handler, entries: [][]byte{mk(tc.entry, make([]byte, 8), []byte("x\x00\x00\x00"))}}.build()
			seg := with(func(c *chunkParts) { c.data, c.runs = tc.data, simpleRun(uint32(len(tc.data))) })
			pr := newTestProtector(t, init, Protection{})
			if !bytes.Equal(pr.Init(), init) {
				t.Error("the init segment changed")
			}
			out, err := pr.ProtectSegment(nil, seg)
			if tc.ok && (err != nil || !bytes.Equal(out, seg)) {
				t.Errorf("%v, unchanged: %v", err, bytes.Equal(out, seg))
			}
			if !tc.ok && (err == nil || out != nil) {
				t.Error("it passed")
			}
		})
	}
}

// TestNoSecretInText: no verb prints the key or the IV secret.
func TestNoSecretInText(t *testing.T) {
	p := testProtection(drm.SchemeCenc)
	p.IVSecret = [32]byte(bytes.Repeat([]byte{0xa7}, 32))
	pr := newTestProtector(t, initParts{}.build(), p)
	for _, verb := range []string{"%v", "%+v", "%#v", "%x", "%s", "%d"} {
		text := fmt.Sprintf(verb+" "+verb+" "+verb, p, &p, pr)
		for _, secret := range []string{testKeyHex, "a7a7a7", "167 167", "0xa7"} {
			if strings.Contains(text, secret) {
				t.Errorf("%s prints %s", verb, text)
			}
		}
	}
}
