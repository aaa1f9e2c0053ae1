package hls

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/caddy-drm/caddy-drm/drm"
)

// TestALivePlaylistHasNewKeysFromWhereTheyWereReplaced has segments of 4 s from date0 on, whose keys were replaced after 5 s.
func TestALivePlaylistHasNewKeysFromWhereTheyWereReplaced(t *testing.T) {
	const at = 2_000_000_000
	segments := seg("0") + seg("1") + seg("2") + seg("3") // the third begins behind the re-key
	out := func(epoch string, file string) string { return inf + "../~init_" + epoch + "/" + file + "\n" }
	keyed := func(epoch string) string {
		return strings.NewReplacer("init_0", "init_"+epoch, "/0\"", "/"+epoch+"\"").Replace(rotated("init", 0))
	}
	gap := "#EXT-X-GAP\n"
	date2 := strings.Replace(date0, "33:20", "33:28", 1)
	for _, test := range []struct {
		name, top, in, want string
		length              time.Duration
		oldest              uint32
		passes              bool
	}{
		{name: "both within the grace", in: date0 + mapIn + segments,
			want: date0 + keyed("0") + out("0", "0") + out("0", "1") + keyed("0g1") + out("0g1", "2") + out("0g1", "3")},
		{name: "gone afterwards", in: date0 + mapIn + segments, oldest: 1,
			top: "#EXT-X-MEDIA-SEQUENCE:2\n", want: keyed("0g1") + date2 + out("0g1", "2") + out("0g1", "3")},
		{name: "numbered", in: "#EXT-X-MEDIA-SEQUENCE:7\n#EXT-X-DISCONTINUITY-SEQUENCE:3\n" + date0 + mapIn + seg("0") + "#EXT-X-DISCONTINUITY\n" + seg("1") + "#EXT-X-DISCONTINUITY\n#EXT-X-BITRATE:9\n" + seg("2") + seg("3"), oldest: 1,
			want: "#EXT-X-MEDIA-SEQUENCE:9\n#EXT-X-DISCONTINUITY-SEQUENCE:4\n" + keyed("0g1") + date2 + "#EXT-X-DISCONTINUITY\n#EXT-X-BITRATE:9\n" + out("0g1", "2") + out("0g1", "3")},
		{name: "a discontinuity that leaves", in: date0 + mapIn + "#EXT-X-DISCONTINUITY\n" + segments, oldest: 1,
			top: "#EXT-X-MEDIA-SEQUENCE:2\n#EXT-X-DISCONTINUITY-SEQUENCE:1\n", want: keyed("0g1") + date2 + out("0g1", "2") + out("0g1", "3")},
		{name: "with dates of their own", in: date0 + mapIn + "#CUE\n" + seg("0") + "#EXT-X-CUE-OUT:4\n" + seg("1") + date2 + seg("2") + seg("3"), oldest: 1,
			top: "#EXT-X-MEDIA-SEQUENCE:2\n", want: keyed("0g1") + "#CUE\n" + date2 + out("0g1", "2") + out("0g1", "3")},
		{name: "an event", in: "#EXT-X-PLAYLIST-TYPE:EVENT\n" + date0 + mapIn + segments, oldest: 1,
			want: "#EXT-X-PLAYLIST-TYPE:EVENT\n" + date0 + keyed("0g1") + gap + out("0", "0") + gap + out("0", "1") + out("0g1", "2") + out("0g1", "3")},
		{name: "a gap of the origin stays one", in: "#EXT-X-PLAYLIST-TYPE:EVENT\n" + date0 + mapIn + gap + segments, oldest: 1,
			want: "#EXT-X-PLAYLIST-TYPE:EVENT\n" + date0 + keyed("0g1") + gap + out("0", "0") + gap + out("0", "1") + out("0g1", "2") + out("0g1", "3")},
		{name: "with crypto periods", in: date0 + mapIn + segments, length: 10 * time.Second,
			want: date0 + keyed("200000000") + out("200000000", "0") + out("200000000", "1") + keyed("200000000g1") + out("200000000g1", "2") + keyed("200000001g1") + out("200000001g1", "3")},
		{name: "gaps have no keys of periods", in: "#EXT-X-PLAYLIST-TYPE:EVENT\n" + date0 + mapIn + segments, oldest: 1, length: 4 * time.Second,
			want: "#EXT-X-PLAYLIST-TYPE:EVENT\n" + date0 + keyed("500000002g1") + gap + out("500000000", "0") + gap + out("500000001", "1") + out("500000002g1", "2") + keyed("500000003g1") + out("500000003g1", "3")},
		{name: "no dates", in: mapIn + segments,
			want: keyed("0g1") + out("0g1", "0") + out("0g1", "1") + out("0g1", "2") + out("0g1", "3")},
		{name: "what has ended", in: date0 + mapIn + segments + "#EXT-X-ENDLIST\n",
			want: date0 + keyed("0g1") + out("0g1", "0") + out("0g1", "1") + out("0g1", "2") + out("0g1", "3") + "#EXT-X-ENDLIST\n"},
		{name: "nothing new yet", in: date0 + mapIn + seg("0") + seg("1"), oldest: 1,
			want: date0 + keyed("0") + out("0", "0") + out("0", "1")},
		{name: "media that came protected", passes: true, in: date0 + "#EXT-X-MAP:URI=\"init-theirs.mp4\"\n" + segments, oldest: 1,
			want: date0 + "#EXT-X-MAP:URI=\"../~init-theirs_0/init-theirs.mp4\"\n" + strings.ReplaceAll(out("0", "0")+out("0", "1")+out("0", "2")+out("0", "3"), "init", "init-theirs")},
		{name: "parts that leave", in: date0 + mapIn + "#EXT-X-PART:DURATION=4,URI=\"0.0\"\n" + segments, oldest: 1,
			top: "#EXT-X-MEDIA-SEQUENCE:2\n", want: keyed("0g1") + date2 + out("0g1", "2") + out("0g1", "3")},
		{name: "parts that are ranges", in: date0 + mapIn + "#EXT-X-PART:DURATION=2,URI=\"v@1\",BYTERANGE=\"10@0\"\n#EXT-X-PART:DURATION=2,URI=\"v@1\",BYTERANGE=\"10@10\"\n" + segments, oldest: 1,
			top: "#EXT-X-MEDIA-SEQUENCE:2\n", want: keyed("0g1") + date2 + out("0g1", "2") + out("0g1", "3")},
		{name: "ranges of parts that go on over the re-key", in: date0 + mapIn + seg("0") + "#EXT-X-PART:DURATION=4,URI=\"v@1\",BYTERANGE=\"10@0\"\n" + seg("1") + "#EXT-X-PART:DURATION=4,URI=\"v@1\",BYTERANGE=\"10\"\n" + seg("2") + seg("3"), oldest: 1,
			want: date0 + keyed("0g1") + gap + out("0", "0") + "#EXT-X-PART:DURATION=4,URI=\"../~init_0.10-0/v@1\",GAP=YES\n" + gap + out("0", "1") +
				"#EXT-X-PART:DURATION=4,URI=\"../~init_0g1.10-10/v@1\"\n" + out("0g1", "2") + out("0g1", "3")},
		{name: "parts that are gone", in: "#EXT-X-PLAYLIST-TYPE:EVENT\n" + date0 + mapIn + "#EXT-X-PART:DURATION=4,URI=\"0.0\"\n" + segments, oldest: 1,
			want: "#EXT-X-PLAYLIST-TYPE:EVENT\n" + date0 + keyed("0g1") + "#EXT-X-PART:DURATION=4,URI=\"../~init_0/0.0\",GAP=YES\n" + gap + out("0", "0") + gap + out("0", "1") + out("0g1", "2") + out("0g1", "3")},
	} {
		t.Run(test.name, func(t *testing.T) {
			o, protector := testOptions()
			o.Protector = &rotator{testProtector: protector}
			o.Rotation = Rotation{Length: test.length, Replaced: drm.Generations{at + 5}, Oldest: test.oldest}
			o.PassProtected = test.passes
			got, err := Rewrite(context.Background(), []byte(liveTop+test.in), o)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(strings.Replace(liveTop, "\n", "\n"+test.top, 1)+test.want, string(got)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestDivides has a playlist of 16 s from date0 on.
func TestDivides(t *testing.T) {
	const at = 2_000_000_000
	live := liveTop + date0 + mapIn + seg("0") + seg("1") + seg("2") + seg("3")
	for name, test := range map[string]struct {
		in       string
		replaced int64
		now      int64
		want     bool
	}{
		"in time":                      {live, at + 5, at + 16, true},
		"late":                         {live, at + 5, at + 46, true},
		"too late":                     {live, at + 5, at + 47, false},
		"ahead":                        {live, at + 5, at + 11, true},
		"too far ahead":                {live, at + 5, at + 10, false},
		"late, and all is new":         {live, at, at + 9999, true},
		"no dates":                     {strings.Replace(live, date0, "", 1), at + 5, at + 16, false},
		"no date":                      {strings.Replace(live, "2033", "x", 1), at + 5, at + 16, false},
		"over":                         {live + "#EXT-X-ENDLIST\n", at + 5, at + 16, false},
		"nothing to play":              {liveTop + date0 + mapIn, at + 5, at, false},
		"a duration that nobody knows": {strings.Replace(live, inf, "#EXTINF:x,\n", 1), at + 5, at + 16, false},
	} {
		if got := Divides([]byte(test.in), Rotation{Replaced: drm.Generations{test.replaced}}, time.Unix(test.now, 0)); got != test.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}

// TestDatesAreRemembered: an encoder that seldom writes a date does not change keys with each load.
func TestDatesAreRemembered(t *testing.T) {
	load := func(known *Anchor, playlist string) string {
		o, protector := testOptions()
		o.Protector = &rotator{testProtector: protector}
		o.Rotation = Rotation{Length: 10 * time.Second, Anchor: func(dated Anchor) Anchor {
			if dated != (Anchor{}) {
				*known = dated
			}
			return *known
		}}
		out, err := Rewrite(context.Background(), []byte(playlist), o)
		if err != nil {
			t.Fatal(err)
		}
		return string(out)
	}
	at := func(sequence int) string { return fmt.Sprintf("#EXT-X-MEDIA-SEQUENCE:%d\n", sequence) }
	var known Anchor
	if out := load(&known, liveTop+at(7)+mapIn+seg("7")+date0+seg("8")); !strings.Contains(out, "~init_200000000/8") || known != (Anchor{7, 1_999_999_996 * time.Second}) {
		t.Errorf("%+v\n%s", known, out)
	}
	if out := load(&known, liveTop+at(8)+mapIn+seg("8")+seg("9")+seg("10")+seg("11")); !strings.Contains(out, "~init_200000000/8") || !strings.Contains(out, "~init_200000001/11") {
		t.Errorf("without a date:\n%s", out)
	}
	remembers := Rotation{Replaced: drm.Generations{2_000_000_002}, Anchor: func(Anchor) Anchor { return known }}
	if !Divides([]byte(liveTop+at(8)+mapIn+seg("8")), remembers, time.Unix(2_000_000_006, 0)) {
		t.Error("a remembered date does not divide")
	}
	known = Anchor{1 << 62, time.Hour}
	if out := load(&known, liveTop+at(8)+mapIn+seg("8")); !strings.Contains(out, "~init_3/8") {
		t.Errorf("a number that begins anew:\n%s", out)
	}
}

// TestASegmentThatIsGoneNeedsNoKey: where the old key is not to be had, it gets another address.
func TestASegmentThatIsGoneNeedsNoKey(t *testing.T) {
	o, protector := testOptions()
	o.Protector = &forgetful{rotator{testProtector: protector}}
	o.Rotation = Rotation{Replaced: drm.Generations{2_000_000_004}, Oldest: 1}
	got, err := Rewrite(context.Background(), []byte(liveTop+"#EXT-X-PLAYLIST-TYPE:EVENT\n"+date0+mapIn+seg("0")+seg("1")), o)
	if err != nil || !strings.Contains(string(got), "#EXT-X-GAP\n"+inf+"../~init_0g1/0\n") {
		t.Errorf("%v\n%s", err, got)
	}
}

// forgetful has no keys of the first generation.
type forgetful struct{ rotator }

func (p *forgetful) Track(ctx context.Context, init Resource) (Track, error) {
	track, err := p.rotator.Track(ctx, init)
	return forgetfulTrack{track}, err
}

type forgetfulTrack struct{ Track }

func (t forgetfulTrack) Elements(s Segment) ([]string, error) {
	if s.Generation == 0 {
		return nil, fmt.Errorf("no key of epoch %s", s.Epoch)
	}
	return t.Track.Elements(s)
}
