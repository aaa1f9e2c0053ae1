package inspect

import (
	"bytes"
	"encoding/base64"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddy-drm/caddy-drm/drm"
	"github.com/caddy-drm/caddy-drm/segcrypt"
)

var testKID = drm.KID{0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef, 0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef}

func testKey(t testing.TB, first byte) drm.ContentKey {
	t.Helper()
	secret := bytes.Repeat([]byte{0x5a}, 16)
	secret[0] = first
	key, err := drm.NewContentKey(testKID, secret, bytes.Repeat([]byte{7}, 16))
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func playReadyPssh(t testing.TB, scheme drm.ProtectionScheme, keys ...drm.PlayReadyKey) []byte {
	t.Helper()
	box, err := drm.AppendPlayReadyPssh(nil, drm.PlayReadyHeader{Scheme: scheme, Keys: keys, LicenseURL: "https://license.example/pr?token=secret-of-a-viewer"})
	if err != nil {
		t.Fatal(err)
	}
	return box
}

// protectedTrack protects an init segment and a media segment of the demo title, with boxes of three systems.
func protectedTrack(t testing.TB, track string, scheme drm.ProtectionScheme) (init, segment []byte) {
	t.Helper()
	key := testKey(t, 1)
	read := func(name string) []byte {
		b, err := os.ReadFile(filepath.Join("..", "testdata", "demo", track, name))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	clearInit, err := segcrypt.ParseInit(read("init.mp4"))
	if err != nil {
		t.Fatal(err)
	}
	pssh := drm.AppendWidevinePssh(drm.AppendCommonPssh(nil, testKID), drm.WidevineInit{KIDs: []drm.KID{testKID}, Scheme: scheme})
	pssh = append(pssh, playReadyPssh(t, scheme, drm.NewPlayReadyKey(key))...)
	protector, err := segcrypt.NewProtector(clearInit, segcrypt.Protection{Scheme: scheme, Key: key, Pssh: pssh, IVSecret: [32]byte{1}})
	if err != nil {
		t.Fatal(err)
	}
	if segment, err = protector.ProtectSegment(nil, read("seg_1.m4s")); err != nil {
		t.Fatal(err)
	}
	return protector.Init(), segment
}

func explain(t *testing.T, b []byte, o Options) Result {
	t.Helper()
	before := bytes.Clone(b)
	result, err := Explain(b, o)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(b, before) {
		t.Error("the input was changed")
	}
	if strings.Contains(result.Text, "secret-of-a-viewer") {
		t.Error("the query of a URL is in the result")
	}
	return result
}

func wants(t *testing.T, r Result, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(r.Text, part) {
			t.Errorf("no %q in\n%s", part, r.Text)
		}
	}
}

func TestExplainSignals(t *testing.T) {
	common := drm.AppendCommonPssh(nil, testKID)
	widevine := drm.AppendWidevinePssh(nil, drm.WidevineInit{
		KIDs: []drm.KID{testKID}, Provider: "p\nq", ContentID: []byte("film"), Policy: "hd", Scheme: drm.SchemeCbcs, Rotates: true, CryptoPeriodIndex: 7, CryptoPeriodSeconds: 600,
	})
	playReady := playReadyPssh(t, drm.SchemeCenc, drm.NewPlayReadyKey(testKey(t, 1)))
	for name, test := range map[string]struct {
		input []byte
		parts []string
	}{
		"a common box":        {common, []string{"pssh of W3C common (1077efec-c0b2-4d02-ace3-3c1e52e2fb4b), version 1", "KID 01234567-89ab-cdef-0123-456789abcdef"}},
		"the same in base64":  {[]byte(base64.StdEncoding.EncodeToString(common) + "\n"), []string{"pssh of W3C common"}},
		"base64 of URLs":      {[]byte(base64.RawURLEncoding.EncodeToString(widevine)), []string{"pssh of Widevine"}},
		"Widevine":            {widevine, []string{"key_id 01234567", "protection_scheme cbcs", `provider "p\nq"`, `content_id "film"`, `policy "hd"`, "crypto_period_index 7\n", "crypto_period_seconds 600\n"}},
		"PlayReady":           {playReady, []string{"header 4.0, cenc", "KID 01234567-89ab-cdef-0123-456789abcdef, checksum ", `LA_URL "https://license.example/pr?…"`}},
		"a bare object":       {playReady[32:], []string{"PlayReady Object of ", "header 4.0"}},
		"an object in base64": {[]byte(base64.StdEncoding.EncodeToString(playReady[32:])), []string{"PlayReady Object of "}},
		"several boxes":       {append(bytes.Clone(common), widevine...), []string{"W3C common", "Widevine"}},
		"another system":      {drm.AppendPssh(nil, drm.Pssh{System: drm.SystemID(testKID), Data: []byte{1}}), []string{"pssh of 01234567-89ab-cdef-0123-456789abcdef", "1 byte of data"}},
	} {
		t.Run(name, func(t *testing.T) {
			r := explain(t, test.input, Options{})
			wants(t, r, test.parts...)
			if r.Broken > 0 {
				t.Errorf("broken:\n%s", r.Text)
			}
		})
	}
	for name, box := range map[string]drm.Pssh{
		"a common box with data":            {Version: 1, System: drm.SystemCommon, KIDs: []drm.KID{testKID}, Data: []byte{1}},
		"a common box without KIDs":         {System: drm.SystemCommon},
		"Widevine that is none":             {System: drm.SystemWidevine, Data: []byte{0xff}},
		"PlayReady that is none":            {System: drm.SystemPlayReady, Data: []byte{1, 2, 3}},
		"a PlayReady header that is no XML": {System: drm.SystemPlayReady, Data: []byte{14, 0, 0, 0, 1, 0, 1, 0, 4, 0, 'x', 0, 'y', 0}},
	} {
		t.Run(name, func(t *testing.T) {
			if r := explain(t, drm.AppendPssh(nil, box), Options{}); r.Broken != 1 || !strings.Contains(r.Text, "broken: ") {
				t.Errorf("%d faults:\n%s", r.Broken, r.Text)
			}
		})
	}
}

func TestExplainMedia(t *testing.T) {
	for _, scheme := range drm.Schemes {
		for track, format := range map[string]string{"video/360p": `"avc1"`, "audio/en": `"mp4a"`} {
			t.Run(scheme.String()+" "+track, func(t *testing.T) {
				init, segment := protectedTrack(t, track, scheme)
				r := explain(t, init, Options{})
				wants(t, r, "init segment, 1 track\n", format, `scheme "`+scheme.String()+`", KID 01234567-89ab-cdef-0123-456789abcdef`, "pssh of W3C common", "pssh of Widevine", "pssh of PlayReady")
				if scheme == drm.SchemeCenc {
					wants(t, r, "IVs of 8 bytes with each sample")
				} else {
					wants(t, r, "constant IV 07070707")
				}
				for how, r := range map[string]Result{
					"with its init segment":       explain(t, segment, Options{Init: init, Keys: []drm.ContentKey{testKey(t, 1)}}),
					"behind it":                   explain(t, append(bytes.Clone(init), segment...), Options{Keys: []drm.ContentKey{testKey(t, 1)}}),
					"without keys":                explain(t, segment, Options{Init: init}),
					"without its init segment":    explain(t, segment, Options{}),
					"with the key of another KID": explain(t, segment, Options{Init: init, Keys: []drm.ContentKey{otherKey(t)}}),
				} {
					if r.Broken > 0 || r.WrongKey > 0 || !strings.Contains(r.Text, "media segment 1, ") || !strings.Contains(r.Text, "sample") {
						t.Errorf("%s: %d broken, %d wrong keys:\n%s", how, r.Broken, r.WrongKey, r.Text)
					}
				}
				good := explain(t, segment, Options{Init: init, Keys: []drm.ContentKey{testKey(t, 1)}})
				evidence := map[string]string{`"avc1"`: "no sign of a wrong key in 101 NAL units", `"mp4a"`: "begin with the same AAC element, as media does"}[format]
				wants(t, good, evidence)
				wrong := explain(t, segment, Options{Init: init, Keys: []drm.ContentKey{testKey(t, 2)}})
				if scheme == drm.SchemeCenc {
					wants(t, good, "the key has the checksum of the PlayReady header")
					wants(t, wrong, "WRONG KEY: its checksum is not that of the PlayReady header")
				}
				if format == `"mp4a"` {
					wants(t, wrong, "WRONG KEY, or no such media")
				}
				if (scheme == drm.SchemeCenc || format == `"mp4a"`) && wrong.WrongKey == 0 {
					t.Errorf("the wrong key is not counted:\n%s", wrong.Text)
				}
				if strings.Contains(good.Text+wrong.Text, "5a5a") {
					t.Error("a key is in the result")
				}
				wants(t, explain(t, segment, Options{Init: init, Keys: []drm.ContentKey{otherKey(t)}}), "no key was given for KID 01234567")
			})
		}
	}
}

func otherKey(t *testing.T) drm.ContentKey {
	t.Helper()
	key, err := drm.NewContentKey(drm.KID{9}, bytes.Repeat([]byte{9}, 16), make([]byte, 16))
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func TestClearMediaIsCalledClear(t *testing.T) {
	for name, part := range map[string]string{"init.mp4": "clear\n", "seg_1.m4s": "clear, by what it says itself"} {
		b, err := os.ReadFile(filepath.Join("..", "testdata", "demo", "audio", "en", name))
		if err != nil {
			t.Fatal(err)
		}
		wants(t, explain(t, b, Options{}), part)
	}
}

func TestExplainManifests(t *testing.T) {
	widevine := base64.StdEncoding.EncodeToString(drm.AppendWidevinePssh(nil, drm.WidevineInit{KIDs: []drm.KID{testKID}, Scheme: drm.SchemeCenc}))
	object := base64.StdEncoding.EncodeToString(playReadyPssh(t, drm.SchemeCenc, drm.PlayReadyKey{KID: testKID})[32:])
	mpd := `<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" xmlns:cenc="urn:mpeg:cenc:2013" xmlns:mspr="urn:microsoft:playready" xmlns:dashif="https://dashif.org/CPS" type="dynamic">
<Period id="p1"><AdaptationSet contentType="video">
<ContentProtection schemeIdUri="urn:mpeg:dash:mp4protection:2011" value="cenc" cenc:default_KID="01234567-89AB-CDEF-0123-456789ABCDEF"/>
<ContentProtection schemeIdUri="urn:uuid:EDEF8BA9-79D6-4ACE-A3C8-27DCD51D21ED"><cenc:pssh>` + widevine + `</cenc:pssh><dashif:Laurl>https://u:p@l.example/wv?t=secret-of-a-viewer</dashif:Laurl></ContentProtection>
<ContentProtection schemeIdUri="urn:uuid:9a04f079-9840-4286-ab92-e65be0885f95"><mspr:pro>` + object + `</mspr:pro></ContentProtection>
<Representation id="a" codecs="avc1.4d401e" width="640" height="360"/></AdaptationSet></Period></MPD>`
	r := explain(t, []byte(mpd), Options{})
	wants(t, r, "MPD, dynamic\n", `Period id="p1"`, `AdaptationSet contentType="video"`, `scheme "cenc"`, "KID 01234567-89ab-cdef-0123-456789abcdef", "Widevine (edef8ba9",
		"protection_scheme cenc", "PlayReady (9a04f079", "header 4.0, cenc", `Laurl "https://…@l.example/wv?…"`, `Representation id="a" codecs="avc1.4d401e" width="640" height="360"`)
	if r.Broken > 0 {
		t.Errorf("broken:\n%s", r.Text)
	}
	playlist := "#EXTM3U\r\n#EXT-X-KEY:METHOD=SAMPLE-AES,URI=\"skd://k1\",KEYFORMAT=\"com.apple.streamingkeydelivery\",KEYFORMATVERSIONS=\"1\"\r\n" +
		"#EXT-X-KEY:METHOD=SAMPLE-AES-CTR,URI=\"data:text/plain;base64," + widevine + "\",KEYID=0x0123456789ABCDEF0123456789ABCDEF,KEYFORMAT=\"urn:uuid:edef8ba9-79d6-4ace-a3c8-27dcd51d21ed\"\r\n" +
		"#EXT-X-KEY:METHOD=SAMPLE-AES,URI=\"data:text/plain;charset=UTF-16;base64," + object + "\",KEYFORMAT=\"com.microsoft.playready\"\r\n" +
		"#EXTINF:2,\r\na.m4s\r\n#EXT-X-KEY:METHOD=AES-128,URI=\"https://k.example/key?s=secret-of-a-viewer\",IV=0x00000000000000000000000000000001\r\n#EXTINF:2,\r\nb.m4s\r\n#EXT-X-KEY:METHOD=NONE\r\n"
	r = explain(t, []byte(playlist), Options{})
	wants(t, r, "HLS media playlist", "SAMPLE-AES (cbcs in fragmented MP4), from segment 1 on", "FairPlay", `URI "skd://k1"`, "SAMPLE-AES-CTR (cenc)", "Widevine (edef", "key_id 01234567",
		"PlayReady Object", "AES-128 (whole segments), from segment 2 on", `"identity"`, `URI "https://k.example/key?…"`, "IV \"0x", "NONE (clear), from segment 3 on", "2 segments")
	if r.Broken > 0 {
		t.Errorf("broken:\n%s", r.Text)
	}
	wants(t, explain(t, []byte("#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\na.m3u8\n"), Options{}), "HLS multivariant playlist", "no key")
	wants(t, explain(t, []byte("\ufeff<MPD><Period/></MPD>"), Options{}), "MPD, static", "no ContentProtection")
	for name, text := range map[string]string{
		"a KID that is none":      strings.Replace(mpd, "01234567-89AB", "x", 1),
		"pssh that is no base64":  strings.Replace(mpd, widevine, "***", 1),
		"a pssh that is cut":      strings.Replace(mpd, widevine, widevine[:40], 1),
		"a key line without URI":  "#EXTM3U\n#EXT-X-KEY:METHOD=SAMPLE-AES\n",
		"a KEYID that is too big": "#EXTM3U\n#EXT-X-KEY:METHOD=SAMPLE-AES,URI=\"skd://a\",KEYID=0x01\n",
	} {
		if r := explain(t, []byte(text), Options{}); r.Broken != 1 {
			t.Errorf("%s: %d faults:\n%s", name, r.Broken, r.Text)
		}
	}
}

func TestExplainClearKey(t *testing.T) {
	const kid, key = "ASNFZ4mrze8BI0VniavN7w", "ABEiM0RVZneImaq7zN3u_w"
	for name, test := range map[string]struct {
		input  string
		broken int
		parts  []string
	}{
		"keyids":          {`{"kids":["` + kid + `"]}`, 0, []string{"initialization data keyids, or a license release", "; 1 KID\n", "KID 01234567-89ab-cdef-0123-456789abcdef\n"}},
		"a request":       {"\n" + ` {"kids":["` + kid + `"],"type":"persistent-license"}`, 0, []string{`license request of ClearKey, type "persistent-license", 1 KID`, "KID 01234567-"}},
		"a license":       {`{"keys":[{"kty":"oct","kid":"` + kid + `","k":"` + key + `"}],"type":"temporary"}`, 0, []string{`license of ClearKey, type "temporary", 1 key`, "KID 01234567-"}},
		"padding":         {`{"kids":["` + kid + `=="]}`, 1, []string{"broken: a KID"}},
		"a short key":     {`{"keys":[{"kty":"oct","kid":"` + kid + `","k":"` + key[:20] + `"}]}`, 1, []string{"broken: its key"}},
		"another type":    {`{"kids":["` + kid + `"],"type":"x"}`, 1, []string{"broken: the session types"}},
		"no key, no name": {`{"kids":[]}`, 1, []string{"broken: it names no key"}},
	} {
		t.Run(name, func(t *testing.T) {
			r := explain(t, []byte(test.input), Options{})
			wants(t, r, test.parts...)
			if r.Broken != test.broken || strings.Contains(r.Text, key[:12]) {
				t.Errorf("%d faults, or a key:\n%s", r.Broken, r.Text)
			}
		})
	}
}

func TestExplainRefuses(t *testing.T) {
	init, segment := protectedTrack(t, "audio/en", drm.SchemeCenc)
	for name, test := range map[string]struct {
		input []byte
		is    error
	}{
		"nothing":                     {nil, ErrUnknown},
		"text":                        {[]byte("hello"), ErrUnknown},
		"another JSON object":         {[]byte(`{"key":"x"}`), ErrUnknown},
		"JSON that breaks off":        {[]byte(`{"kids":["`), ErrUnknown},
		"too much JSON":               {[]byte(`{"kids":[]` + strings.Repeat(" ", maxClearKey) + `}`), nil},
		"HTML":                        {[]byte("<html></html>"), ErrUnknown},
		"XML that is empty":           {[]byte("<!-- -->"), ErrUnknown},
		"an MPD that breaks off":      {[]byte("<MPD><Period>"), nil},
		"an init segment that is cut": {init[:len(init)-1], nil},
		"a segment that is cut":       {segment[:len(segment)-1], nil},
		"a pssh that is cut":          {drm.AppendCommonPssh(nil, testKID)[:51], nil},
		"a header that is cut":        {append(bytes.Clone(init), 0, 0, 0), nil},
		"2^32 samples":                {counting(segment, "saiz", 5), nil},
		"boxes that are deep":         {deep(40), nil},
		"a box that leaves its moof":  {leaving(segment), nil},
		"a box of 2^63 bytes":         {[]byte("\x00\x00\x00\x01free\x80\x00\x00\x00\x00\x00\x00\x00"), nil},
	} {
		r, err := Explain(test.input, Options{})
		if err == nil || test.is != nil && !errors.Is(err, test.is) || r != (Result{}) {
			t.Errorf("%s: %v, %+v", name, err, r)
		}
	}
}

// counting lets a box of a segment count what cannot be.
func counting(segment []byte, kind string, offset int) []byte {
	b := bytes.Clone(segment)
	at := bytes.Index(b, []byte(kind)) + 4 + offset
	copy(b[at:], "\xff\xff\xff\xff")
	return b
}

// leaving makes mfhd longer than the moof around it.
func leaving(segment []byte) []byte {
	b := bytes.Clone(segment)
	copy(b[bytes.Index(b, []byte("mfhd"))-4:], "\x00\x00\xff\xff")
	return b
}

// deep nests boxes.
func deep(n int) (b []byte) {
	for range n {
		b = append([]byte{0, 0, byte((len(b) + 8) >> 8), byte(len(b) + 8), 't', 'r', 'a', 'k'}, b...)
	}
	copy(b[4:], "moov")
	return b
}

func FuzzExplain(f *testing.F) {
	f.Add([]byte(`{"kids":["ASNFZ4mrze8BI0VniavN7w"],"type":"temporary","keys":[{"kty":"oct","kid":"ASNFZ4mrze8BI0VniavN7w","k":"ABEiM0RVZneImaq7zN3u_w"}]}`))
	init, segment := protectedTrack(f, "audio/en", drm.SchemeCenc)
	f.Add(append(bytes.Clone(init), segment[:4000]...))
	f.Add(init)
	f.Add(segment)
	f.Add([]byte("#EXTM3U\n#EXT-X-KEY:METHOD=SAMPLE-AES,URI=\"skd://a\",KEYID=0x01\n"))
	f.Add([]byte(`<MPD><Period><ContentProtection schemeIdUri="urn:uuid:x"><pssh>AA</pssh></ContentProtection></Period></MPD>`))
	f.Add(drm.AppendCommonPssh(nil, testKID))
	keys := []drm.ContentKey{testKey(f, 1)}
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := Explain(b, Options{Keys: keys})
		if err != nil && r != (Result{}) {
			t.Errorf("error and a result: %+v", r)
		}
		if strings.ContainsAny(r.Text, "\x1b\x00\x07") {
			t.Errorf("what others wrote reaches the terminal: %q", r.Text)
		}
	})
}
