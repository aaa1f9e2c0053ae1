package cpix

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/caddy-drm/caddy-drm/drm"
)

// Largest pictures of the classes, in pixels, as drm.VideoClass draws the lines.
var classPixels = map[drm.TrackClass][2]uint64{
	drm.ClassSD:   {0, 1024 * 576},
	drm.ClassHD:   {1024*576 + 1, 1920 * 1080},
	drm.ClassUHD1: {1920*1080 + 1, 4096 * 2160},
	drm.ClassUHD2: {4096*2160 + 1, math.MaxUint32},
}

// Pixels returns the least and the greatest number of pixels of the pictures of a class of video.
func Pixels(class drm.TrackClass) (least, greatest uint64) {
	return classPixels[class][0], classPixels[class][1]
}

// Question is what Select chooses a key for.
type Question struct {
	Class  drm.TrackClass
	Scheme drm.ProtectionScheme
	Period uint32
}

// Select returns the one key of the document for tracks of a class in a crypto period. drm.ClassShared means all tracks.
//
// Rules decide, in each of which all kinds of filter hold. Where a class of ours spans several ranges of pictures, the key of the
// highest is taken, which is the one that is guarded best. Without any rule a document has one key for everything, per scheme. A
// document with crypto periods has no key for others.
//
// It returns ErrNoKey if there is none, and another error if the rules leave open which, or cannot be evaluated.
func (d *Document) Select(q Question) (Key, error) {
	var candidates []Key
	if len(d.Rules) == 0 {
		for _, k := range d.Keys {
			if k.Scheme == 0 || k.Scheme == q.Scheme {
				candidates = append(candidates, k)
			}
		}
		if len(d.Periods) > 0 {
			return Key{}, fmt.Errorf("%d crypto periods and no usage rule that tells which key is for which", len(d.Periods))
		}
		return only(candidates)
	}
	if q.Class != drm.ClassShared {
		return d.selectClass(q)
	}
	for _, class := range drm.SplitClasses {
		k, err := d.selectClass(Question{class, q.Scheme, q.Period})
		if err != nil {
			return Key{}, err
		}
		if !slices.ContainsFunc(candidates, func(o Key) bool { return o.KID == k.KID }) {
			candidates = append(candidates, k)
		}
	}
	return only(candidates)
}

// only returns the one key of several candidates.
func only(candidates []Key) (Key, error) {
	switch len(candidates) {
	case 0:
		return Key{}, ErrNoKey
	case 1:
		return candidates[0], nil
	default:
		return Key{}, fmt.Errorf("%d keys, and no usage rule that tells them apart", len(candidates))
	}
}

func (d *Document) selectClass(q Question) (Key, error) {
	var best Key
	var bestPixels, found uint64
	for _, r := range d.Rules {
		if len(r.Audio)+len(r.Video) == 0 && r.TrackType == "" && r.Unsupported != "" {
			return Key{}, fmt.Errorf("a usage rule with %s, which cannot be evaluated", r.Unsupported)
		}
		k, _ := d.Key(r.KID)
		if k.Scheme != 0 && k.Scheme != q.Scheme || !d.inPeriod(r, q.Period) {
			continue
		}
		pixels, ok := r.matches(q.Class)
		if !ok {
			continue
		}
		switch {
		case r.Unsupported != "":
			return Key{}, fmt.Errorf("a usage rule with %s, which cannot be evaluated", r.Unsupported)
		case found > 0 && k.KID == best.KID:
			bestPixels = max(bestPixels, pixels)
			continue
		case found > 0 && pixels == bestPixels:
			return Key{}, fmt.Errorf("two keys for tracks of class %s in one crypto period", q.Class)
		case found == 0 || pixels > bestPixels:
			best, bestPixels = k, pixels
		}
		found++
	}
	if found == 0 {
		return Key{}, ErrNoKey
	}
	return best, nil
}

// inPeriod reports whether a rule holds in a crypto period.
func (d *Document) inPeriod(r Rule, index uint32) bool {
	if len(r.Periods) == 0 {
		return true
	}
	for _, p := range d.Periods {
		if p.HasIndex && p.Index == index && slices.Contains(r.Periods, p.ID) {
			return true
		}
	}
	return false
}

// matches reports whether a rule is for tracks of a class and, for video, up to which picture of that class.
func (r Rule) matches(class drm.TrackClass) (pixels uint64, ok bool) {
	if r.isForAll() {
		_, greatest := Pixels(class)
		return greatest, true
	}
	audio, video := r.Audio, r.Video
	if len(audio)+len(video) == 0 {
		if audio, video, ok = tracksOfType(r.TrackType); !ok {
			return 0, r.Unsupported != "" // whatever it is for, it cannot be evaluated
		}
	}
	switch {
	case len(audio) > 0 && len(video) > 0: // both kinds hold, which no track can meet
		return 0, false
	case class == drm.ClassAudio:
		return 0, len(audio) > 0
	}
	least, greatest := Pixels(class)
	ok = false
	for _, f := range video {
		top := f.MaxPixels
		if top == 0 {
			top = math.MaxUint32
		}
		if f.MinPixels <= greatest && top >= least {
			pixels, ok = max(pixels, min(top, greatest)), true
		}
	}
	return pixels, ok
}

// isForAll reports whether r is for audio and video alike: with one empty filter of each kind, or none at all.
func (r Rule) isForAll() bool {
	if len(r.Audio) == 0 && len(r.Video) == 0 {
		return (r.TrackType == "" || r.TrackType == "ALL") && r.Unsupported == ""
	}
	return len(r.Audio) == 1 && len(r.Video) == 1 && r.Audio[0] == AudioFilter{} && r.Video[0] == VideoFilter{}
}

// typePixels are the pictures that the words of @intendedTrackType mean in SPEKE's contracts, for rules that have no filter.
var typePixels = map[string]VideoFilter{
	"VIDEO": {},
	"SD":    {0, 1024 * 576},
	"HD":    {1024*576 + 1, 1920 * 1080},
	"HD1":   {1024*576 + 1, 1280 * 720},
	"HD2":   {1280*720 + 1, 1920 * 1080},
	"UHD":   {1920*1080 + 1, 0},
	"UHD1":  {1920*1080 + 1, 4096 * 2160},
	"UHD2":  {4096*2160 + 1, 0},
}

// tracksOfType reads the words of @intendedTrackType, with + between them. It is false for a word that is not known.
func tracksOfType(text string) (audio []AudioFilter, video []VideoFilter, ok bool) {
	for word := range strings.SplitSeq(text, "+") {
		f, known := typePixels[word]
		switch {
		case known:
			video = append(video, f)
		case word == "AUDIO":
			audio = append(audio, AudioFilter{})
		default:
			return nil, nil, false
		}
	}
	return audio, video, true
}
