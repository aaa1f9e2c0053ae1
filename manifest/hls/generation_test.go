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
	for _, test := range []struct {
		name, top, in, want string
		length              time.Duration
		oldest              uint32
		now                 int64
	}{
		{name: "both within the grace", in: date0 + mapIn + segments, now: at + 16,
			want: date0 + keyed("0") + out("0", "0") + out("0", "1") + keyed("0g1") + out("0g1", "2") + out("0g1", "3")},
		{name: "gaps afterwards", in: date0 + mapIn + segments, now: at + 40, oldest: 1,
			want: date0 + keyed("0g1") + gap + out("0", "0") + gap + out("0", "1") + out("0g1", "2") + out("0g1", "3")},
		{name: "a gap of the origin stays one", in: date0 + mapIn + gap + segments, now: at + 40, oldest: 1,
			want: date0 + keyed("0g1") + gap + out("0", "0") + gap + out("0", "1") + out("0g1", "2") + out("0g1", "3")},
		{name: "with crypto periods", in: date0 + mapIn + segments, now: at + 16, length: 10 * time.Second,
			want: date0 + keyed("200000000") + out("200000000", "0") + out("200000000", "1") + keyed("200000000g1") + out("200000000g1", "2") + keyed("200000001g1") + out("200000001g1", "3")},
		{name: "gaps have no keys of periods", in: date0 + mapIn + segments, now: at + 40, oldest: 1, length: 4 * time.Second,
			want: date0 + keyed("500000002g1") + gap + out("500000000", "0") + gap + out("500000001", "1") + out("500000002g1", "2") + keyed("500000003g1") + out("500000003g1", "3")},
		{name: "no dates", in: mapIn + segments, now: at + 16,
			want: keyed("0g1") + out("0g1", "0") + out("0g1", "1") + out("0g1", "2") + out("0g1", "3")},
		{name: "what has ended", in: date0 + mapIn + segments + "#EXT-X-ENDLIST\n", now: at + 16,
			want: date0 + keyed("0g1") + out("0g1", "0") + out("0g1", "1") + out("0g1", "2") + out("0g1", "3") + "#EXT-X-ENDLIST\n"},
		{name: "dates of another clock", in: date0 + mapIn + segments, now: at + 3600,
			want: date0 + keyed("0g1") + out("0g1", "0") + out("0g1", "1") + out("0g1", "2") + out("0g1", "3")},
		{name: "nothing new yet", in: date0 + mapIn + seg("0") + seg("1"), now: at + 16, oldest: 1,
			want: date0 + keyed("0g1") + out("0g1", "0") + out("0g1", "1")},
		{name: "parts that are gone", in: date0 + mapIn + "#EXT-X-PART:DURATION=4,URI=\"0.0\"\n" + segments, now: at + 40, oldest: 1,
			want: date0 + keyed("0g1") + "#EXT-X-PART:DURATION=4,URI=\"../~init_0/0.0\",GAP=YES\n" + gap + out("0", "0") + gap + out("0", "1") + out("0g1", "2") + out("0g1", "3")},
	} {
		t.Run(test.name, func(t *testing.T) {
			o, protector := testOptions()
			o.Protector = &rotator{testProtector: protector}
			o.Rotation = Rotation{Length: test.length, Replaced: drm.Generations{at + 5}, Oldest: test.oldest, Now: time.Unix(test.now, 0)}
			got, err := Rewrite(context.Background(), []byte(liveTop+test.in), o)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(liveTop+test.want, string(got)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestASegmentThatIsGoneNeedsNoKey: where the old key is not to be had, it gets another address.
func TestASegmentThatIsGoneNeedsNoKey(t *testing.T) {
	o, protector := testOptions()
	o.Protector = &forgetful{rotator{testProtector: protector}}
	o.Rotation = Rotation{Replaced: drm.Generations{2_000_000_004}, Oldest: 1, Now: time.Unix(2_000_000_008, 0)}
	got, err := Rewrite(context.Background(), []byte(liveTop+date0+mapIn+seg("0")+seg("1")), o)
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
