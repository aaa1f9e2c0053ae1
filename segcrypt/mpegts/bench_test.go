package mpegts

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"math/rand/v2"
	"testing"
)

// benchSegment is six seconds of 1080p at 6 Mbit/s with AAC, as its packets would be: 150 pictures of four slices, 282 frames.
func benchSegment() []byte {
	rnd := rand.New(rand.NewPCG(9, 9))
	random := func(size int) []byte {
		b := make([]byte, size+8)
		for i := 0; i < size; i += 8 {
			binary.LittleEndian.PutUint64(b[i:], rnd.Uint64()|0x0100000000000000)
		}
		return b[:size]
	}
	video, audio := muxStream{streamType: 0x1B, clock: true, headerData: make([]byte, 10)}, muxStream{streamType: 0x0F, sized: true, headerData: make([]byte, 5)}
	for range 150 {
		unit := []byte{0, 0, 0, 1, 9, 0xF0}
		for range 4 {
			unit = append(append(unit, 0, 0, 1, 0x65), random(7500)...)
			unit[len(unit)-1] |= 1
		}
		video.pes = append(video.pes, unit)
	}
	for range 47 {
		var frames []byte
		for range 6 {
			frame := adts(341)
			copy(frame[7:], random(334))
			frames = append(frames, frame...)
		}
		audio.pes = append(audio.pes, frames)
	}
	return mux(video, audio)
}

// BenchmarkProtect: ours, and the floor, which copies the segment and encrypts as many blocks one after the other with the standard
// library, without looking at what they are.
func BenchmarkProtect(b *testing.B) {
	seg := benchSegment()
	b.Run("ours", func(b *testing.B) {
		e := New(testKey(b))
		var dst []byte
		b.SetBytes(int64(len(seg)))
		b.ReportAllocs()
		for b.Loop() {
			var err error
			if dst, err = e.ProtectSegment(dst[:0], seg); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("floor", func(b *testing.B) {
		block, err := aes.NewCipher(testSecret)
		if err != nil {
			b.Fatal(err)
		}
		dst := make([]byte, len(seg))
		b.SetBytes(int64(len(seg)))
		for b.Loop() {
			copy(dst, seg)
			for run := dst; len(run) >= 30000; run = run[30000:] {
				var chain [16]byte
				for off := 0; off+16 <= 30000; off += 160 {
					x := run[off : off+16]
					for i := range x {
						x[i] ^= chain[i]
					}
					block.Encrypt(x, x)
					copy(chain[:], x)
				}
			}
			cipher.NewCBCEncrypter(block, testIV).CryptBlocks(dst[:16*5600], dst[:16*5600]) // the audio
		}
	})
}
