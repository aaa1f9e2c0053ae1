package hls

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/caddy-drm/caddy-drm/address"
)

// Options say how a playlist is rewritten. Base, From and Protector are required.
type Options struct {
	// Base is the clean URL of the playlist.
	Base address.Base
	// From is the escaped path as it was requested, elements of ours included.
	From string
	// Query looks up a parameter of the request's query, percent-decoded, for EXT-X-DEFINE:QUERYPARAM. Without it there
	// are none.
	Query func(name string) (string, bool)
	// Protector seals what the playlist refers to.
	Protector Protector
	// PassProtected accepts EXT-X-KEY and EXT-X-SESSION-KEY, and keeps them byte for byte, for tracks that say that they pass.
	// Without it, any key is ErrAlreadyProtected.
	PassProtected bool
	// ReplaceProtection drops EXT-X-KEY and EXT-X-SESSION-KEY, for media that is clear although its playlists say otherwise. With
	// it, a track that says that it passes is ErrAlreadyProtected, whatever PassProtected says.
	ReplaceProtection bool
	// Rotation, if set, gives each crypto period of a media playlist keys of its own.
	Rotation Rotation
	// ClearLead is how much of the beginning of a media playlist that has ended stays clear, as its EXTINF count. Live playlists and those
	// of I-frames have no lead, and neither have tracks that do not take part in it.
	ClearLead time.Duration
	// SessionQuery, if set, is the query parameter that carries the session of a URL in place of its path element.
	SessionQuery string
}

// Rewrite returns playlist with every reference sealed and the keys of its tracks announced. The kind of the playlist is
// told by its tags.
//
// It returns ErrNotPlaylist, ErrTooLarge, a *SyntaxError with the line that cannot be rewritten (which may wrap
// ErrAlreadyProtected, ErrMixedProtection, ErrUnsupported, ErrTooLarge, address.ErrForeign or address.ErrReference),
// ErrNoVariants, the error of the context, or what the Protector returned, wrapped. With an error there is no playlist. Calls are independent of each other; the
// memory used is a few times the size of the result, which is at most 64 MiB.
func Rewrite(ctx context.Context, playlist []byte, o Options) ([]byte, error) {
	if err := o.Rotation.validate(); err != nil {
		return nil, err
	}
	text := string(playlist)
	info, err := inspect(text)
	if err != nil {
		return nil, err
	}
	r := rewriter{ctx: ctx, o: o, info: info, variables: variables{query: o.Query}}
	r.out = make([]byte, 0, len(text)+len(text)/4+512)
	handle := r.mediaLine
	if info.Kind == KindMultivariant {
		handle = r.multivariantLine
	} else if err := r.readTimes(text); err != nil {
		return nil, err
	}
	for s := (lines{rest: text}); ; {
		l, ok := s.next()
		if !ok {
			break
		}
		if leaves, err := r.leaves(l); err != nil {
			return nil, err
		} else if leaves {
			continue
		}
		if err := r.rewriteLine(l, handle); err != nil {
			return nil, err
		}
	}
	if r.pending.tag != "" {
		r.line = r.pending
		return nil, r.fault(errNoURI)
	}
	if err := r.endMultivariant(); err != nil {
		return nil, err
	}
	r.raiseVersion()
	return r.out, nil
}

// rewriter is the state between two lines.
type rewriter struct {
	ctx          context.Context
	o            Options
	info         Info
	variables    variables
	media        mediaState
	multivariant multivariantState

	out      []byte
	line     line        // the line at hand
	pending  line        // the EXTINF or EXT-X-STREAM-INF that waits for its URI line
	attrs    []attribute // of the line at hand; reused
	keyLines []byte      // reused
	sized    bool        // out has been grown to the likely size of the result

	eol     string // as behind #EXTM3U
	version version
}

// rewriteLine does what holds for both kinds of playlist and leaves the rest to handle.
func (r *rewriter) rewriteLine(l line, handle func(line) error) error {
	r.line = l
	if err := r.checkBudget(); err != nil {
		return err
	}
	switch {
	case l.hidesTag() && isKnown(l.tag):
		return r.fault(errInsideTag)
	case isPlain(l.tag) && reachesOut(l.value): // no number and no date holds a reference
		return r.fault(errValue)
	case l.hidesTag(), l.tag != "" && !isKnown(l.tag) && reachesOut(l.body):
		return nil
	case !l.isURI() && !isKnown(l.tag): // comments, blank lines, unknown tags
		r.copyLine(l)
		return nil
	case hasAttributes(l.tag):
		var err error
		if r.attrs, err = parseAttributes(r.attrs[:0], l.value); err != nil {
			return r.fault(err)
		}
	}
	switch {
	case l.tag == tagDefine:
		if err := r.variables.define(l.value, r.attrs, r.info.Kind); err != nil {
			return r.fault(err)
		}
		return nil
	case l.tag == tagVersion:
		return r.noteVersion(l)
	case l.number == 1:
		r.noteHeader(l)
		return nil
	}
	return handle(l)
}

// checkBudget stops what has become too long in time or space, between two lines.
func (r *rewriter) checkBudget() error {
	if r.line.number%256 == 0 && r.ctx.Err() != nil {
		return r.ctx.Err()
	}
	if len(r.out) > maxOutputBytes || r.variables.expanded > maxOutputBytes {
		return r.fault(fmt.Errorf("%w: over %d bytes when rewritten", ErrTooLarge, maxOutputBytes))
	}
	return nil
}

// reachesOut reports whether a player that knows an unknown tag could find a reference in it.
func reachesOut(body string) bool {
	return strings.Contains(body, "://") || strings.Contains(body, "URI=") || strings.Contains(body, "{$") ||
		strings.Contains(body, `"//`)
}

// fault blames the line at hand.
func (r *rewriter) fault(err error) *SyntaxError {
	e := &SyntaxError{Line: r.line.number, Err: err}
	if isKnown(r.line.tag) { // an unknown one may be any text
		e.Tag = r.line.tag
	}
	return e
}

// refused wraps an error of the Protector.
func (r *rewriter) refused(err error) error {
	return fmt.Errorf("sealing playlist %s: %w", position(r.line.number, r.line.tag), err)
}

// resolve expands and resolves a reference of the line at hand.
func (r *rewriter) resolve(ref string) (address.Target, error) {
	expanded, err := r.variables.expand(ref)
	if err != nil {
		return address.Target{}, r.fault(err)
	}
	target, err := r.o.Base.Resolve(expanded)
	if err != nil {
		return address.Target{}, r.fault(err)
	}
	return target, nil
}

// express returns a sealed target as seen from the request.
func (r *rewriter) express(target address.Target, elements []string) (string, error) {
	if len(elements) == 0 {
		return "", r.refused(errElement)
	}
	for _, element := range elements {
		if !isPlainElement(element) {
			return "", r.refused(errElement)
		}
	}
	elements, target.RawQuery = address.SessionToQuery(r.o.SessionQuery, elements, target.RawQuery)
	return address.Relative(r.o.From, target, elements...), nil
}

// isPlainElement allows the unreserved characters of a URL alone: nothing of it is special in a path, a quoted string or
// a line. No path of ours has an element that ends in a dot.
func isPlainElement(s string) bool {
	if s == "" || s[len(s)-1] == '.' {
		return false
	}
	for i := range len(s) {
		if c := s[i]; !isNameRune(rune(c)) && c != '.' && c != '~' {
			return false
		}
	}
	return true
}

// sealPlaylist returns a reference to a child playlist, sealed.
func (r *rewriter) sealPlaylist(ref string) (string, error) {
	target, err := r.resolve(ref)
	if err != nil {
		return "", err
	}
	elements, err := r.o.Protector.Playlist(r.ctx, target)
	if err != nil {
		return "", r.refused(err)
	}
	return r.express(target, elements)
}

// requireURI returns the value of a quoted attribute of the line at hand.
func (r *rewriter) requireURI() (string, error) {
	a, ok := find(r.attrs, attrURI)
	if !ok || !a.quoted {
		return "", r.fault(errMissing)
	}
	return r.line.value[a.start:a.end], nil
}

// resolveURI resolves the URI of the line at hand.
func (r *rewriter) resolveURI() (address.Target, error) {
	ref, err := r.requireURI()
	if err != nil {
		return address.Target{}, err
	}
	return r.resolve(ref)
}

// says reports whether an attribute of the line at hand has the given value.
func (r *rewriter) says(name, value string) bool {
	a, ok := find(r.attrs, name)
	return ok && r.line.value[a.start:a.end] == value
}

// copyLine writes l as it is.
func (r *rewriter) copyLine(l line) {
	r.out = append(r.out, l.body...)
	r.out = append(r.out, l.end...)
}

// writeURI writes a URI line with text in the place of its reference.
func (r *rewriter) writeURI(l line, text string) {
	if growth := len(text) - len(l.body); !r.sized && growth > 0 {
		// The first seal tells about how long all of them are.
		want := r.info.references * (growth + growth/8)
		r.out = slices.Grow(r.out, min(want, maxOutputBytes))
		r.sized = true
	}
	r.out = append(r.out, text...)
	r.out = append(r.out, l.end...)
}

// edit is a change of one attribute, if the line has it; with add, also if it does not.
type edit struct {
	name, value string
	drop        bool
	add, quoted bool
}

// writeAttributes writes the line at hand with edits made, and the variables in all other attributes expanded. References
// that are not among edits have no meaning in that line, and are left out.
func (r *rewriter) writeAttributes(edits ...edit) error {
	l := r.line
	r.out = append(r.out, l.body[:len(l.body)-len(l.value)]...)
	first, rest := true, 0
	for _, a := range r.attrs {
		text := l.value[a.start:a.end]
		i := slices.IndexFunc(edits, func(e edit) bool { return e.name == a.name })
		rest = a.to
		switch {
		case i >= 0 && edits[i].drop, i < 0 && isReference(a.name):
			rest = len(l.value) // a comma behind the last one goes with it
			continue
		case i >= 0:
			text = edits[i].value
		case !strings.Contains(text, "{$"):
		case !a.quoted:
			return r.fault(errVariable)
		default:
			var err error
			if text, err = r.variables.expand(text); err != nil {
				return r.fault(err)
			}
		}
		if !first {
			r.out = append(r.out, ',')
		}
		first = false
		r.out = append(r.out, l.value[a.from:a.start]...)
		r.out = append(r.out, text...)
		r.out = append(r.out, l.value[a.end:a.to]...)
	}
	r.appendAttributes(edits, first)
	r.out = append(r.out, l.value[rest:]...)
	r.out = append(r.out, l.end...)
	return nil
}

// appendAttributes writes the edits that add an attribute which the line at hand does not have.
func (r *rewriter) appendAttributes(edits []edit, first bool) {
	for _, e := range edits {
		if _, has := find(r.attrs, e.name); has || !e.add {
			continue
		}
		if !first {
			r.out = append(r.out, ',')
		}
		first = false
		r.out = append(append(r.out, e.name...), '=')
		if e.quoted {
			r.out = append(append(append(r.out, '"'), e.value...), '"')
		} else {
			r.out = append(r.out, e.value...)
		}
	}
}

// version is the place of the EXT-X-VERSION in the output.
type version struct {
	found, required uint64
	start, end      int
	present         bool
}

func (r *rewriter) noteHeader(l line) {
	r.copyLine(l)
	r.eol = "\n"
	if strings.HasSuffix(l.end, "\r\n") {
		r.eol = "\r\n"
	}
	r.version.start, r.version.end = len(r.out), len(r.out)
	r.countLeaving()
}

func (r *rewriter) noteVersion(l line) error {
	found, err := strconv.ParseUint(strings.TrimLeft(l.value, " \t"), 10, 32)
	if err != nil {
		return r.fault(errVersion)
	}
	if r.version.present {
		return r.fault(errTwice)
	}
	r.copyLine(l)
	end := len(r.out) - len(l.end)
	r.version = version{found: found, required: r.version.required, start: end - len(l.value), end: end, present: true}
	return nil
}

// raiseVersion writes the version that the lines we added need (8216bis, 8). It is never lowered.
func (r *rewriter) raiseVersion() {
	v := r.version
	if v.required <= v.found {
		return
	}
	text := strconv.FormatUint(v.required, 10)
	if !v.present {
		text = "#" + tagVersion + ":" + text + r.eol
	}
	r.out = slices.Replace(r.out, v.start, v.end, []byte(text)...)
}
