package hls

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// rewriteWithLead rewrites a playlist with a clear lead, and returns which segments and init segments were in it.
func rewriteWithLead(t *testing.T, lead, rotate time.Duration, playlist string) (string, []bool) {
	t.Helper()
	o, protector := testOptions()
	o.ClearLead = lead
	if o.Rotation.Length = rotate; rotate > 0 {
		o.Protector = &rotator{testProtector: protector}
	}
	out, err := Rewrite(t.Context(), []byte(playlist), o)
	if err != nil {
		t.Fatal(err)
	}
	var clear []bool
	for _, s := range protector.segments {
		clear = append(clear, s.ClearLead)
	}
	return string(out), clear
}

// TestClearLead: key lines begin with the first segment behind the lead, and the init segment comes again with them.
func TestClearLead(t *testing.T) {
	const (
		lead    = 6 * time.Second
		mapOnly = "#EXT-X-MAP:URI=\"../~init/init.mp4\"\n"
		end     = "#EXT-X-ENDLIST\n"
	)
	in := func(inf, name string) string { return "#EXTINF:" + inf + ",\n" + name + ".m4s\n" }
	out := func(inf, name string) string { return "#EXTINF:" + inf + ",\n../~init/" + name + ".m4s\n" }
	yes, no := true, false
	for _, test := range []struct {
		name, in, want string
		clear          []bool // of the init segments and the segments, in order
	}{
		{
			"the boundary is where a segment begins", mapIn + in("3", "a") + in("3.0", "b") + in("3", "c") + in("3", "d") + end,
			mapOnly + out("3", "a") + out("3.0", "b") + mapOut + out("3", "c") + out("3", "d") + end, []bool{yes, yes, yes, no, no, no},
		},
		{
			"a segment across the boundary", mapIn + in("4", "a") + in("1.999", "b") + in("4", "c") + in("4", "d") + end,
			mapOnly + out("4", "a") + out("1.999", "b") + out("4", "c") + mapOut + out("4", "d") + end, []bool{yes, yes, yes, yes, no, no},
		},
		{
			"by type", "#EXT-X-PLAYLIST-TYPE:VOD\n" + mapIn + in("8", "a") + in("8", "b"),
			"#EXT-X-PLAYLIST-TYPE:VOD\n" + mapOnly + out("8", "a") + mapOut + out("8", "b"), []bool{yes, yes, no, no},
		},
		{"longer than the title", mapIn + in("2", "a") + in("2", "b") + end, mapOnly + out("2", "a") + out("2", "b") + end, []bool{yes, yes, yes}},
		{"a live playlist", mapIn + in("4", "a") + in("4", "b"), mapOut + out("4", "a") + out("4", "b"), []bool{no, no, no}},
		{
			"an event", "#EXT-X-PLAYLIST-TYPE:EVENT\n" + mapIn + in("4", "a"),
			"#EXT-X-PLAYLIST-TYPE:EVENT\n" + mapOut + out("4", "a"), []bool{no, no},
		},
		{
			"I-frames", "#EXT-X-I-FRAMES-ONLY\n" + mapIn + in("4", "a") + end, "#EXT-X-I-FRAMES-ONLY\n" + mapOut + out("4", "a") + end, []bool{no, no},
		},
		{
			"parts", mapIn + "#EXT-X-PART:DURATION=1,URI=\"p.m4s\"\n" + in("4", "a") + end,
			mapOut + "#EXT-X-PART:DURATION=1,URI=\"../~init/p.m4s\"\n" + out("4", "a") + end, []bool{no, no, no},
		},
		{
			"the init segment again, inside and behind", mapIn + in("4", "a") + "#EXT-X-DISCONTINUITY\n" + mapIn + in("4", "b") + "#EXT-X-DISCONTINUITY\n" + mapIn + in("4", "c") + end,
			mapOnly + out("4", "a") + "#EXT-X-DISCONTINUITY\n" + mapOnly + out("4", "b") + "#EXT-X-DISCONTINUITY\n" + mapOut + out("4", "c") + end,
			[]bool{yes, yes, yes, yes, no, no},
		},
		{
			"the init segment right at the boundary", mapIn + in("6", "a") + mapIn + in("4", "b") + end, mapOnly + out("6", "a") + mapOut + out("4", "b") + end,
			[]bool{yes, yes, no, no},
		},
		{
			"another format of keys", strings.Replace(mapIn, "init", "two", 1) + in("6", "a") + in("4", "b") + end,
			strings.ReplaceAll(mapOnly+out("6", "a"), "init", "two") + "#EXT-X-KEY:METHOD=SAMPLE-AES-CTR,URI=\"i/two\"\n" + strings.ReplaceAll(mapOut+out("4", "b"), "init", "two") + end,
			[]bool{yes, yes, no, no},
		},
		{
			"text", strings.ReplaceAll(mapIn, "init", "text") + in("8", "a") + in("8", "b") + end,
			strings.ReplaceAll(mapOnly+out("8", "a")+out("8", "b"), "init", "text") + end, []bool{no, no, no},
		},
		{
			"segments that are encrypted whole", wholeIn + in("8", "a") + in("8", "b") + end,
			"#EXT-X-MAP:URI=\"../~whole/whole.mp4\"\n#EXT-X-KEY:METHOD=AES-128,URI=\"k/whole\"\n" + strings.ReplaceAll(out("8", "a")+out("8", "b"), "init", "whole") + end,
			[]bool{no, no, no},
		},
		{
			"no init segment", "#EXTINF:8,\na.ts\n#EXTINF:8,\nb.ts\n" + end,
			"#EXT-X-KEY:METHOD=AES-128,URI=\"k/ts\"\n#EXTINF:8,\n../~ts/a.ts\n#EXTINF:8,\n../~ts/b.ts\n" + end, []bool{no, no},
		},
	} {
		got, clear := rewriteWithLead(t, lead, 0, mediaTop+test.in)
		if want := mediaTop + test.want; got != want || !slices.Equal(clear, test.clear) {
			t.Errorf("%s:\n%s\nwant\n%s\nclear %v, want %v", test.name, got, want, clear, test.clear)
		}
		without, _ := rewriteWithLead(t, 0, 0, mediaTop+test.in)
		if !slices.Contains(test.clear, true) && got != without {
			t.Errorf("%s: a lead that is not taken changes the playlist", test.name)
		}
	}
}

// TestClearLeadOfRotatingKeys: the init segment of each crypto period names its key, in the lead without a line of it.
func TestClearLeadOfRotatingKeys(t *testing.T) {
	var in strings.Builder
	in.WriteString(vodTop + mapIn)
	for _, name := range []string{"a", "b", "c", "d", "e"} {
		in.WriteString("#EXTINF:5,\n" + name + ".m4s\n")
	}
	got, clear := rewriteWithLead(t, 11*time.Second, 10*time.Second, in.String())
	maps := func(period int) string { return strings.SplitAfter(rotated("init", period), "\n")[1] }
	inf := func(period int, name string) string {
		return "#EXTINF:5,\n" + sealedIn("init", period, name+".m4s") + "\n"
	}
	want := vodTop + maps(0) + inf(0, "a") + inf(0, "b") + maps(1) + inf(1, "c") + rotated("init", 1) + inf(1, "d") + rotated("init", 2) + inf(2, "e")
	if got != want || !slices.Equal(clear, []bool{true, true, true, true, true, false, false, false, false}) {
		t.Errorf("%s\nwant\n%s\nclear %v", got, want, clear)
	}
}

// TestClearLeadOfBrokenTimes: what cannot be timed is refused as it is without a lead, or has none.
func TestClearLeadOfBrokenTimes(t *testing.T) {
	in := mediaTop + mapIn + "#EXTINF:99999999999999999999,\na.m4s\n#EXT-X-ENDLIST\n"
	got, _ := rewriteWithLead(t, time.Second, 0, in)
	if want, _ := rewriteWithLead(t, 0, 0, in); got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
}
