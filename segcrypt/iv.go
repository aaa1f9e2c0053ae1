package segcrypt

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"sync"

	"github.com/zeebo/xxh3"

	"github.com/caddy-drm/caddy-drm/drm"
)

// LayoutVersion changes whenever the same clear bytes, key and Protection would give other protected bytes. It is part of
// every derived IV; callers put it into what names protected bytes, such as an ETag.
const LayoutVersion = 2

// ivSource derives the IVs of `cenc` under one key.
//
// The first IV of a track fragment (one traf) of a chunk (one moof and its mdat) is
//
//	first 8 bytes of HMAC-SHA256(IVSecret, label ‖ LayoutVersion(1) ‖ KID(16) ‖ track_ID(4) ‖ Variant(1)
//	                                       ‖ number of the traf in its moof(4)
//	                                       ‖ XXH3-128(plan)(16) ‖ XXH3-128(clear moof ‖ mdat)(16))
//
// and each further sample of the track fragment takes the IV after it, modulo 2⁶⁴. In a sample the 8-byte IV is the upper half of
// the counter block and the lower half counts blocks from zero (23001-7, 9.2), so samples with different IVs never share a
// counter block.
//
// Nothing is drawn and nothing is remembered, so every node gives the same bytes. No counter block repeats under a key:
//
//   - The same chunk gives the same IVs and, the plan being part of the input, the same ciphertext: nothing new is learned.
//   - Track fragments of one chunk differ in their number, also where their tracks share a key and their samples a plan.
//   - Chunks that differ in any byte (another bitrate, a later fragment, a replaced file, a restarted channel), in track,
//     variant, or in what stays clear of them, get independent 64-bit starting points.
//
// Two track fragments of at most L samples overlap if their starting points are less than L apart, so n of them under one key
// have an overlap somewhere with probability at most n²·L/2⁶⁴. With chunks of L = 256 samples, a title of n = 10⁵ chunks (ten
// renditions, five hours, 2 seconds each) stays under 1.4·10⁻⁷, and a channel of ten renditions in 0.5-second chunks of
// L = 32 that changes its key every seven days (n = 1.2·10⁷) under 2.6·10⁻⁴ for the whole week: callers rotate keys
// well before that.
//
// XXH3 is not collision resistant against someone who knows the seed. It need not be: it only has to tell apart contents
// that the origin serves, its seed is secret, and who can choose those contents has the clear media already.
type ivSource struct {
	seed uint64     // of XXH3
	macs *sync.Pool // of HMACs under the secret: their key schedule is most of their cost
}

const (
	ivLabel   = "caddy-drm/segcrypt/cenc-iv\x00"
	seedLabel = "caddy-drm/segcrypt/xxh3-seed\x00"
)

// ivPrefix is what the IVs of one track under one key have in common.
type ivPrefix [len(ivLabel) + 1 + 16 + 4 + 1]byte

func newIVPrefix(kid drm.KID, trackID uint32, variant byte) (prefix ivPrefix) {
	b := append(prefix[:0], ivLabel...)
	b = append(b, LayoutVersion)
	b = append(b, kid[:]...)
	b = put32(b, trackID)
	_ = append(b, variant)
	return prefix
}

func newIVSource(secret [32]byte) *ivSource {
	mac := hmac.New(sha256.New, secret[:])
	mac.Write([]byte(seedLabel))
	seed := binary.BigEndian.Uint64(mac.Sum(nil))
	return &ivSource{seed, &sync.Pool{New: func() any { return hmac.New(sha256.New, secret[:]) }}}
}

// derive sets the first IV of every track fragment of f that is protected. The samples must still be clear.
func (s *ivSource) derive(seg []byte, pl *plan, f *fragment, tracks []trackProtector) {
	content := xxh3.Hash128Seed(seg[f.moof.off:f.mdat.end], s.seed).Bytes()
	mac := s.macs.Get().(hash.Hash)
	defer s.macs.Put(mac)
	for i := range f.trafs {
		t := &pl.trafs[f.firstTraf+i]
		if t.entry.kind == KindText {
			continue
		}
		pl.digest = pl.appendDigestInput(pl.digest[:0], t)
		plan := xxh3.Hash128Seed(pl.digest, s.seed).Bytes()
		pl.digest = append(pl.digest[:0], tracks[t.track].ivPrefix[:]...)
		pl.digest = put32(pl.digest, uint32(i))
		pl.digest = append(pl.digest, plan[:]...)
		pl.digest = append(pl.digest, content[:]...)
		mac.Reset()
		mac.Write(pl.digest)
		pl.digest = mac.Sum(pl.digest[:0])
		t.iv = binary.BigEndian.Uint64(pl.digest)
	}
}
