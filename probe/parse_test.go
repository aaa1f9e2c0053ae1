package probe

import (
	"testing"
	"time"
)

func TestPublic(t *testing.T) {
	for text, want := range map[string]string{
		"https://u:p@h.example/vod/~s.AAAA/~BBBB/seg_1.m4s?token=x":                   "https://h.example/vod/~…/~…/seg_1.m4s?…",
		"https://h.example/vod/.drm/clearkey/AAAA":                                    "https://h.example/vod/.drm/clearkey/…",
		"https://h.example/vod/.drm/~s.BBBB/widevine/AAAA":                            "https://h.example/vod/.drm/~…/widevine/…",
		"https://h.example/vod/.drm/~s.BBBB/fairplay/cert/AAAA":                       "https://h.example/vod/.drm/~…/fairplay/cert/…",
		"https://h.example/vod/.drm/fairplay/cert/AAAA":                               "https://h.example/vod/.drm/fairplay/cert/…",
		"https://h.example/.drm/~s.BBBB/key/aaaa-_9/0123456789abcdef0123456789abcdef": "https://h.example/.drm/~…/key/…/0123456789abcdef0123456789abcdef",
		"https://h.example/hdntl=exp=1~acl=*~hmac=2/a.mpd":                            "https://h.example/…/a.mpd",
		"/license":                     "/license",
		"skd://key-id":                 "skd://key-id",
		"https://h.example/a\x1b[2J":   "…",
		"data:text/plain;base64,AAAA=": "…",
	} {
		if got := public(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

func TestBare(t *testing.T) {
	for text, want := range map[string]string{
		"https://h/vod/~s.A/~B/~n.7/a%20b.mp4?session=x": "https://h/vod/a%20b.mp4?session=x",
		"https://h/vod/a.mp4":                            "",
	} {
		if got, ok := bare(text); got != want || ok == (want == "") {
			t.Errorf("%q: %q", text, got)
		}
	}
}

func TestDurations(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"": 0, "PT0S": 0, "PT1H30M": 90 * time.Minute, "P1DT2.5S": 24*time.Hour + 2500*time.Millisecond, "PT1800000000S": 1_800_000_000 * time.Second,
	} {
		if got, err := parseDuration(text); err != nil || got != want {
			t.Errorf("%q: %s %v", text, got, err)
		}
	}
	for _, text := range []string{"P1Y", "1", "PT1", "PT99999999999S", "P1D1H"} {
		if _, err := parseDuration(text); err == nil {
			t.Errorf("%q was read", text)
		}
	}
	for n, want := range map[int64]time.Duration{90_000: time.Second, -45_000: -500 * time.Millisecond, 1_800_000_000 * 90_000: 1_800_000_000 * time.Second} {
		if got := ticks(n, 90_000); got != want {
			t.Errorf("%d ticks: %s", n, got)
		}
	}
}

func TestTemplates(t *testing.T) {
	values := map[string]string{"RepresentationID": "v1", "Bandwidth": "500"}
	for template, want := range map[string]string{
		"$RepresentationID$/$Number%05d$.m4s": "v1/00007.m4s", "$Time$-$Bandwidth$": "90-500", "a$$b": "a$b",
	} {
		if got, err := expand(template, values, span{number: 7, time: 90}); err != nil || got != want {
			t.Errorf("%q: %q %v", template, got, err)
		}
	}
	if _, err := expand("$Other$", values, span{}); err == nil {
		t.Error("an unknown identifier was expanded")
	}
}

// TestTimelines: open ends reach to what comes next, to the end of the Period, or to now.
func TestTimelines(t *testing.T) {
	at := func(n int64) *int64 { return &n }
	template := mpdTemplate{Timescale: 10, Offset: 100, Timeline: &mpdTimeline{S: []mpdS{{at(100), 20, -1}, {at(160), 20, -1}}}}
	start := time.Unix(1_800_000_000, 0)
	for _, test := range []struct {
		rule string
		d    dashContext
		want int
	}{
		{"a Period of ten seconds", dashContext{periodLength: 10 * time.Second}, 5},
		{"a live one, after nine seconds", dashContext{live: true, availability: start, now: start.Add(9 * time.Second)}, 4},
	} {
		spans, err := template.spans(test.d)
		if err != nil || len(spans) != test.want || spans[3].time != 160 || spans[len(spans)-1].number != int64(test.want) {
			t.Errorf("%s: %v %v", test.rule, spans, err)
		}
	}
	counted := mpdTemplate{Timescale: 1, Duration: 2, Media: "$Number$"}
	live := dashContext{live: true, availability: start, now: start.Add(101 * time.Second), depth: 10 * time.Second}
	if spans, err := counted.spans(live); err != nil || len(spans) != 5 || spans[4].number != 50 || spans[4].time != 98 {
		t.Errorf("a live template: %v %v", spans, err)
	}
	if _, err := counted.spans(dashContext{periodLength: 1_000_000 * time.Second}); err == nil {
		t.Error("half a million segments were listed")
	}
}
