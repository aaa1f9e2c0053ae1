package hls

import (
	"fmt"
	"maps"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// fetch is what a player fetches, and under which number.
type fetch struct {
	reference string // the last element of ours and the name of the file
	sequence  uint64
}

// TestPlayersSeeTheKeys reads rewritten playlists as a player does: for each segment, part and init segment, the keys in
// force must be those of its track and no others, and what is fetched must be what the clear playlist means.
func TestPlayersSeeTheKeys(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		playlist, want := drawMedia(t)
		o, protector := testOptions()
		out, err := Rewrite(t.Context(), []byte(playlist), o)
		if err != nil {
			t.Fatalf("%v\n%s", err, playlist)
		}
		got, fault := play(string(out))
		if fault != "" {
			t.Fatalf("%s\n%s", fault, out)
		}
		for i := range got {
			got[i].sequence = protector.segments[i].Sequence
		}
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(fetch{})); diff != "" {
			t.Fatalf("want -, got +\n%s\n%s", diff, playlist)
		}
	})
}

// drawMedia draws a media playlist and returns what its references mean.
func drawMedia(t *rapid.T) (playlist string, want []fetch) {
	var b strings.Builder
	write := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	b.WriteString("#EXTM3U\n")
	sequence := rapid.Uint64Range(0, 1<<62).Draw(t, "sequence")
	write("#EXT-X-MEDIA-SEQUENCE:%d", sequence)
	track, end := "", map[string]uint64{} // ends of the range before, by kind of line and file
	if rapid.IntRange(0, 4).Draw(t, "delta") == 0 {
		skipped := rapid.Uint64Range(0, 1000).Draw(t, "skipped")
		write("#EXT-X-SKIP:SKIPPED-SEGMENTS=%d", skipped)
		write(`#EXT-X-MAP:URI="init.mp4"`)
		sequence, track = sequence+skipped, "init"
		want = append(want, fetch{"~init/init.mp4", 0})
	}
	media := func(kind string) (value, reference, name string) {
		extension, element := "m4s", track
		if track == "" {
			extension = rapid.SampledFrom([]string{"ts", "aac", "vtt"}).Draw(t, "extension")
			element = extension
		}
		name = rapid.SampledFrom([]string{"a.", "b."}).Draw(t, "name") + extension
		length := rapid.Uint64Range(0, 100).Draw(t, "length")
		offset, ok := end[kind+name]
		clear(end)
		if length == 0 {
			return "", "~" + element + "/" + name, name
		}
		value = fmt.Sprint(length)
		if !ok || rapid.Bool().Draw(t, "offset is given") {
			offset = rapid.Uint64Range(0, 1<<62).Draw(t, "offset")
			value += fmt.Sprintf("@%d", offset)
		}
		end[kind+name] = offset + length
		return value, fmt.Sprintf("~%s.%d-%d/%s", element, length, offset, name), name
	}
	parts := map[string]uint64{}
	for range rapid.IntRange(1, 30).Draw(t, "lines") {
		switch rapid.IntRange(0, 9).Draw(t, "shape") {
		case 0:
			track = rapid.SampledFrom([]string{"init", "init-same", "init2", "text", "two", "two2", "whole", "whole2"}).Draw(t, "map")
			write(`#EXT-X-MAP:URI="%s.mp4"`, track)
			want = append(want, fetch{"~" + track + "/" + track + ".mp4", 0})
		case 1:
			write("#EXT-X-DISCONTINUITY")
		case 2:
			write("#EXT-X-GAP")
		case 3, 4:
			end, parts = parts, end // ranges of parts continue parts
			value, reference, name := media("part")
			end, parts = parts, end
			more := rapid.SampledFrom([]string{"", ",INDEPENDENT=YES", ",GAP=YES"}).Draw(t, "more")
			if value != "" {
				more += `,BYTERANGE="` + value + `"`
			}
			write(`#EXT-X-PART:DURATION=1,URI="%s"%s`, name, more)
			want = append(want, fetch{reference, sequence})
		default:
			value, reference, name := media("segment")
			write("#EXTINF:4,")
			if value != "" {
				write("#EXT-X-BYTERANGE:%s", value)
			}
			write("%s", name)
			want = append(want, fetch{reference, sequence})
			sequence++
		}
	}
	return b.String(), want
}

var (
	keyAttribute = regexp.MustCompile(`(METHOD|URI|KEYFORMAT)="?([^",]*)`)
	mediaURI     = regexp.MustCompile(`^#EXT-X-(?:MAP|PART):.*URI="([^"]*)"|^([^#].*)$`)
)

// play returns what a rewritten playlist makes a player fetch, and says where the keys in force are not those of the track.
func play(playlist string) (fetched []fetch, fault string) {
	keys := map[string]string{} // in force: KEYFORMAT → URI
	for _, l := range strings.Split(playlist, "\n") {
		if strings.HasPrefix(l, "#EXT-X-KEY:") {
			attributes := map[string]string{"KEYFORMAT": KeyFormatIdentity}
			for _, m := range keyAttribute.FindAllStringSubmatch(l, -1) {
				attributes[m[1]] = m[2]
			}
			if attributes["METHOD"] == methodNone {
				clear(keys)
			} else {
				keys[attributes["KEYFORMAT"]] = attributes["URI"]
			}
		}
		m := mediaURI.FindStringSubmatch(l)
		if m == nil {
			continue
		}
		reference := strings.TrimPrefix(m[1]+m[2], "../")
		name, _, _ := strings.Cut(strings.TrimPrefix(reference, "~"), "/")
		name, _, _ = strings.Cut(name, ".")
		want := map[string]string{}
		for _, k := range (testTrack{name: name}).Keys(Epoch{}) {
			want[k.format()] = k.URI
		}
		if strings.HasPrefix(l, "#EXT-X-MAP") && strings.HasPrefix(name, "whole") {
			clear(want) // this init segment is clear
		}
		if !maps.Equal(keys, want) {
			return nil, fmt.Sprintf("keys %v in force for %s, want %v", keys, reference, want)
		}
		fetched = append(fetched, fetch{reference: reference})
	}
	return fetched, ""
}
