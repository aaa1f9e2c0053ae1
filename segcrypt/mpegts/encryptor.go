package mpegts

import (
	"sync"

	"github.com/caddy-drm/caddy-drm/drm"
	"github.com/caddy-drm/caddy-drm/segcrypt/internal/aes128"
	"github.com/caddy-drm/caddy-drm/segcrypt/internal/audioframe"
)

// Encryptor protects the segments of a title under one content key. It is safe for concurrent use.
type Encryptor struct {
	key     *aes128.Key
	iv      [aes128.BlockSize]byte
	scratch sync.Pool // *segment; what is in them never leaves
}

// New returns an Encryptor with the key and its constant IV, which EXT-X-KEY has to name.
func New(key drm.ContentKey) *Encryptor {
	return &Encryptor{
		key: aes128.NewKey(key.Secret()), iv: key.ConstantIV(), scratch: sync.Pool{New: func() any { return new(segment) }},
	}
}

// ProtectSegment appends the protected form of a clear segment to dst. The segment is a transport stream of whole packets of 188
// bytes with one program, whose PAT and PMT are in it; every PES packet begins and ends in it.
//
// AVC, AAC in ADTS, AC-3 and E-AC-3 are protected. Private sections, timed metadata, SCTE 35, subtitles, teletext and KLV pass.
//
// An error is a *segcrypt.FormatError with the PID and the offset of the packet that is at fault, or of the PES packet in which it
// is; it wraps segcrypt.ErrAlreadyProtected if the segment or a stream of it is encrypted. Then nothing is returned. Memory is
// proportional to the segment.
//
// Source: SAMPLE-AES, 2; 13818-1, 2.4.
func (e *Encryptor) ProtectSegment(dst, seg []byte) ([]byte, error) {
	if len(seg) == 0 || len(seg)%packetSize != 0 {
		return nil, formatError("segment", len(seg), errLength)
	}
	s, _ := e.scratch.Get().(*segment)
	defer e.release(s)
	if err := s.findProgram(seg); err != nil {
		return nil, err
	}
	if err := s.collect(seg); err != nil {
		return nil, err
	}
	for i := range s.streams {
		if err := e.encrypt(&s.streams[i]); err != nil {
			return nil, err
		}
	}
	return s.write(dst, seg)
}

// release keeps the buffers of s for another segment, and lets go of the clear segment.
func (e *Encryptor) release(s *segment) {
	s.pat, s.program = nil, programMap{}
	for i := range s.streams {
		s.streams[i].last, s.streams[i].out, s.streams[i].entry = packet{}, output{}, nil
	}
	e.scratch.Put(s)
}

// encrypt protects one stream in its own buffer.
func (e *Encryptor) encrypt(st *stream) error {
	var offset int
	var err error
	if st.entry.kind == kindAVC {
		lanes := e.key.Lanes(st.es, &e.iv, aes128.PatternStride)
		if offset, err = st.findSlices(&lanes); err == nil {
			lanes.Finish()
			st.escape()
		}
	} else {
		lanes := e.key.Lanes(st.es, &e.iv, aes128.BlockSize)
		if offset, err = audioframe.Walk(st.entry.codec, st.es, lanes.Add); err == nil {
			lanes.Finish()
		}
	}
	if err != nil {
		return formatError(pidPath(st.entry.pid), st.pesAt(offset), err)
	}
	return nil
}

// pesAt returns the offset in the segment of the PES packet with a byte of the stream.
func (st *stream) pesAt(offset int) int {
	at := 0
	for i := range st.pes {
		if st.pes[i].from > offset {
			break
		}
		at = st.pes[i].offset
	}
	return at
}
