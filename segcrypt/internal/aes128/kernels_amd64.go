//go:build !purego

package aes128

// The kernels trust their arguments. The methods below check that all bytes that a kernel touches lie within the slices.

// expandKeyAESNI expands key.
//
//go:noescape
func expandKeyAESNI(key *[BlockSize]byte, s *schedule)

// ctrAESNI encrypts whole blocks in counter mode; the first has the counter block iv ‖ counter.
//
//go:noescape
func ctrAESNI(s *schedule, dst, src *byte, blocks int, iv, counter uint64)

// ctrVAES is ctrAESNI for any number of bytes.
//
//go:noescape
func ctrVAES(s *schedule, dst, src *byte, bytes int, iv, counter uint64)

// cbcAESNI encrypts at least one block in place; the blocks are stride bytes apart. It leaves the last in iv.
//
//go:noescape
func cbcAESNI(s *schedule, b *byte, iv *[BlockSize]byte, blocks, stride int)

// cbcLanesAESNI encrypts steps blocks, at least one, of each of laneCount chains, whose blocks are stride bytes apart. It
// leaves the last of each in state.chain. In each step all lanes load before any stores, so that lanes may be equal.
//
//go:noescape
func cbcLanesAESNI(s *schedule, buf *byte, state *laneState, steps, stride int)

func cpuid(leaf, subleaf uint32) (eax, ebx, ecx, edx uint32)

func xgetbv() (eax, edx uint32)

// fastest is the fastest kernel of this processor.
var fastest = detect()

func fastestKernel() kernel { return fastest }

// detect asks the processor. Wide registers count only if the operating system saves them (Intel SDM, volume 1, 15.2 to 15.4).
func detect() kernel {
	const (
		leafBasic, leafExtended = 1, 7

		ssse3, aesni, osxsave   = 1 << 9, 1 << 25, 1 << 27         // leafBasic, ECX
		bmi2, avx512f, avx512bw = 1 << 8, 1 << 16, 1 << 30         // leafExtended, EBX
		vaes                    = 1 << 9                           // leafExtended, ECX
		savesAVX512             = 1<<1 | 1<<2 | 1<<5 | 1<<6 | 1<<7 // XCR0
	)
	highest, _, _, _ := cpuid(0, 0)
	_, _, ecx, _ := cpuid(leafBasic, 0)
	if ecx&(ssse3|aesni) != ssse3|aesni {
		return kernelPortable
	}
	if highest < leafExtended || ecx&osxsave == 0 {
		return kernelAESNI
	}
	if saved, _ := xgetbv(); saved&savesAVX512 != savesAVX512 {
		return kernelAESNI
	}
	_, ebx, ecx, _ := cpuid(leafExtended, 0)
	if ebx&(bmi2|avx512f|avx512bw) != bmi2|avx512f|avx512bw || ecx&vaes == 0 {
		return kernelAESNI
	}
	return kernelVAES
}

func newKey(key [BlockSize]byte, kind kernel) *Key {
	if kind == kernelPortable {
		return newPortableKey(key)
	}
	k := &Key{kernel: kind}
	expandKeyAESNI(&key, &k.schedule)
	return k
}

// ctr is CTR; src is not empty and dst is as long.
func (k *Key) ctr(dst, src []byte, iv, off uint64) {
	if k.kernel == kernelPortable {
		k.ctrPortable(dst, src, iv, off)
		return
	}
	counter := off / BlockSize
	if used := int(off % BlockSize); used > 0 {
		n := min(BlockSize-used, len(src))
		k.xorBlock(dst[:n], src[:n], used, iv, counter)
		if dst, src = dst[n:], src[n:]; len(src) == 0 {
			return
		}
		counter++
	}
	if k.kernel == kernelVAES {
		ctrVAES(&k.schedule, &dst[0], &src[0], len(src), iv, counter)
		return
	}
	blocks := len(src) / BlockSize
	if blocks > 0 {
		ctrAESNI(&k.schedule, &dst[0], &src[0], blocks, iv, counter)
	}
	if done := blocks * BlockSize; done < len(src) {
		k.xorBlock(dst[done:], src[done:], 0, iv, counter+uint64(blocks))
	}
}

// xorBlock writes src, combined with the block of key stream of counter from its byte used, to dst. They have to fit into it.
func (k *Key) xorBlock(dst, src []byte, used int, iv, counter uint64) {
	var stream [BlockSize]byte
	ctrAESNI(&k.schedule, &stream[0], &stream[0], 1, iv, counter)
	for i, c := range src {
		dst[i] = c ^ stream[used+i]
	}
}

// cbc encrypts blocks of b that are stride bytes apart, chained from iv, and leaves the last in iv. There is at least one.
func (k *Key) cbc(b []byte, iv *[BlockSize]byte, blocks, stride int) {
	if k.kernel == kernelPortable {
		k.cbcPortable(b, iv, blocks, stride)
		return
	}
	b = b[:(blocks-1)*stride+BlockSize]
	cbcAESNI(&k.schedule, &b[0], iv, blocks, stride)
}

// cbcLanes encrypts steps blocks, at least one, of each of the first active lanes, and leaves the last of each in its chain.
func (k *Key) cbcLanes(buf []byte, s *laneState, active, steps, stride int) {
	if k.kernel == kernelPortable {
		k.cbcLanesPortable(buf, s, active, steps, stride)
		return
	}
	for _, next := range s.next[:active] {
		_ = buf[next : next+(steps-1)*stride+BlockSize]
	}
	// Lanes without a chain do what the first does, which costs nothing: the rounds of all lanes overlap.
	for i := active; i < laneCount; i++ {
		s.chain[i], s.next[i] = s.chain[0], s.next[0]
	}
	cbcLanesAESNI(&k.schedule, &buf[0], s, steps, stride)
}
