package hls

import (
	"fmt"
	"strings"
)

// Kind is what a playlist lists. The zero value is no kind.
type Kind uint8

// The two kinds of playlist (8216bis, 4).
const (
	KindMultivariant Kind = iota + 1
	KindMedia
)

// String returns the name of the kind.
func (k Kind) String() string {
	switch k {
	case KindMultivariant:
		return "multivariant playlist"
	case KindMedia:
		return "media playlist"
	default:
		return "no playlist"
	}
}

// Info is what can be told from a playlist without looking at anything else.
type Info struct {
	Kind Kind
	// Live reports a media playlist without EXT-X-ENDLIST: it can still grow or move.
	Live bool
	// Event reports EXT-X-PLAYLIST-TYPE:EVENT: segments never leave the playlist.
	Event bool
	// Mapped reports a media playlist with an EXT-X-MAP: segments of fragmented MP4.
	Mapped bool
	// Variant is the URI of the first variant of a multivariant playlist, as it is written.
	Variant string
	// QueryDependent reports that the rewritten playlist depends on the query of the request, because it defines
	// variables by QUERYPARAM.
	QueryDependent bool

	references int
	iFrames    bool // EXT-X-I-FRAMES-ONLY
	keyed      bool // an EXT-X-KEY says more than METHOD=NONE
	// sessionKeyed says the same of EXT-X-SESSION-KEY.
	sessionKeyed bool
}

// Inspect tells the kind of a playlist by its tags. It returns ErrNotPlaylist when there are none of either kind, and a
// *SyntaxError for tags of both kinds, for text that no playlist may hold and for one beyond the limits.
func Inspect(playlist []byte) (Info, error) { return inspect(string(playlist)) }

func inspect(text string) (Info, error) {
	if err := checkText(text); err != nil {
		return Info{}, err
	}
	info, ended := Info{}, false
	for s := (lines{rest: text}); ; {
		l, ok := s.next()
		if !ok {
			break
		}
		if kind := tagKind(l.tag); kind != 0 {
			if info.Kind != 0 && info.Kind != kind {
				return Info{}, &SyntaxError{Line: l.number, Tag: l.tag, Err: errMixed}
			}
			info.Kind = kind
		}
		switch {
		case l.isURI() || hasReference(l.tag):
			info.references++
			info.Mapped = info.Mapped || l.tag == tagMap
			if info.Kind == KindMultivariant && l.isURI() && info.Variant == "" {
				info.Variant = l.body
			}
		case l.tag == tagEndList:
			ended = true
		case l.tag == tagPlaylistType:
			info.Event = strings.TrimLeft(l.value, " \t") == "EVENT"
		case l.tag == tagKey:
			info.keyed = info.keyed || !strings.Contains(l.value, "METHOD="+methodNone)
		case l.tag == tagSessionKey:
			info.sessionKeyed = info.sessionKeyed || !strings.Contains(l.value, "METHOD="+methodNone)
		case l.tag == tagIFramesOnly:
			info.iFrames = true
		case l.tag == tagDefine && strings.Contains(l.value, "QUERYPARAM"):
			info.QueryDependent = true
		}
		if info.references > maxReferences {
			return Info{}, &SyntaxError{Line: l.number, Tag: l.tag, Err: fmt.Errorf("%w: over %d references", ErrTooLarge, maxReferences)}
		}
	}
	if info.Kind == 0 {
		return Info{}, ErrNotPlaylist
	}
	info.Live = info.Kind == KindMedia && !ended
	return info, nil
}

// Tags that this package acts on or knows to be harmless.
const (
	tagDefine          = "EXT-X-DEFINE"
	tagVersion         = "EXT-X-VERSION"
	tagStreamInf       = "EXT-X-STREAM-INF"
	tagIFrameStreamInf = "EXT-X-I-FRAME-STREAM-INF"
	tagMedia           = "EXT-X-MEDIA"
	tagSessionData     = "EXT-X-SESSION-DATA"
	tagSessionKey      = "EXT-X-SESSION-KEY"
	tagSteering        = "EXT-X-CONTENT-STEERING"
	tagInf             = "EXTINF"
	tagKey             = "EXT-X-KEY"
	tagMap             = "EXT-X-MAP"
	tagByteRange       = "EXT-X-BYTERANGE"
	tagPart            = "EXT-X-PART"
	tagPreloadHint     = "EXT-X-PRELOAD-HINT"
	tagReport          = "EXT-X-RENDITION-REPORT"
	tagSkip            = "EXT-X-SKIP"
	tagDateRange       = "EXT-X-DATERANGE"
	tagEndList         = "EXT-X-ENDLIST"
	tagIFramesOnly     = "EXT-X-I-FRAMES-ONLY"
	tagSequence        = "EXT-X-MEDIA-SEQUENCE"
	tagTargetDuration  = "EXT-X-TARGETDURATION"
	tagDateTime        = "EXT-X-PROGRAM-DATE-TIME"
	tagPlaylistType    = "EXT-X-PLAYLIST-TYPE"
	tagDiscontinuity   = "EXT-X-DISCONTINUITY"
	tagGap             = "EXT-X-GAP"
	tagServerControl   = "EXT-X-SERVER-CONTROL"
	tagIndependent     = "EXT-X-INDEPENDENT-SEGMENTS"
)

// tagKind returns the kind of playlist that a tag belongs to, and zero for tags of both kinds and unknown ones.
func tagKind(tag string) Kind {
	switch tag {
	case tagStreamInf, tagIFrameStreamInf, tagMedia, tagSessionData, tagSessionKey, tagSteering:
		return KindMultivariant
	case tagInf, tagKey, tagMap, tagByteRange, tagPart, tagPreloadHint, tagReport, tagSkip, tagDateRange, tagEndList,
		tagIFramesOnly, tagSequence, tagDiscontinuity, tagGap, tagServerControl, tagTargetDuration,
		"EXT-X-DISCONTINUITY-SEQUENCE", tagDateTime, "EXT-X-BITRATE", tagPlaylistType, "EXT-X-PART-INF":
		return KindMedia
	default:
		return 0
	}
}

// isKnown reports whether a tag is defined by 8216bis or its predecessors.
func isKnown(tag string) bool {
	switch tag {
	case "EXTM3U", tagVersion, tagDefine, tagIndependent, "EXT-X-START", "EXT-X-ALLOW-CACHE":
		return true
	default:
		return tagKind(tag) != 0
	}
}

// hasAttributes reports whether the value of a known tag is an attribute list.
func hasAttributes(tag string) bool {
	switch tag {
	case tagStreamInf, tagDefine, tagKey, tagSessionKey, tagSkip, tagServerControl, "EXT-X-PART-INF", "EXT-X-START":
		return true
	default:
		return hasReference(tag)
	}
}

// isPlain reports whether the value of a known tag is a number, a word or a date.
func isPlain(tag string) bool {
	return isKnown(tag) && tag != tagInf && tag != tagSteering && !hasAttributes(tag)
}

// hasReference reports whether an attribute of a tag that we keep can be a reference.
func hasReference(tag string) bool {
	switch tag {
	case tagMedia, tagIFrameStreamInf, tagSessionData, tagMap, tagPart, tagPreloadHint, tagReport, tagDateRange:
		return true
	default:
		return false
	}
}

// isReference reports whether a player can follow the value of an attribute with this name.
func isReference(name string) bool {
	switch name {
	case attrURI, attrAssetURI, attrAssetList, attrServerURI:
		return true
	default:
		return false
	}
}

// Attributes that hold a reference.
const (
	attrURI       = "URI"
	attrAssetURI  = "X-ASSET-URI"  // of an interstitial
	attrAssetList = "X-ASSET-LIST" // of an interstitial
	attrServerURI = "SERVER-URI"   // of EXT-X-CONTENT-STEERING
)
