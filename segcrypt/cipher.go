package segcrypt

import (
	"github.com/caddy-drm/caddy-drm/drm"
	"github.com/caddy-drm/caddy-drm/segcrypt/internal/aes128"
)

// sampleCipher encrypts the samples of one track under one key. It is immutable and safe for concurrent use, and its methods
// allocate nothing where the processor has AES instructions.
type sampleCipher struct {
	key        *aes128.Key
	constantIV [aes128.BlockSize]byte // for cbcs
}

func newSampleCipher(key drm.ContentKey) sampleCipher {
	return sampleCipher{key: aes128.NewKey(key.Secret()), constantIV: key.ConstantIV()}
}

// encryptCenc writes samples, which lie one behind the other in src, to out, which has room for them: protected where their
// subsamples in subs say so, or whole without any. The first sample has the IV iv, each further one the next. out and src are
// the same memory or share none.
//
// Source: 23001-7, 9.2 and 10.1; the counter of a sample runs on over all its protected runs.
func (c *sampleCipher) encryptCenc(out, src []byte, samples []sample, subs []subsample, iv uint64) {
	at := 0
	for _, s := range samples {
		if s.numSubs == 0 {
			c.key.CTR(out[at:at+s.size], src[at:at+s.size], iv, 0)
			at += s.size
			iv++
			continue
		}
		used := 0 // of the key stream
		for _, sub := range subs[s.firstSub : s.firstSub+s.numSubs] {
			copyUnlessSame(out[at:at+int(sub.clear)], src[at:])
			at += int(sub.clear)
			end := at + int(sub.protected)
			c.key.CTR(out[at:end], src[at:end], iv, uint64(used))
			at, used = end, used+int(sub.protected)
		}
		iv++
	}
}

// encryptCbcs is encryptCenc for cbcs: every protected run is a chain that starts again from the constant IV, and what is left
// of less than a block at its end stays clear. Nothing in out is ready before it returns.
//
// Source: 23001-7, 9.6 (pattern) and 10.4.
func (c *sampleCipher) encryptCbcs(out, src []byte, samples []sample, subs []subsample) {
	// Samples with subsamples have the pattern of drm.ProtectionScheme.VideoPattern, in sound (AC-4) as in video; whole samples
	// have none.
	stride := aes128.BlockSize
	if len(samples) > 0 && samples[0].numSubs > 0 {
		stride = aes128.PatternStride
	}
	lanes := c.key.Lanes(out, &c.constantIV, stride)
	at := 0
	for _, s := range samples {
		copyUnlessSame(out[at:at+s.size], src[at:])
		if s.numSubs == 0 {
			lanes.Add(at, s.size)
			at += s.size
			continue
		}
		for _, sub := range subs[s.firstSub : s.firstSub+s.numSubs] {
			lanes.Add(at+int(sub.clear), int(sub.protected))
			at += int(sub.clear) + int(sub.protected)
		}
	}
	lanes.Finish()
}

// copyUnlessSame fills out from src, unless they are the same memory.
func copyUnlessSame(out, src []byte) {
	if len(out) > 0 && &out[0] != &src[0] {
		copy(out, src)
	}
}
