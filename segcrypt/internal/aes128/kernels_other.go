//go:build !amd64 || purego

package aes128

// fastestKernel returns the fastest kernel of this processor.
func fastestKernel() kernel { return kernelPortable }

func newKey(key [BlockSize]byte, _ kernel) *Key { return newPortableKey(key) }

func (k *Key) ctr(dst, src []byte, iv, off uint64) { k.ctrPortable(dst, src, iv, off) }

func (k *Key) cbc(b []byte, iv *[BlockSize]byte, blocks, stride int) {
	k.cbcPortable(b, iv, blocks, stride)
}

func (k *Key) cbcLanes(buf []byte, s *laneState, active, steps, stride int) {
	k.cbcLanesPortable(buf, s, active, steps, stride)
}
