package caddymodule

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/zeebo/xxh3"

	"github.com/caddy-drm/caddy-drm/drm"
	"github.com/caddy-drm/caddy-drm/segcrypt"
	"github.com/caddy-drm/caddy-drm/segcrypt/mpegts"
	"github.com/caddy-drm/caddy-drm/segcrypt/packedaudio"
	"github.com/caddy-drm/caddy-drm/segcrypt/wholesegment"
)

// outgoing is a segment whose protected size is known and whose bytes are encrypted as they are asked for.
type outgoing interface {
	// WriteTo writes the protected segment. It may use up the memory of the clear one.
	io.WriterTo
	// Size is the length of the protected segment in bytes.
	Size() int
	// AppendTo appends the protected segment to dst. It is not called behind WriteTo.
	AppendTo(dst []byte) segcrypt.Protected
	// Release gives memory back; the segment must not be used afterwards.
	Release()
}

var errNotMedia = errors.New("the segment is none of the containers that can be encrypted")

// protect plans the protection of a clear segment, or carries it out where its size shows only then. The result may lie in
// the memory of the clear segment; what is needed besides is claimed.
func (q *request) protect(m *media, clear *clearResource, claim *claim) (outgoing, string, error) {
	switch {
	case q.seal.Passes:
		return passSegment(m, clear)
	case q.seal.Scheme == drm.SchemeAES128:
		return q.protectWhole(m, clear, claim)
	case m.protector != nil:
		seg, err := q.plan(m, clear, claim)
		if err != nil {
			return nil, "", err
		}
		return seg, mediaType(m.init), nil
	default:
		return protectFrames(m, clear, claim)
	}
}

// plan plans a segment of CMAF. One that depends on parameter sets of earlier parts is planned behind these.
func (q *request) plan(m *media, clear *clearResource, claim *claim) (*segcrypt.Segment, error) {
	plan := m.protector.Plan
	if clear.unsized {
		plan = m.protector.NewStream().Plan // gives what leaves chunk by chunk for other requests, which has no index
	}
	seg, err := plan(clear.body)
	if errors.Is(err, segcrypt.ErrParameterSets) && len(q.seal.Lead) > 0 {
		seg, err = q.planBehindLead(m, clear, claim)
	}
	if err == nil {
		if err = errors.Join(q.checkPeriod(seg), q.checkLead(seg)); err != nil {
			seg.Release()
			return nil, err
		}
	}
	if err == nil && clear.partial > 0 {
		if err = seg.Truncate(clear.partial); err != nil {
			seg.Release()
		}
	}
	return seg, err
}

// planBehindLead reads the parts that the seal names, from the last one that players can begin with, for what they say
// about the part at hand. One of them at a time is in memory.
func (q *request) planBehindLead(m *media, clear *clearResource, claim *claim) (*segcrypt.Segment, error) {
	stream := m.protector.NewStream()
	options := fetchOptions{limit: q.MaxSegmentSize, reserve: claim.beside(len(clear.body))}
	for _, part := range q.seal.Lead {
		lead, err := q.origin.fetch(part, options)
		if err != nil {
			// Not of the status that the origin gave: the part that was asked for is there.
			return nil, &originError{err: fmt.Errorf("reading an earlier part: %w", err)}
		}
		err = stream.Prime(lead.body)
		lead.release()
		if err != nil {
			return nil, fmt.Errorf("an earlier part: %w", err)
		}
	}
	return stream.Plan(clear.body)
}

// containerTypes are the media types of segments without init segment.
var containerTypes = map[wholesegment.Container]string{
	wholesegment.TS: "video/mp2t", wholesegment.PackedAAC: "audio/aac", wholesegment.PackedAC3: "audio/ac3",
	wholesegment.PackedEC3: "audio/eac3", wholesegment.PackedMP3: "audio/mpeg", wholesegment.WebVTT: "text/vtt; charset=utf-8",
}

// protectWhole encrypts all of a segment, or of the range of it that an I-frame playlist names. What it holds is looked at first: an
// error page, or media of another kind than the playlist's, must not be given out as a segment.
func (q *request) protectWhole(m *media, clear *clearResource, claim *claim) (outgoing, string, error) {
	container := wholesegment.Sniff(clear.body)
	contentType, ok := containerTypes[container]
	if m.init != nil {
		contentType, ok = mediaType(m.init), container == wholesegment.FMP4
	}
	if !ok {
		return nil, "", errNotMedia
	}
	body := clear.body
	if clear.partial > 0 {
		body = body[:clear.partial]
	}
	encryptor, iv := wholesegment.New(m.key), wholesegment.IVFromSequence(q.seal.Sequence)
	if size := wholesegment.Size(len(body)); cap(body) < size {
		if err := claim.beside(len(clear.body))(int64(size)); err != nil {
			return nil, "", err
		}
		buf := protectedBuffers.get(size) // the padding has no room
		buf.b = encryptor.Append(buf.b, body, iv)
		return protectedBytes{b: buf.b, pooled: buf}, contentType, nil
	}
	return protectedBytes{b: encryptor.EncryptInPlace(body, iv)}, contentType, nil
}

// protectFrames encrypts the frames of a transport stream or of packed audio.
func protectFrames(m *media, clear *clearResource, claim *claim) (outgoing, string, error) {
	container := wholesegment.Sniff(clear.body)
	size := len(clear.body) + len(clear.body)/16
	if err := claim.beside(len(clear.body))(int64(size)); err != nil {
		return nil, "", err
	}
	buf := protectedBuffers.get(size)
	var err error
	switch container {
	case wholesegment.TS:
		buf.b, err = mpegts.New(m.key).ProtectSegment(buf.b, clear.body)
	case wholesegment.PackedAAC, wholesegment.PackedAC3, wholesegment.PackedEC3:
		buf.b, err = packedaudio.New(m.key).ProtectSegment(buf.b, clear.body)
	default:
		err = errNotMedia
	}
	if err != nil {
		protectedBuffers.put(buf)
		return nil, "", err
	}
	return protectedBytes{b: buf.b, pooled: buf}, containerTypes[container], nil
}

// protectedBytes is a segment that is encrypted already.
type protectedBytes struct {
	b      segcrypt.Protected
	pooled *recorderBuffer // nil if the bytes lie in the memory of the clear segment
}

// WriteTo implements outgoing.
func (p protectedBytes) WriteTo(w io.Writer) (int64, error) {
	n, err := writeAll(w, p.b)
	return int64(n), err
}

// Size implements outgoing.
func (p protectedBytes) Size() int { return len(p.b) }

// AppendTo implements outgoing.
func (p protectedBytes) AppendTo(dst []byte) segcrypt.Protected { return append(dst, p.b...) }

// Release implements outgoing.
func (p protectedBytes) Release() { protectedBuffers.put(p.pooled) }

// contentDigest tells the clear bytes of one segment from others, on every node alike. Its seed is secret, so that the ETag
// which it becomes part of says nothing about the clear bytes.
func (s *site) contentDigest(clear []byte) xxh3.Uint128 {
	return xxh3.Hash128Seed(clear, s.digestSeed())
}

// newContentDigest is contentDigest for clear bytes that come one after the other.
func (s *site) newContentDigest() *xxh3.Hasher { return xxh3.NewSeed(s.digestSeed()) }

func (s *site) digestSeed() uint64 { return binary.BigEndian.Uint64(s.ivSecret[:8]) }

// numberBytes is n as a field of an ETag.
func numberBytes(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }
