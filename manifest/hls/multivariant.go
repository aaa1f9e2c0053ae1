package hls

// multivariantLine rewrites one line of a multivariant playlist: a known tag or a URI line.
func (r *rewriter) multivariantLine(l line) error {
	if l.isURI() {
		return r.variantURI(l)
	}
	if r.pending.tag != "" {
		return r.fault(errNoURI)
	}
	switch l.tag {
	case tagSteering:
		return nil
	case tagIFrameStreamInf:
		return r.iFrameStreamInf()
	case tagStreamInf:
		return r.streamInf(l)
	case tagMedia:
		return r.mediaTag()
	case tagSessionData:
		return r.sessionData()
	case tagSessionKey:
		return r.originKey()
	default:
		return r.writeAttributesOrCopy()
	}
}

// writeAttributesOrCopy writes a line that holds no reference.
func (r *rewriter) writeAttributesOrCopy() error {
	if hasAttributes(r.line.tag) {
		return r.writeAttributes()
	}
	r.copyLine(r.line)
	return nil
}

// multivariantState is what a multivariant playlist's lines leave for those that follow.
type multivariantState struct {
	announced bool // keys of the session were asked for
	dropping  bool // the variant that waits for its URI is dropped
	// kept and dropped report that a variant was, I-frames not counted: they are no variants to play.
	kept, dropped bool
	renditions    renditions
}

// streamInf rewrites EXT-X-STREAM-INF, which the URI line of its variant follows.
func (r *rewriter) streamInf(l line) error {
	if err := r.announceSession(); err != nil {
		return err
	}
	drop, edits, err := r.judgeVariant()
	if err != nil {
		return err
	}
	m := &r.multivariant
	r.pending, m.dropping = l, drop
	if drop {
		m.dropped = true
		return nil
	}
	m.kept = true
	return r.writeAttributes(edits...)
}

func (r *rewriter) variantURI(l line) error {
	if r.multivariant.dropping {
		r.pending, r.multivariant.dropping = line{}, false
		return nil
	}
	text, err := r.sealPlaylist(l.body)
	if err != nil {
		return err
	}
	r.writeURI(l, text)
	r.pending = line{}
	return nil
}

// mediaTag rewrites EXT-X-MEDIA, whose URI is optional: closed captions and muxed renditions have none.
func (r *rewriter) mediaTag() error {
	start := len(r.out)
	write := r.sealPlaylistURI
	if _, ok := find(r.attrs, attrURI); !ok {
		write = func() error { return r.writeAttributes() }
	}
	if err := write(); err != nil {
		return err
	}
	return r.noteRendition(start)
}

// iFrameStreamInf rewrites EXT-X-I-FRAME-STREAM-INF. Playback goes on without it: a playlist that cannot be sealed is
// dropped.
func (r *rewriter) iFrameStreamInf() error {
	if err := r.announceSession(); err != nil {
		return err
	}
	ref, err := r.requireURI()
	if err != nil {
		return err
	}
	drop, edits, err := r.judgeVariant()
	if err != nil || drop {
		return err
	}
	text, err := r.sealPlaylist(ref)
	if err != nil {
		return r.ctx.Err()
	}
	return r.writeAttributes(append(edits, edit{name: attrURI, value: text})...)
}

// sessionData rewrites EXT-X-SESSION-DATA. No player needs it to play, and its URI often leads elsewhere: what cannot
// be sealed as a sidecar is dropped.
func (r *rewriter) sessionData() error {
	if _, ok := find(r.attrs, attrURI); !ok {
		return r.writeAttributes()
	}
	ref, err := r.requireURI()
	if err != nil {
		return err
	}
	target, err := r.resolve(ref)
	if err != nil {
		return nil //nolint:nilerr // what lies elsewhere is left out
	}
	elements, err := r.o.Protector.Sidecar(r.ctx, target)
	if err != nil {
		return r.ctx.Err()
	}
	text, err := r.express(target, elements)
	if err != nil {
		return err
	}
	return r.writeAttributes(edit{name: attrURI, value: text})
}
