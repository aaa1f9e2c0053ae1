package hls

import (
	"fmt"
	"strings"

	"github.com/caddy-drm/caddy-drm/address"
)

// whose says who protected the media of a playlist, as far as it is known.
type whose uint8

const (
	nobodys whose = iota // nothing was seen yet
	ours
	origins
)

// settle refuses a playlist that has media, or keys, of both.
func (r *rewriter) settle(w whose) error {
	if r.media.whose != nobodys && r.media.whose != w {
		return r.fault(ErrMixedProtection)
	}
	r.media.whose = w
	return nil
}

// settleTrack is settle for media of a track.
func (r *rewriter) settleTrack(track *openTrack) error {
	if track.passes && r.o.ReplaceProtection {
		return r.fault(ErrAlreadyProtected)
	}
	if track.passes {
		return r.settle(origins)
	}
	return r.settle(ours)
}

// passesKeys reports that keys of the origin stay.
func (r *rewriter) passesKeys() bool { return r.o.PassProtected && !r.o.ReplaceProtection }

// originKey handles a key line of the origin. Without protected media to pass, one that switches protection off is dropped, and
// any other is refused; one that is left over from protection that the media does not have is dropped.
func (r *rewriter) originKey() error {
	method, ok := find(r.attrs, "METHOD")
	if !ok {
		return r.fault(errMissing)
	}
	if r.o.ReplaceProtection {
		return nil
	}
	none := r.line.value[method.start:method.end] == methodNone
	switch {
	case none && r.o.PassProtected && r.info.keyed:
		r.copyLine(r.line)
		return nil
	case none:
		return nil
	case !r.o.PassProtected:
		return r.fault(ErrAlreadyProtected)
	}
	if err := r.checkOriginKey(r.line.value[method.start:method.end]); err != nil {
		return err
	}
	if r.line.tag == tagKey {
		if err := r.settle(origins); err != nil {
			return err
		}
	}
	r.copyLine(r.line)
	return nil
}

// passingMethods are those of media whose protection can be seen: samples of fragmented MP4. Whole segments under AES-128 look
// like any other bytes. SAMPLE-AES-CENC is what packagers wrote before SAMPLE-AES-CTR had its name.
var passingMethods = map[string]bool{"SAMPLE-AES": true, "SAMPLE-AES-CTR": true, "SAMPLE-AES-CENC": true}

// checkOriginKey refuses a key line that cannot stay as it is: one for media that cannot be checked, one with variables, whose
// definitions do not stay, and one whose URI is relative to the playlist, at which nobody answers for keys of others.
func (r *rewriter) checkOriginKey(method string) error {
	if !passingMethods[method] {
		return r.fault(fmt.Errorf("%w, by a method whose media cannot be told from clear media", ErrAlreadyProtected))
	}
	uri, err := r.requireURI()
	if err != nil {
		return err
	}
	if strings.Contains(r.line.value, "{$") {
		return r.fault(fmt.Errorf("%w: a variable in a key of the origin", ErrUnsupported))
	}
	if !strings.HasPrefix(uri, "/") && !hasURLScheme(uri) {
		return r.fault(fmt.Errorf("%w: a key of the origin that is relative to the playlist", address.ErrReference))
	}
	return nil
}

// hasURLScheme reports whether a reference begins with a scheme (RFC 3986, 3.1).
func hasURLScheme(ref string) bool {
	scheme, _, ok := strings.Cut(ref, ":")
	if !ok || scheme == "" || strings.ContainsFunc(scheme, func(c rune) bool { return !isSchemeRune(c) }) {
		return false
	}
	first := scheme[0] | 0x20
	return first >= 'a' && first <= 'z'
}

func isSchemeRune(c rune) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '+' || c == '-' || c == '.'
}
