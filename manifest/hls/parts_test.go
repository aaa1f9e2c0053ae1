package hls

import "testing"

func TestInspect(t *testing.T) {
	tests := []struct {
		name, in string
		want     Info
	}{
		{"multivariant", "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\na\n", Info{Kind: KindMultivariant, Variant: "a"}},
		{"multivariant of renditions alone", "#EXTM3U\n#EXT-X-MEDIA:TYPE=AUDIO\n", Info{Kind: KindMultivariant}},
		{"live", mediaTop + "#EXTINF:4,\na\n", Info{Kind: KindMedia, Live: true}},
		{"several variants", "#EXTM3U\n#EXT-X-MEDIA:TYPE=AUDIO,URI=\"x\"\n#EXT-X-STREAM-INF:BANDWIDTH=1\nb?c\n#EXT-X-STREAM-INF:BANDWIDTH=1\na\n", Info{Kind: KindMultivariant, Variant: "b?c"}},
		{"fragmented MP4", mediaTop + "#EXT-X-MAP:URI=\"i\"\n#EXTINF:4,\na\n", Info{Kind: KindMedia, Live: true, Mapped: true}},
		{"event", mediaTop + "#EXT-X-PLAYLIST-TYPE:EVENT\n#EXTINF:4,\na\n", Info{Kind: KindMedia, Live: true, Event: true}},
		{"ended", mediaTop + "#EXTINF:4,\na\n#EXT-X-ENDLIST", Info{Kind: KindMedia}},
		{"query", mediaTop + "#EXT-X-ENDLIST\n#EXT-X-DEFINE:QUERYPARAM=\"a\"\n", Info{Kind: KindMedia, QueryDependent: true}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := Inspect([]byte(test.in))
			got.references = 0
			if err != nil || got != test.want {
				t.Errorf("got %+v, %v, want %+v", got, err, test.want)
			}
		})
	}
	for kind, want := range map[Kind]string{0: "no playlist", KindMultivariant: "multivariant playlist", KindMedia: "media playlist"} {
		if kind.String() != want {
			t.Errorf("kind %d is %q, want %q", uint8(kind), kind, want)
		}
	}
}

func TestParseKeyFormats(t *testing.T) {
	for text, want := range map[string]KeyFormats{
		"identity": FormatIdentity, "org.w3.clearkey": FormatClearKey, "identity,org.w3.clearkey": FormatIdentity | FormatClearKey,
	} {
		got, err := ParseKeyFormats(text)
		if err != nil || got != want || got.String() != text || !got.Valid() {
			t.Errorf("%q: got %d (%s), %v, want %d", text, got, got, err, want)
		}
	}
	for _, text := range []string{"", "Identity", "identity,", "identity,identity", "identity org.w3.clearkey", "com.widevine"} {
		if got, err := ParseKeyFormats(text); err == nil || got != 0 {
			t.Errorf("%q: got %d, %v, want an error", text, got, err)
		}
	}
	if KeyFormats(0).Valid() || KeyFormats(4).Valid() || KeyFormats(0).String() != "" || FormatIdentity.Has(FormatClearKey) {
		t.Error("empty and unknown sets are valid")
	}
}

func TestParseAttributes(t *testing.T) {
	list := "A=1,B-2=\"x,=y\", c_d =0xAF ,E=\"\",F=4.5x6,"
	attributes, err := parseAttributes(nil, list)
	if err != nil {
		t.Fatal(err)
	}
	want := []struct {
		name, value string
		quoted      bool
	}{{"A", "1", false}, {"B-2", "x,=y", true}, {"c_d", "0xAF ", false}, {"E", "", true}, {"F", "4.5x6", false}}
	if len(attributes) != len(want) {
		t.Fatalf("got %d attributes, want %d", len(attributes), len(want))
	}
	for i, a := range attributes {
		if got := list[a.start:a.end]; a.name != want[i].name || got != want[i].value || a.quoted != want[i].quoted {
			t.Errorf("got %s=%q (%v), want %+v", a.name, got, a.quoted, want[i])
		}
	}
	for _, broken := range []string{"A", "=1", ",", "A=", "A=,B=1", "A=1,,B=1", `A="`, `A="x"y`, `A="x" ,B=1`, `A=x"y"`, "A=1,A=2", "A B=1", "A:B=1"} {
		if got, err := parseAttributes(nil, broken); err == nil || got != nil {
			t.Errorf("%q: got %v, want an error", broken, got)
		}
	}
}
