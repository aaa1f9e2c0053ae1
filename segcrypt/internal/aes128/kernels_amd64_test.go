//go:build !purego

package aes128

import "testing"

// ctrFrom encrypts the whole blocks of b from any counter; CTR can say only counters that a byte offset reaches.
func ctrFrom(k *Key, b []byte, iv, counter uint64) {
	if k.kernel == kernelVAES {
		ctrVAES(&k.schedule, &b[0], &b[0], len(b), iv, counter)
		return
	}
	ctrAESNI(&k.schedule, &b[0], &b[0], len(b)/BlockSize, iv, counter)
}

// TestFastest says in the log what this machine tests.
func TestFastest(t *testing.T) {
	t.Logf("fastest kernel: %s", names[fastestKernel()])
	if fastestKernel() != detect() {
		t.Error("the processor changed its mind")
	}
}
