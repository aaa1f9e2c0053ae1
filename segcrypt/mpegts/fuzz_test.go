package mpegts

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"testing"

	"github.com/caddy-drm/caddy-drm/segcrypt"
)

// mend makes packets and checksums of what a fuzzer changed, so that it gets behind them.
func mend(b []byte) []byte {
	b = bytes.Clone(b[:len(b)/188*188])
	for p := b; len(p) > 0; p = p[188:] {
		p[0] = 0x47
		if pid := binary.BigEndian.Uint16(p[1:]) & 0x1FFF; p[3] == 0x10|p[3]&15 && p[4] == 0 && (pid == 0 || pid == muxPMT || pid == 0x1000) {
			if n := 5 + 3 + int(p[6]&15)<<8 + int(p[7]); n <= 188 && n > 12 {
				binary.BigEndian.PutUint32(p[n-4:], mpegCRC(p[5:n-4]))
			}
		}
	}
	return b
}

func checkFuzzed(t *testing.T, e *Encryptor, seg []byte) {
	out, err := e.ProtectSegment(nil, seg)
	if err != nil {
		var fe *segcrypt.FormatError
		if out != nil || !errors.As(err, &fe) || fe.Offset > int64(len(seg)) || fe.Path == "" {
			t.Fatalf("%d bytes, %v", len(out), err)
		}
		return
	}
	if len(out)%188 != 0 || cap(out) > 8*len(seg)+188*1000 {
		t.Fatalf("%d bytes, capacity %d, of %d", len(out), cap(out), len(seg))
	}
	if err := checkProtected(seg, out); err != nil {
		t.Fatal(err)
	}
	if _, err := e.ProtectSegment(nil, out); err == nil {
		t.Fatal("the output is taken as input")
	}
}

// FuzzProtectSegment: whatever an origin sends, it is an error with a place, or a segment that decrypts to what it was.
func FuzzProtectSegment(f *testing.F) {
	for _, fixture := range fixtures {
		f.Add(readFixture(f, fixture.name)[:188*16])
		f.Add(readFixture(f, fixture.name)[:188*50])
	}
	rnd := rand.New(rand.NewPCG(5, 5))
	f.Add(mux(videoStream(testSlice(rnd, 400), testSlice(rnd, 49)), audioStream(adts(200), adts(20)), muxStream{streamType: 0x15, pes: [][]byte{{1}}}))
	f.Add(mux(muxStream{streamType: 0x1B, pes: [][]byte{accessUnit(rnd, 100, 300)}, stuffing: 100, clock: true, headerData: make([]byte, 200)}))
	e := New(testKey(f))
	f.Fuzz(func(t *testing.T, b []byte) { checkFuzzed(t, e, mend(b)) })
}

// FuzzStreams: any elementary stream, in PES packets and transport packets of any shape.
func FuzzStreams(f *testing.F) {
	rnd := rand.New(rand.NewPCG(6, 6))
	f.Add(accessUnit(rnd, 100, 50, 300), byte(0), uint16(5000), byte(0))
	f.Add(accessUnit(rnd, 49, 200, 1000), byte(0), uint16(70), byte(150))
	f.Add(adts(100), byte(1), uint16(30), byte(9))
	for i, name := range []string{"", "", "ac3.ts", "eac3.ts"} {
		if name != "" {
			for _, st := range mustRead(f, readFixture(f, name)).streams {
				f.Add(st.es()[:1536], byte(i), uint16(768), byte(0))
			}
		}
	}
	e := New(testKey(f))
	f.Fuzz(func(t *testing.T, es []byte, kind byte, size uint16, stuffing byte) {
		st := muxStream{
			streamType: []byte{0x1B, 0x0F, 0x81, 0x87}[kind&3], sized: kind&4 != 0, clock: kind&8 != 0, stuffing: int(stuffing) % 160,
			headerData: make([]byte, kind>>4),
		}
		for rest := es; len(rest) > 0; {
			n := min(len(rest), 1+int(size))
			st.pes, rest = append(st.pes, rest[:n]), rest[n:]
		}
		checkFuzzed(t, e, mux(st, muxStream{streamType: 0x86, pes: [][]byte{{1, 2, 3}}}))
	})
}
