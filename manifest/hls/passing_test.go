package hls

import (
	"errors"
	"strings"
	"testing"

	"github.com/caddy-drm/caddy-drm/address"
)

// rewritePassing is rewriteText with PassProtected. Tracks of init segments whose names begin with "init-theirs" pass.
func rewritePassing(t *testing.T, playlist string) (string, error) {
	t.Helper()
	o, _ := testOptions()
	o.PassProtected = true
	out, err := Rewrite(t.Context(), []byte(playlist), o)
	return string(out), err
}

const (
	theirKeys = `#EXT-X-KEY:METHOD=SAMPLE-AES,URI="skd://key 1",KEYFORMAT="com.apple.streamingkeydelivery",KEYFORMATVERSIONS="1"` + "\n" +
		`#EXT-X-KEY: METHOD=SAMPLE-AES, URI="data:text/plain;base64,AAAA",KEYFORMAT="urn:uuid:edef8ba9-79d6-4ace-a3c8-27dcd51d21ed",X-EXTRA=1 ` + "\r\n"
	theirMap    = "#EXT-X-MAP:URI=\"init-theirs.mp4\"\n"
	theirMapOut = "#EXT-X-MAP:URI=\"../~init-theirs/init-theirs.mp4\"\n"
)

func TestKeysOfTheOriginStay(t *testing.T) {
	for name, test := range map[string]struct{ in, want string }{
		"keys in front of the map": {theirKeys + theirMap + inf + "a.m4s\n", theirKeys + theirMapOut + inf + "../~init-theirs/a.m4s\n"},
		"keys behind the map":      {theirMap + theirKeys + inf + "a.m4s\n", theirMapOut + theirKeys + inf + "../~init-theirs/a.m4s\n"},
		"a key that is switched off": {
			"#EXT-X-KEY:METHOD=NONE\n" + theirMap + inf + "a.m4s\n" + theirKeys + inf + "b.m4s\n",
			"#EXT-X-KEY:METHOD=NONE\n" + theirMapOut + inf + "../~init-theirs/a.m4s\n" + theirKeys + inf + "../~init-theirs/b.m4s\n",
		},
		"key rotation": {
			theirKeys + theirMap + inf + "a.m4s\n" + theirKeys + inf + "b.m4s\n",
			theirKeys + theirMapOut + inf + "../~init-theirs/a.m4s\n" + theirKeys + inf + "../~init-theirs/b.m4s\n",
		},
		"no keys at all": {theirMap + inf + "a.m4s\n", theirMapOut + inf + "../~init-theirs/a.m4s\n"},
		"parts and ranges": {
			theirKeys + theirMap + "#EXT-X-PART:DURATION=1,URI=\"a.m4s\",BYTERANGE=\"5@0\"\n#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"b.m4s\"\n",
			theirKeys + theirMapOut + "#EXT-X-PART:DURATION=1,URI=\"../~init-theirs.5-0/a.m4s\"\n#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"../~init-theirs/b.m4s\"\n",
		},
		"a key at a path of this host":              {`#EXT-X-KEY:METHOD=SAMPLE-AES-CTR,URI="/keys/1"` + "\n" + theirMap, `#EXT-X-KEY:METHOD=SAMPLE-AES-CTR,URI="/keys/1"` + "\n" + theirMapOut},
		"clear media gets keys as always":           {mapIn + inf + "a.m4s\n", mapOut + inf + "../~init/a.m4s\n"},
		"where all is clear METHOD=NONE is dropped": {"#EXT-X-KEY:METHOD=NONE\n" + mapIn, mapOut},
	} {
		got, err := rewritePassing(t, mediaTop+test.in)
		if err != nil || got != mediaTop+test.want {
			t.Errorf("%s: %v\n%s\nwant\n%s", name, err, got, mediaTop+test.want)
		}
	}
	const session = "#EXTM3U\n#EXT-X-SESSION-KEY:METHOD=SAMPLE-AES,URI=\"skd://1\",KEYFORMAT=\"com.apple.streamingkeydelivery\"\n"
	if got, err := rewritePassing(t, session); err != nil || got != session {
		t.Errorf("session key: %v\n%s", err, got)
	}
}

func TestWhatCannotPass(t *testing.T) {
	key := func(attributes string) string { return "#EXT-X-KEY:METHOD=SAMPLE-AES," + attributes + "\n" }
	for name, test := range map[string]struct {
		in   string
		line int
		want error
	}{
		"keys over clear media":                {theirKeys + mapIn, 6, ErrMixedProtection},
		"keys behind clear media":              {mapIn + theirKeys, 5, ErrMixedProtection},
		"clear media behind protected":         {theirMap + mapIn, 5, ErrMixedProtection},
		"protected media behind clear":         {mapIn + theirMap, 5, ErrMixedProtection},
		"keys over clear text":                 {theirKeys + "#EXT-X-MAP:URI=\"text.mp4\"\n", 6, ErrMixedProtection},
		"keys over a transport stream":         {theirKeys + inf + "a.ts\n", 7, ErrAlreadyProtected},
		"keys behind a transport stream":       {inf + "a.ts\n" + theirKeys, 6, ErrMixedProtection},
		"whole segments":                       {"#EXT-X-KEY:METHOD=AES-128,URI=\"https://k.example/1\"\n" + theirMap, 4, ErrAlreadyProtected},
		"an unknown method":                    {"#EXT-X-KEY:METHOD=XOR,URI=\"https://k.example/1\"\n" + theirMap, 4, ErrAlreadyProtected},
		"a key relative to the playlist":       {key(`URI="key.bin"`), 4, address.ErrReference},
		"one that climbs":                      {key(`URI="../key.bin"`), 4, address.ErrReference},
		"one with a colon that is no scheme's": {key(`URI="1:2"`), 4, address.ErrReference},
		"a variable":                           {"#EXT-X-DEFINE:NAME=\"a\",VALUE=\"b\"\n" + key(`URI="https://k.example/{$a}"`), 5, ErrUnsupported},
		"no URI":                               {key(`KEYFORMAT="a"`), 4, errMissing},
	} {
		got, err := rewritePassing(t, mediaTop+test.in)
		var syntax *SyntaxError
		if !errors.Is(err, test.want) || !errors.As(err, &syntax) || syntax.Line != test.line || got != "" {
			t.Errorf("%s: %v, want %v in line %d", name, err, test.want, test.line)
		}
	}
	if _, err := rewriteText(t, mediaTop+strings.Replace(theirKeys, "\r", "", 1)+theirMap); !errors.Is(err, ErrAlreadyProtected) {
		t.Errorf("without the option: %v", err)
	}
}
