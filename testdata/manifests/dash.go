package main

import (
	"fmt"
	"strings"
)

// mpd returns the MPD of ISO/IEC 23009-1: one Period, one AdaptationSet for each of video and audio language, and the
// subtitles as sidecar files.
func mpd(t *title) string {
	var b strings.Builder
	fmt.Fprintf(&b, `<?xml version="1.0" encoding="UTF-8"?>
<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" profiles="urn:mpeg:dash:profile:isoff-live:2011" type="static"
     mediaPresentationDuration="PT%dS" minBufferTime="PT2S">
  <ProgramInformation>
    <Title>%s</Title>
  </ProgramInformation>
  <Period id="p0" start="PT0S">
`, t.DurationSeconds, t.Name)
	best := t.Video[0]
	fmt.Fprintf(&b, `    <AdaptationSet id="1" contentType="video" mimeType="video/mp4" segmentAlignment="true" startWithSAP="1"
                   frameRate="25" par="16:9" maxWidth="%d" maxHeight="%d">
      <Role schemeIdUri="urn:mpeg:dash:role:2011" value="main"/>
`, best.Width, best.Height)
	writeSegmentTemplate(&b, t, best, "video")
	for _, v := range t.Video {
		fmt.Fprintf(&b, "      <Representation id=\"%s\" bandwidth=\"%d\" codecs=\"%s\" width=\"%d\" height=\"%d\" sar=\"1:1\"/>\n",
			v.ID, v.PeakRate, v.Codec, v.Width, v.Height)
	}
	b.WriteString("    </AdaptationSet>\n")
	for i, a := range t.Audio {
		fmt.Fprintf(&b, `    <AdaptationSet id="%d" contentType="audio" mimeType="audio/mp4" lang="%s" segmentAlignment="true" startWithSAP="1">
      <Role schemeIdUri="urn:mpeg:dash:role:2011" value="main"/>
`, 10+i, a.ID)
		writeSegmentTemplate(&b, t, a, "audio")
		fmt.Fprintf(&b, `      <Representation id="%s" bandwidth="%d" codecs="%s" audioSamplingRate="48000">
        <AudioChannelConfiguration schemeIdUri="urn:mpeg:dash:23003:3:audio_channel_configuration:2011" value="2"/>
      </Representation>
    </AdaptationSet>
`, a.ID, a.PeakRate, a.Codec)
	}
	for i, s := range t.Subtitles {
		fmt.Fprintf(&b, `    <AdaptationSet id="%d" contentType="text" mimeType="text/vtt" lang="%s">
      <Role schemeIdUri="urn:mpeg:dash:role:2011" value="subtitle"/>
      <Representation id="subs-%s" bandwidth="256">
        <BaseURL>subs/%s.vtt</BaseURL>
      </Representation>
    </AdaptationSet>
`, 20+i, s, s, s)
	}
	b.WriteString("  </Period>\n</MPD>\n")
	return b.String()
}

// writeSegmentTemplate addresses the segments of every Representation of a set; model is one of them, and the others
// have the same borders.
func writeSegmentTemplate(b *strings.Builder, t *title, model *track, folder string) {
	fmt.Fprintf(b, "      <SegmentTemplate timescale=\"%d\" startNumber=\"1\"", model.Timescale)
	if !t.Timeline {
		fmt.Fprintf(b, " duration=\"%d\"", 2*model.Timescale)
	}
	fmt.Fprintf(b, "\n                       initialization=\"%s/$RepresentationID$/init.mp4\" media=\"%s/$RepresentationID$/seg_$Number$.m4s\"",
		folder, folder)
	if !t.Timeline {
		b.WriteString("/>\n")
		return
	}
	b.WriteString(">\n        <SegmentTimeline>\n")
	for i := 0; i < len(model.SegmentTicks); {
		repeat := 0
		for i+repeat+1 < len(model.SegmentTicks) && model.SegmentTicks[i+repeat+1] == model.SegmentTicks[i] {
			repeat++
		}
		b.WriteString("          <S")
		if i == 0 {
			b.WriteString(" t=\"0\"")
		}
		fmt.Fprintf(b, " d=\"%d\"", model.SegmentTicks[i])
		if repeat > 0 {
			fmt.Fprintf(b, " r=\"%d\"", repeat)
		}
		b.WriteString("/>\n")
		i += repeat + 1
	}
	b.WriteString("        </SegmentTimeline>\n      </SegmentTemplate>\n")
}
