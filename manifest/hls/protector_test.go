package hls

import (
	"context"
	"fmt"
	"path"
	"strings"

	"github.com/caddy-drm/caddy-drm/address"
)

// testProtector seals everything below /vod/: playlists with ~p, sidecars with ~t, and tracks with ~ and the name of
// their init segment, or ~x if no element can hold it. An init segment whose name begins with "text" has nothing to
// protect; one with "two" has two key formats, one with "whole" is clear in front of segments that are encrypted whole,
// and any other has one key. Segments without one are sealed with ~ and their extension; .vtt has nothing to protect, .ts
// is encrypted whole, .aac sample by sample, all others are refused.
type testProtector struct {
	inits    []string  // paths and ranges that Track was called with
	bare     []Segment // that Bare was called with
	segments []Segment // that Elements of all tracks was called with
}

func (p *testProtector) Playlist(_ context.Context, target address.Target) ([]string, error) {
	return p.seal("~p", target)
}

func (p *testProtector) Sidecar(_ context.Context, target address.Target) ([]string, error) {
	if target.Path.Ext() != ".vtt" && target.Path.Ext() != ".json" {
		return nil, errTestRefused
	}
	return p.seal("~t", target)
}

func (p *testProtector) Track(_ context.Context, init Resource) (Track, error) {
	name := init.Target.Path.Base()
	known := func(prefix string) bool { return strings.HasPrefix(name, prefix) }
	if !known("init") && !known("text") && !known("two") && !known("whole") {
		return nil, errTestRefused
	}
	p.inits = append(p.inits, string(init.Target.Path)+rangeElement(init.Range))
	return testTrack{p, strings.TrimSuffix(name, path.Ext(name))}, nil
}

func (p *testProtector) Bare(_ context.Context, first Segment) (Track, error) {
	p.bare = append(p.bare, first)
	switch extension := first.Target.Path.Ext(); extension {
	case ".vtt", ".ts", ".aac":
		return testTrack{p, extension[1:]}, nil
	}
	return nil, errTestRefused
}

func (p *testProtector) seal(element string, target address.Target) ([]string, error) {
	if !target.Path.Under("/vod/") {
		return nil, errTestRefused
	}
	return []string{element}, nil
}

type testTrack struct {
	protector *testProtector
	name      string
}

func (t testTrack) Keys(Epoch) []Key {
	key := Key{Method: "SAMPLE-AES", URI: "k/" + t.name, KeyFormat: KeyFormatClearKey, KeyFormatVersions: "1", KID: testKID}
	switch {
	case strings.HasPrefix(t.name, "text"), t.name == "vtt":
		return nil
	case strings.HasPrefix(t.name, "two"):
		return []Key{{Method: "SAMPLE-AES-CTR", URI: "i/" + t.name}, key}
	case strings.HasPrefix(t.name, "init-same"):
		key.URI = "k/init"
	case strings.HasPrefix(t.name, "whole"), t.name == "ts":
		return []Key{{Method: MethodAES128, URI: "k/" + t.name}}
	case t.name == "aac":
		return []Key{{Method: "SAMPLE-AES", URI: "k/aac", IV: testKID, HasIV: true}}
	}
	return []Key{key}
}

func (t testTrack) Passes() bool { return strings.HasPrefix(t.name, "init-theirs") }

func (t testTrack) TakesClearLead() bool { return !strings.HasPrefix(t.name, "text") }
func (t testTrack) KeysAfterMap() bool   { return strings.HasPrefix(t.name, "whole") }

func (t testTrack) Elements(s Segment) ([]string, error) {
	t.protector.segments = append(t.protector.segments, s)
	element := "~" + t.name
	if len(t.name) > 20 || !isPlainElement(t.name) {
		element = "~x"
	}
	return t.protector.seal(element+rangeElement(s.Range), s.Target)
}

// rangeElement is the end of the element of a range, such as ".10-40" for 10 bytes from 40 on.
func rangeElement(r address.Range) string {
	if r.IsZero() {
		return ""
	}
	return fmt.Sprintf(".%d-%d", r.Length, r.Offset)
}

// fixedProtector answers everything with the same elements and keys.
type fixedProtector struct {
	elements []string
	keys     []Key
}

func (p fixedProtector) Playlist(context.Context, address.Target) ([]string, error) {
	return p.elements, nil
}
func (p fixedProtector) Sidecar(context.Context, address.Target) ([]string, error) {
	return p.elements, nil
}
func (p fixedProtector) Track(context.Context, Resource) (Track, error) { return p, nil }
func (p fixedProtector) Bare(context.Context, Segment) (Track, error)   { return p, nil }
func (p fixedProtector) Elements(Segment) ([]string, error)             { return p.elements, nil }
func (p fixedProtector) Keys(Epoch) []Key                               { return p.keys }
func (p fixedProtector) TakesClearLead() bool                           { return true }
func (p fixedProtector) KeysAfterMap() bool                             { return false }
func (p fixedProtector) Passes() bool                                   { return false }
