package segcrypt

import "errors"

// Media that comes protected from the origin can pass as it is. What is checked here is that it is protected indeed, so that
// nothing clear leaves by that way; nothing is decrypted.

// trackEncryption is what the sinf of a protected sample entry says; zero for an entry that passes in clear.
type trackEncryption struct {
	ivSize int         // 0 for a constant IV
	frames frameFormat // how clear frames of the track would begin
}

var (
	errClearEntry  = errors.New("a sample entry beside protected ones is not protected")
	errNoTracks    = errors.New("no video or audio track is protected")
	errTenc        = errors.New("tenc does not protect the track, or has an unknown form")
	errScheme      = errors.New("the scheme is not cenc, cens, cbc1 or cbcs")
	errNoSenc      = errors.New("nothing says how the samples are protected (senc)")
	errSenc        = errors.New("senc does not fit the samples")
	errSeig        = errors.New("a sample group changes how samples are protected")
	errNothing     = errors.New("senc leaves everything clear")
	errHiddenBytes = errors.New("a box that should be blank is not")
)

// maxClearTraf is how many bytes of a track fragment may be clear when nothing of it is protected: frames of AV1 that repeat
// another are such, parameter sets alone too. A picture or a sound does not fit.
const maxClearTraf = 1 << 10

// IsProtected reports whether init is an init segment whose video and audio is protected: every sample entry is encv or enca,
// with a scheme of Common Encryption. ParseInit returns ErrAlreadyProtected for it.
func IsProtected(init Clear) bool {
	_, err := parseProtectedInit(init)
	return err == nil
}

// CheckProtected verifies that a media segment of an init segment for which IsProtected is true may leave as it is: each track
// fragment of video or audio has a senc that fits its samples and does not leave all of them clear, or is audio under a constant
// IV, which needs none and must not look like clear frames, and nothing lies beside the samples. That samples with a senc are
// encrypted as it says cannot be seen.
//
// The error is a *FormatError. Time and memory are proportional to the length of the input.
func CheckProtected(init, seg Clear) error {
	in, err := parseProtectedInit(init)
	if err != nil {
		return err
	}
	_, err = in.Pass(seg)
	return err
}

// Protected reports whether the media came protected, see ParseOptions.
func (in *Init) Protected() bool { return in.encrypted }

// PassInit returns the init segment as it came, if it came protected, and nil otherwise. The caller must not change it.
func (in *Init) PassInit() Protected {
	if !in.encrypted {
		return nil
	}
	return in.clear
}

// Pass returns a media segment as it came, if the media came protected and the segment holds to what CheckProtected says. It may
// hold several chunks. The result is seg itself.
//
// The error is a *FormatError. Time and memory are proportional to the length of the input.
func (in *Init) Pass(seg Clear) (Protected, error) {
	if !in.encrypted {
		return nil, formatErrorf("init", 0, "%w", errNoTracks)
	}
	s := newSegment(nil)
	defer s.Release()
	s.plan.seg, s.plan.init, s.encrypted = seg, in, true
	if err := s.checkProtected(); err != nil {
		return nil, err
	}
	return Protected(seg), nil
}

// parseProtectedInit is ParseInit for an init segment that is protected.
func parseProtectedInit(b Clear) (*Init, error) {
	in := &Init{clear: b, encrypted: true}
	if err := in.parse(); err != nil {
		return nil, err
	}
	for _, t := range in.tracks {
		if t.Kind != KindText {
			return in, nil
		}
	}
	return nil, formatErrorf("moov", in.moov.off, "%w", errNoTracks)
}

// parseProtectedEntry reads a protected sample entry, or one of text, which passes.
func parseProtectedEntry(buf []byte, x box, stsdVersion byte, handler fourCC) (sampleEntry, trackEncryption, error) {
	e := sampleEntry{box: x, codec: codecWhole}
	p := x.payload()
	switch x.typ {
	case cc("encv"):
		e.kind = KindVideo
		p += visualEntryBytes
	case cc("enca"):
		e.kind = KindAudio
		n, err := audioFixedBytes(buf, x, stsdVersion)
		if err != nil {
			return e, trackEncryption{}, err
		}
		p += n
	default:
		e, err := parseSampleEntry(buf, x, stsdVersion, handler, ParseOptions{})
		if err == nil && e.kind != KindText {
			err = errClearEntry
		}
		return e, trackEncryption{}, err
	}
	if p > x.end {
		return e, trackEncryption{}, errBoxLength
	}
	if !handlerFits(handler, e.kind) {
		return e, trackEncryption{}, errEntryHandler
	}
	var encryption trackEncryption
	var esds box
	sinfs := 0
	err := eachBox(buf, p, x.end, x.typ.String(), func(c box) (err error) {
		switch c.typ {
		case typSinf:
			sinfs++
			encryption, err = parseSinf(buf, c)
		case typEsds:
			esds = c
		}
		return err
	})
	if err == nil && sinfs != 1 {
		err = errTenc
	}
	if encryption.frames == framesOfMP4A && !isPlainAAC(buf[esds.payload():esds.end]) {
		encryption.frames = framesUnknown
	}
	return e, encryption, err
}

// parseSinf reads schm and tenc (14496-12, 8.12; 23001-7, 8.2).
func parseSinf(buf []byte, sinf box) (encryption trackEncryption, err error) {
	scheme, format, tenc := fourCC(0), fourCC(0), box{}
	err = eachBox(buf, sinf.payload(), sinf.end, "sinf", func(c box) error {
		switch {
		case c.typ == cc("frma") && c.end-c.payload() == 4:
			format = fourCC(be32(buf, c.payload()))
		case c.typ == cc("schm") && c.end-c.payload() >= 8:
			scheme = fourCC(be32(buf, c.payload()+4))
		case c.typ == cc("schi"):
			return eachBox(buf, c.payload(), c.end, "sinf/schi", func(x box) error {
				if x.typ == typTenc {
					tenc = x
				}
				return nil
			})
		}
		return nil
	})
	if err != nil {
		return encryption, err
	}
	switch scheme {
	case cc("cenc"), cc("cens"), cc("cbc1"), cc("cbcs"):
	default:
		return encryption, errScheme
	}
	if tenc.end-tenc.payload() < 4 {
		return encryption, errTenc
	}
	encryption, err = parseEncryption(buf[tenc.payload()+4 : tenc.end])
	encryption.frames = frameFormats[format]
	return encryption, err
}

// parseEncryption reads what tenc and seig have in common; anything but a protected track is an error.
//
//	reserved(1) crypt(4 bits) skip(4 bits) isProtected(1) Per_Sample_IV_Size(1) KID(16) [constant_IV_size(1) constant_IV]
func parseEncryption(b []byte) (trackEncryption, error) {
	if len(b) < 20 || b[2] != 1 {
		return trackEncryption{}, errTenc
	}
	size := int(b[3])
	switch {
	case (size == 8 || size == 16) && len(b) == 20:
	case size == 0 && len(b) > 21 && (b[20] == 8 || b[20] == 16) && len(b) == 21+int(b[20]):
	default:
		return trackEncryption{}, errTenc
	}
	return trackEncryption{ivSize: size}, nil
}

// checkProtected reads the segment, and checks every track fragment.
func (pl *plan) checkProtected() error {
	if err := pl.scan(pl.seg); err != nil {
		return err
	}
	if len(pl.fragments) == 0 {
		return formatErrorf("segment", len(pl.seg), "%w", errNoFragment)
	}
	for _, b := range pl.boxes {
		if err := checkBlank(pl.seg, b.box, b.typ.String()); err != nil {
			return err
		}
	}
	for i := range pl.fragments {
		f := &pl.fragments[i]
		err := pl.readMoof(f)
		if err == nil {
			err = eachBox(pl.seg, f.moof.payload(), f.moof.end, "moof", func(b box) error {
				return checkBlank(pl.seg, b, "moof/"+b.typ.String())
			})
		}
		for j := 0; err == nil && j < f.trafs; j++ {
			err = numberTraf(pl.checkTraf(f, &pl.trafs[f.firstTraf+j]), j+1)
		}
		if err != nil {
			return numberMoof(err, f.number)
		}
	}
	return nil
}

// checkBlank refuses free space that holds something: it would leave as it is.
func checkBlank(buf []byte, b box, path string) error {
	if b.typ != typFree && b.typ != typSkip {
		return nil
	}
	for _, c := range buf[b.payload():b.end] {
		if c != 0 {
			return formatErrorf(path, b.off, "%w", errHiddenBytes)
		}
	}
	return nil
}

// checkTraf finds out how the samples of t are protected.
func (pl *plan) checkTraf(f *fragment, t *trackFragment) error {
	if t.entry.kind == KindText {
		return pl.checkText(f, t)
	}
	tenc := pl.init.tracks[t.track].encryption[t.tfhd.defaults.description-1]
	var senc box
	err := eachBox(pl.seg, t.box.payload(), t.box.end, "moof/traf", func(b box) error {
		switch b.typ {
		case typSenc:
			senc = b
		case typSgpd:
			if err := checkSeig(pl.seg, b, tenc); err != nil {
				return formatErrorf("moof/traf/sgpd", b.off, "%w", err)
			}
		}
		return checkBlank(pl.seg, b, "moof/traf/"+b.typ.String())
	})
	switch {
	case err != nil:
		return err
	case senc.end > 0:
		if err := pl.checkSenc(t, senc, tenc.ivSize); err != nil {
			return formatErrorf("moof/traf/senc", senc.off, "%w", err)
		}
	case t.count > 0 && (tenc.ivSize > 0 || t.entry.kind == KindVideo):
		// Video always has clear headers, and so subsamples (23001-7, 10); whole samples without senc are clear ones.
		return formatErrorf("moof/traf", t.box.off, "%w", errNoSenc)
	case t.count > 0:
		if err := pl.checkWholeSamples(f, t, tenc.frames); err != nil {
			return formatErrorf("moof/traf", t.box.off, "%w", err)
		}
	}
	return nil
}

// checkText checks that the samples of a clear track look like what they should be.
func (pl *plan) checkText(f *fragment, t *trackFragment) error {
	var state codecState
	state.use(t.entry, pl.scheme)
	return pl.eachSample(f, t, func(at int, sample []byte) error {
		if _, err := state.mapSample(sample, nil); err != nil {
			return formatErrorf("moof/traf/trun", at, "%w", err)
		}
		return nil
	})
}

// eachSample calls visit for the samples of t in their order, with where they lie in the segment.
func (pl *plan) eachSample(f *fragment, t *trackFragment, visit func(at int, sample []byte) error) error {
	for _, r := range pl.runs[f.firstRun : f.firstRun+f.runs] {
		if &pl.trafs[r.traf] != t {
			continue
		}
		at := int(r.at)
		for _, s := range pl.samples[r.first : r.first+r.count] {
			if err := visit(at, pl.seg[at:at+s.size]); err != nil {
				return err
			}
			at += s.size
		}
	}
	return nil
}

// checkGroups checks the sample groups of an init segment: those of encryption belong to protected tracks alone.
func (in *Init) checkGroups(t *initTrack, stbl box) error {
	const path = "moov/trak/mdia/minf/stbl"
	return eachBox(in.clear, stbl.payload(), stbl.end, path, func(b box) error {
		switch {
		case !isProtection(in.clear, b):
			return nil
		case !in.encrypted:
			return formatErrorf(path+"/"+b.typ.String(), b.off, "%w", ErrAlreadyProtected)
		case b.typ == typSgpd:
			if err := checkSeig(in.clear, b, t.encryption[0]); err != nil {
				return formatErrorf(path+"/sgpd", b.off, "%w", err)
			}
		}
		return nil
	})
}

// checkSeig checks a sample group description: keys may change, but neither whether nor with what IVs samples are protected.
//
//	version(1) flags(3) grouping_type(4) default_length(4) entry_count(4) ( [description_length(4)] entry ) × entry_count
//
// Source: 14496-12, 8.9.3; 23001-7, 6.
func checkSeig(buf []byte, sgpd box, tenc trackEncryption) error {
	b := buf[sgpd.payload():sgpd.end]
	if len(b) < 8 || fourCC(be32(b, 4)) != typSeig {
		return nil
	}
	if len(b) < 16 || b[0] != 1 {
		return errSeig
	}
	length, count := be32(b, 8), be32(b, 12)
	for b = b[16:]; len(b) > 0; count-- {
		n := length
		if length == 0 {
			if len(b) < 4 {
				return errSeig
			}
			n, b = be32(b, 0), b[4:]
		}
		if n == 0 || uint64(n) > uint64(len(b)) {
			return errSeig
		}
		if encryption, err := parseEncryption(b[:n]); err != nil || encryption.ivSize != tenc.ivSize {
			return errSeig
		}
		b = b[n:]
	}
	if count != 0 {
		return errSeig
	}
	return nil
}
