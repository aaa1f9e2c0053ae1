package segcrypt

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"slices"
)

// maxTracks bounds the tracks of one init segment: one of video, a few of sound and captions are usual. Each costs a few
// kilobytes of state while a segment is read.
const maxTracks = 32

// maxInitBytes bounds an init segment. Real ones are a few kilobytes; parameter sets and metadata never need more.
const maxInitBytes = 1 << 20

// Init is a parsed clear init segment (CMAF header). It is immutable and safe for concurrent use.
type Init struct {
	clear   []byte
	digest  [16]byte
	options ParseOptions
	tracks  []initTrack

	kept []box // top-level boxes that the protected init repeats
	moov box

	encrypted bool // the media came protected
}

// initTrack is what one trak, and its trex, says.
type initTrack struct {
	Track
	entries []sampleEntry
	trex    trackDefaults
	path    []box // trak, mdia, minf, stbl, stsd: what grows with a sample entry, beside moov

	encryption []trackEncryption // as entries, if the media came protected
}

// trackDefaults are the values of trex or tfhd that a track run falls back to.
type trackDefaults struct {
	description uint32 // sample_description_index, from 1
	sampleSize  uint32
}

var (
	errInitSize     = errors.New("the init segment is empty or larger than 1 MiB")
	errInitBox      = errors.New("this box does not belong into an init segment")
	errMissing      = errors.New("a required box is missing")
	errRepeated     = errors.New("the box must occur once")
	errProgressive  = errors.New("the movie is not fragmented: its sample tables are not empty")
	errZeroTrackID  = errors.New("track_ID is zero")
	errTrackCount   = errors.New("too many tracks")
	errTrackID      = errors.New("two tracks have the same track_ID")
	errTrexTrack    = errors.New("no trex box for the track")
	errDescriptions = errors.New("sample_description_index names no sample entry")
)

// ebmlMagic is what a file of WebM begins with (RFC 8794, 8.1).
var ebmlMagic = []byte{0x1A, 0x45, 0xDF, 0xA3}

// ParseInit reads a clear init segment: ftyp, and one moov with one track or several.
//
// It returns ErrAlreadyProtected, ErrUnsupportedSampleEntry or ErrUnsupportedFormat where they apply, each wrapped in a *FormatError like every
// other fault. b is copied.
//
// Source: 14496-12, 8.2 to 8.5 and 8.8; 23000-19, 7.3.2.
func ParseInit(b Clear) (*Init, error) { return ParseInitWith(b, ParseOptions{}) }

// ParseInitWith is ParseInit with options.
func ParseInitWith(b Clear, o ParseOptions) (*Init, error) {
	in := &Init{clear: b, options: o}
	err := in.parse()
	if o.Protected && errors.Is(err, ErrAlreadyProtected) {
		in, err = parseProtectedInit(b)
	}
	if err != nil {
		return nil, err
	}
	in.clear = bytes.Clone(b)
	sum := sha256.Sum256(b)
	copy(in.digest[:], sum[:])
	return in, nil
}

// parse reads in.clear.
func (in *Init) parse() error {
	if len(in.clear) == 0 || len(in.clear) > maxInitBytes {
		return formatErrorf("init", 0, "%w", errInitSize)
	}
	if bytes.HasPrefix(in.clear, ebmlMagic) {
		return formatErrorf("init", 0, "%w: WebM", ErrUnsupportedFormat)
	}
	found := false
	err := eachBox(in.clear, 0, len(in.clear), "init", func(x box) error {
		switch x.typ {
		case typFtyp:
		case typMoov:
			if found {
				return formatErrorf("moov", x.off, "%w", errRepeated)
			}
			found, in.moov = true, x
		case typFree, typSkip, typSidx:
			if in.encrypted && x.typ != typSidx {
				return checkBlank(in.clear, x, x.typ.String()) // it leaves as it came
			}
			return nil // they would describe, or hide, something of the clear file
		default:
			return formatErrorf(x.typ.String(), x.off, "%w", errInitBox)
		}
		in.kept = append(in.kept, x)
		return nil
	})
	if err != nil {
		return err
	}
	if !found {
		return formatErrorf("moov", len(in.clear), "%w", errMissing)
	}
	return in.parseMoov()
}

// Tracks returns the tracks of the init segment in the order of their trak boxes, at least one.
func (in *Init) Tracks() []Track {
	tracks := make([]Track, len(in.tracks))
	for i := range in.tracks {
		tracks[i] = in.tracks[i].Track
	}
	return tracks
}

// findTrack returns the index of the track with an ID; -1 when there is none.
func (in *Init) findTrack(id uint32) int {
	return slices.IndexFunc(in.tracks, func(t initTrack) bool { return t.ID == id })
}

// Digest returns the first 16 bytes of the SHA-256 of the clear init segment.
func (in *Init) Digest() [16]byte { return in.digest }

// children is the direct children of one box that the parser asks for; a repeated one is an error.
type children map[fourCC]box

func (in *Init) childrenOf(parent box, path string) (children, error) {
	c := children{}
	err := eachBox(in.clear, parent.payload(), parent.end, path, func(x box) error {
		if _, repeated := c[x.typ]; repeated && initSingle[x.typ] {
			return formatErrorf(path+"/"+x.typ.String(), x.off, "%w", errRepeated)
		}
		c[x.typ] = x
		return nil
	})
	return c, err
}

// initSingle are the boxes that must not occur twice in their parent.
var initSingle = map[fourCC]bool{
	cc("mvhd"): true, cc("mvex"): true, cc("tkhd"): true, cc("mdia"): true, cc("mdhd"): true, cc("hdlr"): true,
	cc("minf"): true, cc("stbl"): true, cc("stsd"): true, cc("stsz"): true, cc("stco"): true, cc("stts"): true,
	cc("co64"): true, cc("stz2"): true, cc("stsc"): true,
}

func (in *Init) parseMoov() error {
	err := eachBox(in.clear, in.moov.payload(), in.moov.end, "moov", func(x box) error {
		switch x.typ {
		case cc("trak"):
			return in.addTrak(x)
		case typPssh:
			if !in.encrypted {
				return formatErrorf("moov/pssh", x.off, "%w", ErrAlreadyProtected)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	if len(in.tracks) == 0 {
		return formatErrorf("moov/trak", in.moov.off, "%w", errMissing)
	}
	if in.moov.header != 8 {
		return formatErrorf("moov", in.moov.off, "%w", errBoxSize)
	}
	c, err := in.childrenOf(in.moov, "moov")
	if err != nil {
		return err
	}
	mvex, ok := c[cc("mvex")]
	if !ok {
		return formatErrorf("moov/mvex", in.moov.off, "%w", errMissing)
	}
	return in.parseMvex(mvex)
}

// descend finds a required child of at least n payload bytes.
func (in *Init) descend(c children, typ fourCC, path string, parent box, n int) (box, error) {
	x, ok := c[typ]
	if !ok {
		return box{}, formatErrorf(path+"/"+typ.String(), parent.off, "%w", errMissing)
	}
	if x.end-x.payload() < n {
		return box{}, formatErrorf(path+"/"+typ.String(), x.off, "%w", errBoxLength)
	}
	return x, nil
}

// addTrak reads one more track.
func (in *Init) addTrak(trak box) error {
	if len(in.tracks) == maxTracks {
		return formatErrorf("moov/trak", trak.off, "%w", errTrackCount)
	}
	t := initTrack{path: []box{trak}}
	if err := in.parseTrak(&t, trak); err != nil {
		return err
	}
	if in.findTrack(t.ID) >= 0 {
		return formatErrorf("moov/trak/tkhd", trak.off, "%w", errTrackID)
	}
	in.tracks = append(in.tracks, t)
	return nil
}

func (in *Init) parseTrak(t *initTrack, trak box) error {
	const path = "moov/trak"
	c, err := in.childrenOf(trak, path)
	if err != nil {
		return err
	}
	tkhd, err := in.descend(c, cc("tkhd"), path, trak, 84)
	if err != nil {
		return err
	}
	at := tkhd.payload() + 12 // version and flags, creation and modification time
	if in.clear[tkhd.payload()] == 1 {
		at += 8
	}
	if t.ID = be32(in.clear, at); t.ID == 0 {
		return formatErrorf(path+"/tkhd", tkhd.off, "%w", errZeroTrackID)
	}
	mdia, err := in.descend(c, cc("mdia"), path, trak, 0)
	if err != nil {
		return err
	}
	c, err = in.childrenOf(mdia, path+"/mdia")
	if err != nil {
		return err
	}
	mdhd, err := in.descend(c, cc("mdhd"), path+"/mdia", mdia, 24)
	if err != nil {
		return err
	}
	at = mdhd.payload() + 12
	if in.clear[mdhd.payload()] == 1 {
		at += 8
	}
	t.Timescale = be32(in.clear, at)
	hdlr, err := in.descend(c, cc("hdlr"), path+"/mdia", mdia, 12)
	if err != nil {
		return err
	}
	minf, err := in.descend(c, cc("minf"), path+"/mdia", mdia, 0)
	if err != nil {
		return err
	}
	t.path = append(t.path, mdia, minf)
	return in.parseMinf(t, minf, fourCC(be32(in.clear, hdlr.payload()+8)))
}

func (in *Init) parseMinf(t *initTrack, minf box, handler fourCC) error {
	const path = "moov/trak/mdia/minf"
	c, err := in.childrenOf(minf, path)
	if err != nil {
		return err
	}
	stbl, err := in.descend(c, cc("stbl"), path, minf, 0)
	if err != nil {
		return err
	}
	c, err = in.childrenOf(stbl, path+"/stbl")
	if err != nil {
		return err
	}
	// Where each table keeps its number of entries, from the start of the payload.
	for typ, at := range map[fourCC]int{cc("stts"): 4, cc("stsc"): 4, cc("stco"): 4, cc("co64"): 4, cc("stsz"): 8, cc("stz2"): 8} {
		if x, ok := c[typ]; ok && (x.end-x.payload() < at+4 || be32(in.clear, x.payload()+at) != 0) {
			return formatErrorf(path+"/stbl/"+typ.String(), x.off, "%w", errProgressive)
		}
	}
	stsd, err := in.descend(c, cc("stsd"), path+"/stbl", stbl, 8)
	if err != nil {
		return err
	}
	t.path = append(t.path, stbl, stsd)
	for _, x := range t.path {
		if x.header != 8 {
			return formatErrorf(x.typ.String(), x.off, "%w", errBoxSize)
		}
	}
	if err := in.parseStsd(t, stsd, handler); err != nil {
		return err
	}
	return in.checkGroups(t, stbl)
}

// parseStsd reads the sample entries (14496-12, 8.5.2). Several are allowed when all are of one kind.
func (in *Init) parseStsd(t *initTrack, stsd box, handler fourCC) error {
	const path = "stsd"
	version := in.clear[stsd.payload()]
	err := eachBox(in.clear, stsd.payload()+8, stsd.end, path, func(x box) error {
		e, err := in.parseEntry(t, x, version, handler)
		if err != nil {
			return atPath(path+"/"+x.typ.String(), x.off, err)
		}
		if len(t.entries) > 0 && t.entries[0].kind != e.kind {
			return formatErrorf(path+"/"+x.typ.String(), x.off, "%w: a %s entry beside a %s entry", ErrUnsupportedSampleEntry,
				e.kind, t.entries[0].kind)
		}
		t.entries = append(t.entries, e)
		return nil
	})
	if err != nil {
		return err
	}
	if n := be32(in.clear, stsd.payload()+4); n == 0 || uint64(n) != uint64(len(t.entries)) {
		return formatErrorf(path, stsd.off, "entry_count is %d, sample entries are %d", n, len(t.entries))
	}
	first := &t.entries[0]
	t.Kind, t.SampleEntry = first.kind, first.box.typ.String()
	t.Width, t.Height = first.width, first.height
	return nil
}

// parseEntry reads a sample entry of a clear init segment, or of a protected one.
func (in *Init) parseEntry(t *initTrack, x box, version byte, handler fourCC) (sampleEntry, error) {
	if !in.encrypted {
		return parseSampleEntry(in.clear, x, version, handler, in.options)
	}
	e, encryption, err := parseProtectedEntry(in.clear, x, version, handler)
	t.encryption = append(t.encryption, encryption)
	return e, err
}

// parseMvex finds the tracks' defaults (14496-12, 8.8.3).
func (in *Init) parseMvex(mvex box) error {
	seen := [maxTracks]bool{}
	err := eachBox(in.clear, mvex.payload(), mvex.end, "moov/mvex", func(x box) error {
		if x.typ != cc("trex") {
			return nil
		}
		p := x.payload()
		if x.end-p != 24 {
			return formatErrorf("moov/mvex/trex", x.off, "%w", errBoxLength)
		}
		i := in.findTrack(be32(in.clear, p+4))
		if i < 0 {
			return nil
		}
		if seen[i] {
			return formatErrorf("moov/mvex/trex", x.off, "%w", errRepeated)
		}
		seen[i] = true
		in.tracks[i].trex = trackDefaults{description: be32(in.clear, p+8), sampleSize: be32(in.clear, p+16)}
		return nil
	})
	if err != nil {
		return err
	}
	for i := range in.tracks {
		t := &in.tracks[i]
		if !seen[i] {
			return formatErrorf("moov/mvex", mvex.off, "%w", errTrexTrack)
		}
		if d := t.trex.description; d == 0 || uint64(d) > uint64(len(t.entries)) {
			return formatErrorf("moov/mvex/trex", mvex.off, "%w", errDescriptions)
		}
	}
	return nil
}
