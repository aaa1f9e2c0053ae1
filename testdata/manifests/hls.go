package main

import (
	"fmt"
	"math"
	"strings"
)

// multivariantPlaylist returns the playlist of RFC 8216 section 4.3.4: one variant for each video track, the audio and
// subtitle tracks as renditions.
func multivariantPlaylist(t *title) string {
	var b strings.Builder
	b.WriteString("#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-INDEPENDENT-SEGMENTS\n\n")
	def := "YES"
	for _, a := range t.Audio {
		fmt.Fprintf(&b, "#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"audio\",NAME=\"%s\",LANGUAGE=\"%s\",DEFAULT=%s,AUTOSELECT=YES,CHANNELS=\"2\",URI=\"%s.m3u8\"\n",
			languageName(a.ID), a.ID, def, a.Folder)
		def = "NO"
	}
	for _, s := range t.Subtitles {
		fmt.Fprintf(&b, "#EXT-X-MEDIA:TYPE=SUBTITLES,GROUP-ID=\"subs\",NAME=\"%s\",LANGUAGE=\"%s\",DEFAULT=NO,AUTOSELECT=YES,FORCED=NO,URI=\"subs/%s.m3u8\"\n",
			languageName(s), s, s)
	}
	b.WriteString("\n")
	audio := t.Audio[0]
	for _, v := range t.Video {
		fmt.Fprintf(&b, "#EXT-X-STREAM-INF:BANDWIDTH=%d,AVERAGE-BANDWIDTH=%d,CODECS=\"%s,%s\",RESOLUTION=%dx%d,FRAME-RATE=25.000,AUDIO=\"audio\"",
			v.PeakRate+audio.PeakRate, v.AverageRate+audio.AverageRate, v.Codec, audio.Codec, v.Width, v.Height)
		if len(t.Subtitles) > 0 {
			b.WriteString(",SUBTITLES=\"subs\"")
		}
		fmt.Fprintf(&b, "\n%s.m3u8\n", v.Folder)
	}
	return b.String()
}

// mediaPlaylist returns the playlist of one CMAF track. It lies beside the track's folder.
func mediaPlaylist(t *track) string {
	target := 0
	for _, d := range t.SegmentTicks {
		target = max(target, int(math.Round(t.seconds(d))))
	}
	var b strings.Builder
	fmt.Fprintf(&b, "#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-TARGETDURATION:%d\n#EXT-X-MEDIA-SEQUENCE:1\n#EXT-X-PLAYLIST-TYPE:VOD\n#EXT-X-INDEPENDENT-SEGMENTS\n", target)
	fmt.Fprintf(&b, "#EXT-X-MAP:URI=\"%s/init.mp4\"\n", t.ID)
	for i, d := range t.SegmentTicks {
		fmt.Fprintf(&b, "#EXTINF:%.6f,\n%s/seg_%d.m4s\n", t.seconds(d), t.ID, i+1)
	}
	b.WriteString("#EXT-X-ENDLIST\n")
	return b.String()
}

// subtitlePlaylist returns the playlist of one WebVTT file that lies beside it and spans the whole title.
func subtitlePlaylist(language string, seconds int) string {
	return fmt.Sprintf("#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-TARGETDURATION:%d\n#EXT-X-MEDIA-SEQUENCE:1\n#EXT-X-PLAYLIST-TYPE:VOD\n"+
		"#EXTINF:%d.000000,\n%s.vtt\n#EXT-X-ENDLIST\n", seconds, seconds, language)
}

func languageName(tag string) string {
	if tag == "en" {
		return "English"
	}
	return tag
}
