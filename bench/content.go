package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
)

// slowClients is how many clients read slowly at the same time, each another segment.
const slowClients = 500

// The folders of the test content, below the root.
const (
	twoSeconds = "two"  // 1.5 MB of video and 33 KB of audio for each segment
	sixSeconds = "six"  // 4.5 MB of video
	slowMedia  = "slow" // slowClients names of one segment of 5 MB
)

// Representations of the test content.
const (
	video = "0"
	audio = "1"
)

// makeContent generates the media below root, unless it is there: 56 s of 1080p25 H.264 with 6 Mbit/s and AAC, a key frame
// every 2 s, cut into CMAF segments.
func makeContent(ctx context.Context, root string) error {
	done := filepath.Join(root, "complete")
	if _, err := os.Stat(done); err == nil {
		return nil
	}
	ffmpeg, err := exec.LookPath("ffmpeg")
	if err != nil {
		return errors.New("ffmpeg is not installed; run scripts/bench-tools.sh")
	}
	if err := os.RemoveAll(root); err != nil {
		return err
	}
	movie, slow := filepath.Join(root, "movie.mp4"), filepath.Join(root, "slow.mp4")
	for _, dir := range []string{twoSeconds, sixSeconds, slowMedia} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			return err
		}
	}
	for _, run := range []struct {
		dir  string
		args []string
	}{
		{".", encoding(movie, "14", "6M")},
		{".", encoding(slow, "6", "6.9M")},
		{twoSeconds, segmenting(movie, "3", "2")},
		{sixSeconds, segmenting(movie, "3", "6")},
		{slowMedia, segmenting(slow, "0", "6")},
	} {
		cmd := exec.CommandContext(ctx, ffmpeg, append([]string{"-v", "error", "-y"}, run.args...)...)
		cmd.Dir = filepath.Join(root, run.dir)
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("ffmpeg: %w: %s", err, out)
		}
	}
	for n := 2; n <= slowClients; n++ {
		if err := os.Link(segmentFile(root, slowMedia, video, 1), segmentFile(root, slowMedia, video, n)); err != nil {
			return err
		}
	}
	return os.WriteFile(done, nil, 0o644)
}

// encoding is the picture of a test card with noise, which keeps the encoder at the rate it was told.
func encoding(out, seconds, rate string) []string {
	return []string{
		"-f", "lavfi", "-i", "testsrc2=s=1920x1080:r=25:d=" + seconds + ",noise=alls=12:allf=t",
		"-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000:d=" + seconds,
		"-f", "lavfi", "-i", "anoisesrc=a=0.1:r=48000:d=" + seconds,
		"-filter_complex", "[1][2]amix=inputs=2,aformat=channel_layouts=stereo[a]", "-map", "0:v", "-map", "[a]",
		"-c:v", "libx264", "-preset", "veryfast", "-pix_fmt", "yuv420p", "-b:v", rate, "-maxrate", "7M", "-bufsize", "8M",
		"-g", "50", "-keyint_min", "50", "-sc_threshold", "0", "-c:a", "aac", "-b:a", "128k", "-t", seconds, out,
	}
}

func segmenting(movie, loops, seconds string) []string {
	return []string{
		"-stream_loop", loops, "-i", movie, "-map", "0:v", "-map", "0:a", "-c", "copy", "-f", "dash", "-seg_duration", seconds,
		"-use_timeline", "1", "-use_template", "1", "-single_file", "0", "-init_seg_name", "init_$RepresentationID$.mp4",
		"-media_seg_name", "seg_$RepresentationID$_$Number$.m4s", "manifest.mpd",
	}
}

func segmentFile(root, dir, representation string, number int) string {
	return filepath.Join(root, dir, fmt.Sprintf("seg_%s_%d.m4s", representation, number))
}

func initFile(root, dir, representation string) string {
	return filepath.Join(root, dir, "init_"+representation+".mp4")
}

// segment is a clear segment on disk.
type segment struct {
	number int
	size   int64
}

// segments lists the clear segments of a representation that are as long as most are: the last of a title is short.
func segments(root, dir, representation string) ([]segment, error) {
	var all []segment
	for n := 1; ; n++ {
		info, err := os.Stat(segmentFile(root, dir, representation, n))
		if errors.Is(err, os.ErrNotExist) {
			break
		} else if err != nil {
			return nil, err
		}
		all = append(all, segment{n, info.Size()})
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("no segments in %s", dir)
	}
	return fullLength(all), nil
}

// fullLength keeps the segments within a quarter of the median size.
func fullLength(all []segment) []segment {
	bySize := slices.SortedFunc(slices.Values(all), func(a, b segment) int { return int(a.size - b.size) })
	median := bySize[len(bySize)/2].size
	return slices.DeleteFunc(slices.Clone(all), func(s segment) bool { return s.size < median*3/4 || s.size > median*5/4 })
}
