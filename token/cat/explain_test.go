package cat

import (
	"encoding/hex"
	"strings"
	"testing"
)

func TestExplain(t *testing.T) {
	raw := sealed(t, testKey(t), with(Issuer, "shop", Subject, "viewer-7", ID, []byte{1, 255}, NetworkIP, []any{net("192.0.2.0/24"), net("192.0.2.7/32"), 64500},
		URI, m{1: m{0: "media.example.com"}, 3: m{1: "/vod/", 4: []any{"/vod/(a|b)/.*", nil}}, 77: m{0: "x"}}, Header, map[string]any{"X-Device": m{0: "tv"}},
		Replay, 1, Renewal, m{0: 2, 1: 600}, ALPN, []any{[]byte("h2")}, int64(309), []any{0.5, []byte{1}}, int64(4711), "a\nb"))
	text, err := Explain(raw)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"not verified", "HS256", `"k1"`, `"shop"`, `"viewer-7"`, "h'01ff'", "2027-01-15T09:00:00Z", "from 192.0.2.0/24, 192.0.2.7, AS64500",
		`host is "media.example.com"; part 77 is "x"; path begins with "/vod/"; path matches ["/vod/(a|b)/.*", null]`, `"X-Device" is "tv"`,
		"good for one use", "type: header; seconds added: 600", `["h2"]`, "catpor", "refused", `"a\nb"`, "claim 4711",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("nothing of %s in\n%s", want, text)
		}
	}
	e, err := openEnvelope(raw)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(text, hex.EncodeToString(e.seal[:8])) || strings.Contains(text, raw[len(raw)-10:]) {
		t.Error("the MAC is shown")
	}
	if lines := strings.Count(text, "\n"); lines != 15 {
		t.Errorf("%d lines:\n%s", lines, text)
	}
	for _, bad := range []string{"", "garbage", raw[:len(raw)-8]} {
		if text, err := Explain(bad); err == nil || text != "" {
			t.Errorf("%q is explained", bad)
		}
	}
}
