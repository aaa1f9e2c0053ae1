package segcrypt

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"fmt"

	"github.com/caddy-drm/caddy-drm/drm"
)

// readSample is one sample of a protected segment, as read back from its boxes.
type readSample struct {
	iv    uint64
	subs  []subsample // nil: whole
	data  []byte
	at    int // of data in the segment
	track uint32
}

// readProtected reads a protected segment with code of its own: it trusts offsets and auxiliary information only, and checks
// saiz and saio against senc.
func readProtected(seg []byte, scheme drm.ProtectionScheme, defaultSize uint32) ([]readSample, error) {
	var all []readSample
	err := eachBox(seg, 0, len(seg), "seg", func(moof box) error {
		if moof.typ != typMoof {
			return nil
		}
		return eachBox(seg, moof.payload(), moof.end, "moof", func(traf box) error {
			if traf.typ != typTraf {
				return nil
			}
			samples, err := readTrackFragment(seg, moof, traf, scheme, defaultSize)
			all = append(all, samples...)
			return err
		})
	})
	return all, err
}

func readTrackFragment(seg []byte, moof, traf box, scheme drm.ProtectionScheme, defaultSize uint32) ([]readSample, error) {
	var samples []readSample
	boxes, track := map[fourCC]box{}, uint32(0)
	err := eachBox(seg, traf.payload(), traf.end, "traf", func(b box) error {
		if _, again := boxes[b.typ]; again && (b.typ == typSenc || b.typ == typSaiz || b.typ == typSaio) {
			return fmt.Errorf("a second %s", b.typ)
		}
		boxes[b.typ] = b
		p := b.payload()
		switch b.typ {
		case typTfhd:
			flags := be32(seg, p)
			if flags&tfhdBaseOffset != 0 || flags&tfhdBaseIsMoof == 0 {
				return fmt.Errorf("tfhd flags %#x", flags)
			}
			track = be32(seg, p+4)
			p += 8
			for _, f := range []uint32{tfhdDescription, tfhdDuration} {
				if flags&f != 0 {
					p += 4
				}
			}
			if flags&tfhdSize != 0 {
				defaultSize = be32(seg, p)
			}
		case typTrun:
			flags, count := be32(seg, p), int(be32(seg, p+4))
			at := moof.off + int(int32(be32(seg, p+8)))
			p += 12
			if flags&trunFirstFlags != 0 {
				p += 4
			}
			stride, sizeAt := trunStride(flags & 0xffffff)
			for range count {
				size := int(defaultSize)
				if sizeAt >= 0 {
					size = int(be32(seg, p+sizeAt))
				}
				samples = append(samples, readSample{data: seg[at : at+size], at: at, track: track})
				at += size
				p += stride
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return samples, readAuxiliary(seg, moof, boxes, samples, scheme)
}

func readAuxiliary(seg []byte, moof box, boxes map[fourCC]box, samples []readSample, scheme drm.ProtectionScheme) error {
	senc, ok := boxes[typSenc]
	if !ok {
		return nil
	}
	saiz, saio := boxes[typSaiz], boxes[typSaio]
	if saiz.end == 0 || saio.end == 0 {
		return fmt.Errorf("senc without saiz or saio")
	}
	p := senc.payload() + 8
	if got := int(be32(seg, saio.payload()+8)); got != p-moof.off {
		return fmt.Errorf("saio says %d, the information is at %d", got, p-moof.off)
	}
	if n := int(be32(seg, senc.payload()+4)); n != len(samples) || int(be32(seg, saiz.payload()+5)) != n {
		return fmt.Errorf("senc has %d samples, saiz %d, trun %d", n, be32(seg, saiz.payload()+5), len(samples))
	}
	for i := range samples {
		start := p
		if scheme == drm.SchemeCenc {
			samples[i].iv = be64(seg, p)
			p += 8
		}
		if be32(seg, senc.payload())&2 != 0 {
			n := int(binary.BigEndian.Uint16(seg[p:]))
			p += 2
			samples[i].subs = []subsample{}
			for range n {
				samples[i].subs = append(samples[i].subs, subsample{binary.BigEndian.Uint16(seg[p:]), be32(seg, p+2)})
				p += 6
			}
		}
		info := int(seg[saiz.payload()+4])
		if info == 0 {
			info = int(seg[saiz.payload()+9+i])
		}
		if info != p-start {
			return fmt.Errorf("saiz says %d bytes for sample %d, senc has %d", info, i, p-start)
		}
	}
	if p != senc.end {
		return fmt.Errorf("senc is %d bytes too long", senc.end-p)
	}
	return nil
}

// decryptSample returns the clear bytes of a sample.
func decryptSample(s readSample, scheme drm.ProtectionScheme, key, iv []byte) ([]byte, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	out := append([]byte(nil), s.data...)
	subs, stride := s.subs, 160
	if subs == nil {
		subs, stride = []subsample{{0, uint32(len(out))}}, 16
	}
	counter := make([]byte, 16)
	binary.BigEndian.PutUint64(counter, s.iv)
	stream := cipher.NewCTR(block, counter)
	at := 0
	for _, sub := range subs {
		at += int(sub.clear)
		end := at + int(sub.protected)
		if end > len(out) {
			return nil, fmt.Errorf("subsamples reach past the sample")
		}
		if scheme == drm.SchemeCenc {
			stream.XORKeyStream(out[at:end], out[at:end])
		} else {
			previous := iv
			for p := at; end-p >= 16; p += stride {
				next := append([]byte(nil), out[p:p+16]...)
				cipher.NewCBCDecrypter(block, previous).CryptBlocks(out[p:p+16], out[p:p+16])
				previous = next
			}
		}
		at = end
	}
	if at != len(out) {
		return nil, fmt.Errorf("subsamples cover %d of %d bytes", at, len(out))
	}
	return out, nil
}

// decryptSegment returns the contents of all mdat boxes of a protected segment, decrypted.
func decryptSegment(seg []byte, scheme drm.ProtectionScheme, defaultSize uint32) ([]byte, []readSample, error) {
	return decryptTracks(seg, scheme, defaultSize, func(uint32) []byte { return mustHex(testKeyHex) })
}

// decryptTracks is decryptSegment with a key per track; nil for a clear one.
func decryptTracks(seg []byte, scheme drm.ProtectionScheme, defaultSize uint32, key func(track uint32) []byte) ([]byte, []readSample, error) {
	samples, err := readProtected(seg, scheme, defaultSize)
	if err != nil {
		return nil, nil, err
	}
	out := append([]byte(nil), seg...)
	for i, s := range samples {
		k := key(s.track)
		if k == nil {
			continue
		}
		b, err := decryptSample(s, scheme, k, mustHex(testIVHex))
		if err != nil {
			return nil, nil, fmt.Errorf("sample %d: %w", i, err)
		}
		copy(out[s.at:], b)
	}
	return mdatPayload(out), samples, nil
}

// mdatPayload returns the contents of all mdat boxes.
func mdatPayload(seg []byte) []byte {
	var out []byte
	_ = eachBox(seg, 0, len(seg), "seg", func(b box) error {
		if b.typ == typMdat {
			out = append(out, seg[b.payload():b.end]...)
		}
		return nil
	})
	return out
}
