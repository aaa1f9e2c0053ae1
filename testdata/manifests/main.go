// Command manifests writes the DASH and HLS manifests of a title whose CMAF tracks lie in folders:
//
//	video/<representation>/init.mp4, seg_1.m4s, seg_2.m4s …
//	audio/<language>/init.mp4, seg_1.m4s …
//	subs/<language>.vtt
//
// It writes manifest.mpd, master.m3u8, and one media playlist beside each track folder. Both manifests refer to the same
// segment files. Everything they say is read from the files: nothing is assumed about the encoder.
package main

import (
	"flag"
	"fmt"
	"log"
	"os"
	"path/filepath"
)

func main() {
	name := flag.String("name", "", "name of the title, written into the MPD")
	addressing := flag.String("addressing", "timeline", "DASH addressing: timeline ($Number$ with SegmentTimeline) or duration ($Number$ with @duration)")
	flag.Parse()
	if flag.NArg() != 1 || (*addressing != "timeline" && *addressing != "duration") {
		flag.Usage()
		os.Exit(2)
	}
	log.SetFlags(0)
	if err := writeManifests(flag.Arg(0), *name, *addressing == "timeline"); err != nil {
		log.Fatal(err)
	}
}

func writeManifests(dir, name string, timeline bool) error {
	title, err := readTitle(dir)
	if err != nil {
		return err
	}
	title.Name, title.Timeline = name, timeline
	files := map[string]string{"manifest.mpd": mpd(title), "master.m3u8": multivariantPlaylist(title)}
	for _, tracks := range [][]*track{title.Video, title.Audio} {
		for _, t := range tracks {
			files[t.Folder+".m3u8"] = mediaPlaylist(t)
		}
	}
	for _, s := range title.Subtitles {
		files["subs/"+s+".m3u8"] = subtitlePlaylist(s, title.DurationSeconds)
	}
	for file, text := range files {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o644); err != nil {
			return fmt.Errorf("writing manifest: %w", err)
		}
	}
	return nil
}
