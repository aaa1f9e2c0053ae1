package main

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/Eyevinn/mp4ff/avc"
	"github.com/Eyevinn/mp4ff/mp4"
)

// title is what the manifests say about one title.
type title struct {
	Name            string
	Timeline        bool
	DurationSeconds int // of the video
	Video, Audio    []*track
	Subtitles       []string // languages
}

// track is one CMAF track. Times are in ticks of Timescale, rates in bits per second.
type track struct {
	Folder                string // "video/360p", relative to the title
	ID                    string // last element of Folder
	Codec                 string // RFC 6381
	Width, Height         int
	Timescale             uint32
	SegmentTicks          []uint64
	PeakRate, AverageRate int
}

func (t *track) seconds(ticks uint64) float64 { return float64(ticks) / float64(t.Timescale) }

func (t *track) totalTicks() (sum uint64) {
	for _, d := range t.SegmentTicks {
		sum += d
	}
	return sum
}

func readTitle(dir string) (*title, error) {
	t := &title{}
	for _, class := range []struct {
		folder string
		tracks *[]*track
	}{{"video", &t.Video}, {"audio", &t.Audio}} {
		inits, err := filepath.Glob(filepath.Join(dir, class.folder, "*", "init.mp4"))
		if err != nil || len(inits) == 0 {
			return nil, fmt.Errorf("reading %s: no %s track: %w", dir, class.folder, cmp.Or(err, os.ErrNotExist))
		}
		for _, init := range inits {
			id := filepath.Base(filepath.Dir(init))
			tr, err := readTrack(dir, class.folder+"/"+id)
			if err != nil {
				return nil, fmt.Errorf("reading track %s: %w", id, err)
			}
			*class.tracks = append(*class.tracks, tr)
		}
	}
	slices.SortFunc(t.Video, func(a, b *track) int { return cmp.Compare(b.Height, a.Height) })
	subs, err := filepath.Glob(filepath.Join(dir, "subs", "*.vtt"))
	if err != nil {
		return nil, err
	}
	for _, s := range subs {
		t.Subtitles = append(t.Subtitles, strings.TrimSuffix(filepath.Base(s), ".vtt"))
	}
	t.DurationSeconds = int(math.Round(t.Video[0].seconds(t.Video[0].totalTicks())))
	return t, nil
}

func readTrack(dir, folder string) (*track, error) {
	t := &track{Folder: folder, ID: filepath.Base(folder)}
	init, err := mp4.ReadMP4File(filepath.Join(dir, folder, "init.mp4"))
	if err != nil {
		return nil, err
	}
	if init.Moov == nil {
		return nil, errors.New("init.mp4 has no moov")
	}
	trak := init.Moov.Trak
	t.Timescale = trak.Mdia.Mdhd.Timescale
	if err := t.readSampleEntry(trak.Mdia.Minf.Stbl.Stsd); err != nil {
		return nil, err
	}
	total := 0
	for n := 1; ; n++ {
		file := filepath.Join(dir, folder, fmt.Sprintf("seg_%d.m4s", n))
		info, err := os.Stat(file)
		if errors.Is(err, os.ErrNotExist) && n > 1 {
			break
		} else if err != nil {
			return nil, err
		}
		ticks, err := segmentTicks(file, init.Moov.Mvex.Trex, t.totalTicks())
		if err != nil {
			return nil, fmt.Errorf("segment %d: %w", n, err)
		}
		t.SegmentTicks = append(t.SegmentTicks, ticks)
		t.PeakRate = max(t.PeakRate, int(math.Ceil(float64(8*info.Size())/t.seconds(ticks))))
		total += int(info.Size())
	}
	t.AverageRate = int(math.Ceil(float64(8*total) / t.seconds(t.totalTicks())))
	return t, nil
}

// readSampleEntry derives the codec string (RFC 6381) and the picture size.
func (t *track) readSampleEntry(stsd *mp4.StsdBox) error {
	switch {
	case stsd.AvcX != nil:
		sps, err := avc.ParseSPSNALUnit(stsd.AvcX.AvcC.SPSnalus[0], false)
		if err != nil {
			return err
		}
		t.Codec = avc.CodecString(stsd.AvcX.Type(), sps)
		t.Width, t.Height = int(stsd.AvcX.Width), int(stsd.AvcX.Height)
	case stsd.Av01 != nil:
		// The short form: the browser does not need the color fields, which have standard values here.
		c := stsd.Av01.Av1C.CodecConfRec
		t.Codec = fmt.Sprintf("av01.%d.%02dM.%02d", c.SeqProfile, c.SeqLevelIdx0, 8+2*c.HighBitdepth)
		t.Width, t.Height = int(stsd.Av01.Width), int(stsd.Av01.Height)
	case stsd.Mp4a != nil:
		t.Codec = "mp4a.40.2"
	case stsd.Opus != nil:
		t.Codec = "opus"
	default:
		return errors.New("unknown sample entry")
	}
	return nil
}

// segmentTicks returns the duration of a media segment, which must start at base and hold one or more fragments.
func segmentTicks(file string, trex *mp4.TrexBox, base uint64) (uint64, error) {
	f, err := mp4.ReadMP4File(file)
	if err != nil {
		return 0, err
	}
	var sum uint64
	for _, segment := range f.Segments {
		for _, fragment := range segment.Fragments {
			traf := fragment.Moof.Traf
			if at := traf.Tfdt.BaseMediaDecodeTime(); at != base+sum {
				return 0, fmt.Errorf("tfdt is %d, want %d", at, base+sum)
			}
			samples, err := fragment.GetFullSamples(trex)
			if err != nil {
				return 0, err
			}
			for _, s := range samples {
				sum += uint64(s.Dur)
			}
		}
	}
	if sum == 0 {
		return 0, errors.New("no samples")
	}
	return sum, nil
}
