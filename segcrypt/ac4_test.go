package segcrypt

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	"github.com/caddy-drm/caddy-drm/drm"
)

// ac4Frame writes a synthetic raw_ac4_frame of TS 103 190-2, 6.2.1: one presentation of one substream group, and n bytes of
// substreams. There is no free encoder; the tables of contents are written by hand from the syntax.
func ac4Frame(rate uint64, presentation, group func(w *bitWriter), n int) (frame []byte, toc int) {
	w := new(bitWriter)
	w.u(2, 2).u(10, 77).flags(0) // bitstream_version, sequence_counter, b_wait_frames
	w.flags(1).u(4, rate)        // 48 kHz
	w.flags(1, 1, 0, 0)          // b_iframe_global, b_single_presentation, b_payload_base, b_program_id
	presentation(w)
	group(w)
	w.u(2, 1).flags(1, 1).u(10, uint64(n)&1023).u(2, uint64(n)>>10).flags(0) // one substream, of a size with more bits
	return w.padded(n), len(w.b)
}

// ac4Single is a presentation of the substream group 0; extra are bits of the frame rate.
func ac4Single(extra ...uint64) func(w *bitWriter) {
	return func(w *bitWriter) {
		w.flags(1, 0).u(3, 3).flags(0) // single group, presentation_version 0, mdcompat, no id
		w.flags(extra...)
		w.u(2, 0).u(3, 0).flags(0).u(2, 1).u(2, 0).u(8, 0) // emdf_info with one byte of protection
		w.flags(0).u(3, 0)                                 // no filter, group_index
		w.flags(0, 0, 0, 0).u(2, 0)                        // not virtualized, no EMDF, presentation substream
	}
}

// ac4Channels is a group of one substream with the channel mode of the given bits.
func ac4Channels(bits int, mode uint64, extra ...uint64) func(w *bitWriter) {
	return func(w *bitWriter) {
		w.flags(1, 0, 1, 1).u(bits, mode)
		w.flags(extra...)
		w.flags(0) // b_content_type
	}
}

func ac4Init() Clear {
	return initParts{entries: [][]byte{entryAudio("ac-4", mk("dac4", make([]byte, 8)))}}.build()
}

// ac4Frames are frames of every shape of the syntax, with the length of their tables of contents.
func ac4Frames() map[string]struct {
	frame []byte
	toc   int
} {
	type entry = struct {
		frame []byte
		toc   int
	}
	make := func(rate uint64, presentation, group func(w *bitWriter)) entry {
		frame, toc := ac4Frame(rate, presentation, group, 1500)
		return entry{frame, toc}
	}
	tail := []uint64{0, 0, 0, 0, 0} // no sf_multiplier, no bitrate, one ndot, substream_index in two bits
	return map[string]entry{
		"stereo":                   make(13, ac4Single(), ac4Channels(2, 0b10, tail...)),
		"5.1 with a bit rate":      make(13, ac4Single(), ac4Channels(4, 0b1110, 0, 1, 0, 1, 1, 1, 1, 0, 0, 0)),
		"7.1: 3/2/2.1":             make(13, ac4Single(), ac4Channels(7, 0b1111101, 0, 0, 1, 0, 0, 0)),
		"7.1.4":                    make(13, ac4Single(), ac4Channels(8, 0b11111101, 1, 1, 1, 0, 0, 0, 0, 0, 0)),
		"25 Hz, two frames in one": make(2, ac4Single(1, 0), ac4Channels(2, 0b10, 0, 0, 1, 1, 0, 0)),
		"120 Hz, a fraction":       make(12, ac4Single(1, 1), ac4Channels(1, 0, tail...)),
		"50 Hz, multiplied":        make(7, ac4Single(1), ac4Channels(2, 0b10, 0, 0, 1, 1, 0, 0)),
		"50 Hz, a fraction":        make(7, ac4Single(0, 1), ac4Channels(2, 0b10, tail...)),
		"A-JOC with dynamic objects": make(13, ac4Single(), func(w *bitWriter) {
			w.flags(1, 0, 1, 0, 0).flags(1)                         // b_channel_coded 0, no OAMD substream, b_ajoc
			w.flags(1, 0).u(4, 3).flags(0, 0, 0, 0).u(2, 1).u(8, 0) // LFE, four signals: a bed of two of them
			w.flags(1, 1, 0, 1, 0).u(8, 0xff)                       // common data with one additional byte
			w.u(4, 9).flags(1)                                      // ten upmix signals, dynamic objects only
			w.flags(tail...)
			w.flags(1).u(3, 0).flags(1, 0).u(6, 2).u(16, 0x656e) // content type with a language
		}),
		"beds and objects": make(13, ac4Single(), func(w *bitWriter) {
			w.flags(1, 1, 0).u(2, 0).flags(0, 1, 0).u(2, 0) // two substreams with an extension each; an OAMD substream
			w.flags(0).u(3, 1).flags(0, 1, 1, 0, 1).u(17, 5)
			w.flags(tail...).u(2, 0)
			w.flags(0).u(3, 1).flags(0, 0, 0).u(4, 1).u(8, 9)
			w.flags(tail...).u(2, 3).u(2, 0).flags(0)
			w.flags(0)
		}),
	}
}

// TestAC4: the table of contents stays clear (23001-7:2023, AC-4), the rest is protected; in cenc what is over of whole blocks
// joins the clear bytes.
func TestAC4(t *testing.T) {
	for name, f := range ac4Frames() {
		for _, scheme := range drm.Schemes {
			pr := newTestProtector(t, ac4Init(), testProtection(scheme))
			clear, protected := f.toc, len(f.frame)-f.toc
			if scheme == drm.SchemeCenc {
				clear, protected = clear+protected%16, protected-protected%16
			}
			seg := videoChunk(f.frame)
			out, read, err := decryptSegment(mustProtect(t, pr, seg), scheme, 0)
			want := []subsample{{uint16(clear), uint32(protected)}}
			if err != nil || !bytes.Equal(out, f.frame) || !slices.Equal(read[0].subs, want) {
				t.Errorf("%s, %s: %v, %v, want %v", name, scheme, read[0].subs, err, want)
			}
		}
	}
}

// TestAC4Init: cbcs has the pattern 1:9, which AC-4 alone among audio codecs has, since it alone has subsamples.
func TestAC4Init(t *testing.T) {
	pr := newTestProtector(t, ac4Init(), testProtection(drm.SchemeCbcs))
	tenc := bytes.Index(pr.Init(), []byte("tenc"))
	if tenc < 0 || pr.Init()[tenc+4] != 1 || pr.Init()[tenc+9] != 0x19 {
		t.Errorf("tenc % x", pr.Init()[tenc:])
	}
}

func TestAC4Refused(t *testing.T) {
	stereo := ac4Frames()["stereo"]
	old := bytes.Clone(stereo.frame)
	old[0] &= 0x3f
	for name, tc := range map[string]struct {
		frame []byte
		is    error
	}{
		"bitstream version 0":               {old, errAC4Version},
		"a table of contents that ends":     {stereo.frame[:5], errBitsExhausted},
		"substreams longer than the sample": {stereo.frame[:stereo.toc+100], errAC4Sizes},
	} {
		pr := newTestProtector(t, ac4Init(), testProtection(drm.SchemeCenc))
		if out, err := pr.ProtectSegment(nil, videoChunk(tc.frame)); out != nil || !errors.Is(err, tc.is) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
