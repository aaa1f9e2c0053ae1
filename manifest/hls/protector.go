package hls

import (
	"context"

	"github.com/caddy-drm/caddy-drm/address"
)

// Protector is asked for what the rewriter cannot know. It is called in the order of the lines, never concurrently, and
// should give the same answer to the same question.
//
// The elements that it and its tracks return are put in front of the last element of the target's path: at least one,
// each of letters, digits and "-._~" only, without a dot at the end. They have to tell ranges of one file apart, since a
// rewritten playlist holds no byte ranges. Its errors stop the rewriting and are returned wrapped, except where the
// package comment says that a line is dropped.
type Protector interface {
	// Playlist returns the elements for a child playlist, or the playlist of a rendition report or an interstitial.
	Playlist(ctx context.Context, target address.Target) (elements []string, err error)
	// Track returns the track of an init segment. It is called once for each distinct EXT-X-MAP.
	Track(ctx context.Context, init Resource) (Track, error)
	// Bare returns the track of segments that no EXT-X-MAP stands in front of: transport streams, packed audio, WebVTT. It
	// is called once for each file extension, with the first segment or part that has it. It returns an error for what
	// must not be served in clear and cannot be protected.
	Bare(ctx context.Context, first Segment) (Track, error)
	// Sidecar returns the elements for a resource beside the media: session data. It returns an error for what must not
	// be served in clear.
	Sidecar(ctx context.Context, target address.Target) (elements []string, err error)
}

// Track is what one init segment describes, or what the segments without one have in common.
type Track interface {
	// Keys returns the EXT-X-KEY lines of the track in an epoch, one per KEYFORMAT; none when there is nothing to protect. It is
	// called at most once for each.
	Keys(epoch Epoch) []Key
	// Passes reports that the media came protected: nothing is announced for it, and keys of the origin stay.
	Passes() bool
	// KeysAfterMap reports that the keys cover whole resources and the init segment is clear: the keys then stand behind
	// EXT-X-MAP, and no key is in force in front of it.
	KeysAfterMap() bool
	// TakesClearLead reports that the beginning of the track stays clear if Options.ClearLead says so. It is not asked of segments
	// without EXT-X-MAP and of keys behind it, which have no lead.
	TakesClearLead() bool
	// Elements returns the elements for a media segment, a part, or the init segment, which is a Segment with nothing
	// but its Resource, its Epoch, in each of which it has a URL, since it names the key, and its ClearLead.
	Elements(s Segment) (elements []string, err error)
}

// Resource is a file at the origin, or a range of its clear bytes, that a reference names.
type Resource struct {
	Target address.Target
	Range  address.Range
}

// Segment is a media segment or a part of one.
type Segment struct {
	Resource
	// Sequence is the media sequence number; a part has that of its segment.
	Sequence uint64
	// IFrame reports a playlist with EXT-X-I-FRAMES-ONLY, whose ranges may end inside a chunk.
	IFrame bool
	// Gap reports that the origin has no such resource (EXT-X-GAP, GAP=YES), or that its keys are not given any more. Players do not ask for it.
	Gap bool
	// Epoch is the one that the segment begins in, its crypto period modulo 2^32; a part has that of its segment.
	Epoch
	// ClearLead reports that the segment stays clear, and of an init segment that it is for segments which do. No key is in force for
	// them: the EXT-X-KEY lines begin with the first segment that is encrypted, and there the init segment comes again without it.
	ClearLead bool
	// Lead is for a part that players cannot begin with: the parts from the last independent one up to this one,
	// exclusive, in their order. It is empty when that is not known, or there are more than 16 of them. It must not be
	// changed.
	Lead []Resource
}
