package aes128

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// names are the kernels in the order of their speed.
var names = []string{kernelPortable: "portable", kernelAESNI: "AES-NI", kernelVAES: "VAES"}

// eachKernel runs test with every kernel that this processor and this build have.
func eachKernel(t *testing.T, test func(t *testing.T, makeKey func([16]byte) *Key)) {
	for kind := kernelPortable; kind <= fastestKernel(); kind++ {
		t.Run(names[kind], func(t *testing.T) {
			test(t, func(key [16]byte) *Key { return newKey(key, kind) })
		})
	}
}

func mustHex(s string) []byte {
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		panic(err)
	}
	return b
}

// fill is n bytes that differ from place to place.
func fill(n int, seed uint64) []byte {
	r := rand.New(rand.NewPCG(seed, 1))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

var testKey = [16]byte(mustHex("2b7e151628aed2a6abf7158809cf4f3c"))

func standard(key [16]byte) cipher.Block {
	block, err := aes.NewCipher(key[:])
	if err != nil {
		panic(err)
	}
	return block
}

// standardCTR is CTR by the standard library.
func standardCTR(key [16]byte, src []byte, iv, off uint64) []byte {
	var counter [16]byte
	binary.BigEndian.PutUint64(counter[:], iv)
	binary.BigEndian.PutUint64(counter[8:], off/16)
	padded := append(make([]byte, off%16), src...)
	cipher.NewCTR(standard(key), counter[:]).XORKeyStream(padded, padded)
	return padded[off%16:]
}

// standardCBC is a chain over blocks that are stride bytes apart, by the standard library; it returns the last block too.
func standardCBC(key [16]byte, b []byte, iv [16]byte, stride int) ([]byte, [16]byte) {
	out := bytes.Clone(b)
	mode := cipher.NewCBCEncrypter(standard(key), iv[:])
	for off := 0; len(out)-off >= 16; off += stride {
		mode.CryptBlocks(out[off:off+16], out[off:off+16])
		iv = [16]byte(out[off : off+16])
	}
	return out, iv
}

// TestKeyExpansion is FIPS 197, appendix A.1: the last round key is the hardest to get right by accident.
func TestKeyExpansion(t *testing.T) {
	for kind := kernelAESNI; kind <= fastestKernel(); kind++ {
		s := newKey(testKey, kind).schedule
		for round, want := range map[int]string{
			0: "2b7e151628aed2a6abf7158809cf4f3c", 1: "a0fafe1788542cb123a339392a6c7605", 9: "ac7766f319fadc2128d12941575c006e",
			10: "d014f9a8c9ee2589e13f0cc8b6630ca6",
		} {
			if hex.EncodeToString(s[round][:]) != want {
				t.Errorf("%s: round %d: %x, want %s", names[kind], round, s[round], want)
			}
		}
	}
}

// TestVectorBlock is FIPS 197, appendices B and C.1, as a chain of one block from a zero IV.
func TestVectorBlock(t *testing.T) {
	eachKernel(t, func(t *testing.T, makeKey func([16]byte) *Key) {
		for _, v := range [][3]string{
			{"2b7e151628aed2a6abf7158809cf4f3c", "3243f6a8885a308d313198a2e0370734", "3925841d02dc09fbdc118597196a0b32"},
			{"000102030405060708090a0b0c0d0e0f", "00112233445566778899aabbccddeeff", "69c4e0d86a7b0430d8cdb78070b4c55a"},
		} {
			b := mustHex(v[1])
			makeKey([16]byte(mustHex(v[0]))).CBCEncrypt(b, new([16]byte))
			if hex.EncodeToString(b) != v[2] {
				t.Errorf("got %x, want %s", b, v[2])
			}
		}
	})
}

const nistClear = "6bc1bee22e409f96e93d7e117393172a ae2d8a571e03ac9c9eb76fac45af8e51" +
	"30c81c46a35ce411e5fbc1191a0a52ef f69f2445df4f9b17ad2b417be66c3710"

// TestVectorCBC is F.2.1 of NIST SP 800-38A, in one call and in two.
func TestVectorCBC(t *testing.T) {
	want := mustHex("7649abac8119b246cee98e9b12e9197d 5086cb9b507219ee95db113a917678b2" +
		"73bed6b8e3c1743b7116e69e22229516 3ff1caa1681fac09120eca307586e1a7")
	eachKernel(t, func(t *testing.T, makeKey func([16]byte) *Key) {
		for cut := 0; cut <= 64; cut += 16 {
			b, iv := mustHex(nistClear), [16]byte(mustHex("000102030405060708090a0b0c0d0e0f"))
			k := makeKey(testKey)
			k.CBCEncrypt(b[:cut], &iv)
			k.CBCEncrypt(b[cut:], &iv)
			if !bytes.Equal(b, want) || iv != [16]byte(want[48:]) {
				t.Errorf("cut at %d: got %x and %x", cut, b, iv)
			}
		}
	})
}

// TestVectorCTR is F.5.1 of NIST SP 800-38A, whose counter does not carry out of its half.
func TestVectorCTR(t *testing.T) {
	want := mustHex("874d6191b620e3261bef6864990db6ce 9806f66b7970fdff8617187bb9fffdff" +
		"5ae4df3edbd5d35e5b4f09020db03eab 1e031dda2fbe03d1792170a0f3009cee")
	for kind := kernelAESNI; kind <= fastestKernel(); kind++ {
		got := mustHex(nistClear)
		// The counter is beyond what a byte offset can say, so the kernel itself is asked.
		ctrFrom(newKey(testKey, kind), got, 0xf0f1f2f3f4f5f6f7, 0xf8f9fafbfcfdfeff)
		if !bytes.Equal(got, want) {
			t.Errorf("%s: got %x, want %x", names[kind], got, want)
		}
	}
}

// TestVectorCenc is a key stream computed with another implementation of 23001-7.
func TestVectorCenc(t *testing.T) {
	want := mustHex("b8c09bdba7378ff2499cf18537901d0b75312ceef13588a50550d782e78fd6ac3212910fed226734")
	eachKernel(t, func(t *testing.T, makeKey func([16]byte) *Key) {
		k := makeKey([16]byte(mustHex("00112233445566778899aabbccddeeff")))
		for cut := range len(want) + 1 {
			got := make([]byte, len(want))
			k.CTR(got[:cut], got[:cut], 1, 0)
			k.CTR(got[cut:], got[cut:], 1, uint64(cut))
			if !bytes.Equal(got, want) {
				t.Fatalf("cut at %d: got %x, want %x", cut, got, want)
			}
		}
	})
}

// TestVectorCbcs are the encrypted blocks of a run of 400 bytes, computed with another implementation of 23001-7.
func TestVectorCbcs(t *testing.T) {
	eachKernel(t, func(t *testing.T, makeKey func([16]byte) *Key) {
		b, iv := fillCounting(400), [16]byte(fillCounting(16))
		makeKey([16]byte(mustHex("00112233445566778899aabbccddeeff"))).CBCPattern(b, &iv)
		for at, want := range map[int]string{
			0: "fde4fbae4a09e020eff722969f83832b", 160: "6ef87b69255de019fbabcaf4f8b54b58", 320: "8cd82953ed9e986197594039cbeef195",
		} {
			if hex.EncodeToString(b[at:at+16]) != want {
				t.Errorf("block at %d: got %x, want %s", at, b[at:at+16], want)
			}
		}
		if iv != [16]byte(b[320:]) {
			t.Errorf("the chain goes on from %x", iv)
		}
	})
}

func fillCounting(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i)
	}
	return b
}

// TestCTR compares with the standard library: every short length, lengths around the width of each loop, every alignment.
func TestCTR(t *testing.T) {
	var lengths []int
	for n := range 150 {
		lengths = append(lengths, n)
	}
	lengths = append(lengths, 256, 511, 512, 513, 512+64, 512+65, 1024, 1500, 4096+7, 100_003)
	offsets := []uint64{0, 1, 15, 16, 17, 31, 160, 1<<12 - 16, 1 << 36, 1<<36 + 5, 1<<63 + 3}
	eachKernel(t, func(t *testing.T, makeKey func([16]byte) *Key) {
		k := makeKey(testKey)
		for _, n := range lengths {
			src := fill(n, uint64(n))
			for i, off := range offsets {
				iv := uint64(0xffffffffffffff00) + uint64(n)
				want := standardCTR(testKey, src, iv, off)
				memory := fill(n+64, 3)
				before := bytes.Clone(memory)
				align := (n + i) % 33
				dst := memory[align : align+n]
				k.CTR(dst, src, iv, off)
				if !bytes.Equal(dst, want) {
					t.Fatalf("%d bytes at %d: wrong", n, off)
				}
				copy(dst, before[align:])
				if !bytes.Equal(memory, before) {
					t.Fatalf("%d bytes at %d: bytes around dst were written", n, off)
				}
				copy(dst, src)
				k.CTR(dst, dst, iv, off)
				if !bytes.Equal(dst, want) {
					t.Fatalf("%d bytes at %d in place: wrong", n, off)
				}
			}
		}
	})
}

// TestCounterStaysInItsHalf: where the counter wraps, which no sample makes it do, the IV is not touched.
func TestCounterStaysInItsHalf(t *testing.T) {
	for kind := kernelAESNI; kind <= fastestKernel(); kind++ {
		k := newKey(testKey, kind)
		for blocks := 1; blocks < 70; blocks++ {
			start := ^uint64(0) - uint64(blocks/2)
			got := make([]byte, 16*blocks)
			ctrFrom(k, got, 7, start)
			for i := range blocks {
				var want [16]byte
				binary.BigEndian.PutUint64(want[:], 7)
				binary.BigEndian.PutUint64(want[8:], start+uint64(i))
				standard(testKey).Encrypt(want[:], want[:])
				if [16]byte(got[16*i:]) != want {
					t.Fatalf("%s: block %d of %d is wrong", names[kind], i, blocks)
				}
			}
		}
	}
}

// TestCBC compares chains with the standard library, contiguous and under the pattern.
func TestCBC(t *testing.T) {
	lengths := []int{4095, 4096, 4097, 65_537}
	for n := range 360 {
		lengths = append(lengths, n)
	}
	eachKernel(t, func(t *testing.T, makeKey func([16]byte) *Key) {
		k := makeKey(testKey)
		for _, n := range lengths {
			for stride, encrypt := range map[int]func([]byte, *[16]byte){16: k.CBCEncrypt, PatternStride: k.CBCPattern} {
				memory := fill(n+32, uint64(n))
				want := bytes.Clone(memory)
				first := [16]byte(fill(16, 9))
				out, last := standardCBC(testKey, want[n%17:][:n], first, stride)
				copy(want[n%17:], out)
				iv := first
				encrypt(memory[n%17:][:n], &iv)
				if !bytes.Equal(memory, want) || iv != last {
					t.Fatalf("%d bytes, stride %d: wrong", n, stride)
				}
			}
		}
	})
}

// checkLanes compares runs encrypted together with each encrypted by itself. Between runs lie gap bytes.
func checkLanes(t *testing.T, k *Key, sizes []int, gap, stride int) {
	t.Helper()
	total := gap
	for _, n := range sizes {
		total += n + gap
	}
	buf, iv := fill(total, uint64(total)), [16]byte(fill(16, 4))
	want := bytes.Clone(buf)
	lanes := k.Lanes(buf, &iv, stride)
	at := gap
	for _, n := range sizes {
		out, _ := standardCBC(testKey, want[at:at+n], iv, stride)
		copy(want[at:], out)
		lanes.Add(at, n)
		at += n + gap
	}
	lanes.Finish()
	if !bytes.Equal(buf, want) {
		t.Fatalf("runs of %v bytes, stride %d: wrong", sizes, stride)
	}
	if iv != [16]byte(fill(16, 4)) {
		t.Fatal("the IV was changed")
	}
}

func TestLanes(t *testing.T) {
	cases := map[string][]int{
		"no run":                        {},
		"runs too short to be changed":  {0, 1, 15, 0, 3, 4, 5, 6, 7, 8, 9},
		"one run":                       {1000},
		"fewer than lanes":              {1000, 16, 200},
		"equal runs fill the lanes":     slices.Repeat([]int{512}, laneCount),
		"equal runs, one more":          slices.Repeat([]int{512}, laneCount+1),
		"one long run among short ones": append(slices.Repeat([]int{17, 200}, 20), 50_000, 31, 33, 3000),
		"the long run comes last":       append(slices.Repeat([]int{340}, 30), 9999),
	}
	eachKernel(t, func(t *testing.T, makeKey func([16]byte) *Key) {
		k := makeKey(testKey)
		for name, sizes := range cases {
			t.Run(name, func(t *testing.T) {
				for _, stride := range []int{BlockSize, PatternStride} {
					for _, gap := range []int{0, 1, 7} {
						checkLanes(t, k, sizes, gap, stride)
					}
				}
			})
		}
		r := rand.New(rand.NewPCG(1, 2))
		for range 200 {
			sizes := make([]int, r.IntN(40))
			for i := range sizes {
				sizes[i] = r.IntN(1 + r.IntN(3000))
			}
			checkLanes(t, k, sizes, r.IntN(20), []int{BlockSize, PatternStride}[r.IntN(2)])
		}
	})
}

// TestLanesAgain: after Finish the same Lanes begins new chains from the IV.
func TestLanesAgain(t *testing.T) {
	eachKernel(t, func(t *testing.T, makeKey func([16]byte) *Key) {
		b, iv := bytes.Repeat(fill(320, 1), 3), [16]byte{1}
		lanes := makeKey(testKey).Lanes(b, &iv, BlockSize)
		for off := 0; off < len(b); off += 320 {
			lanes.Add(off, 320)
			lanes.Finish()
		}
		if !bytes.Equal(b[:320], b[320:640]) || !bytes.Equal(b[:320], b[640:]) {
			t.Error("equal runs differ")
		}
	})
}

// TestMisuse: what would touch bytes outside of a slice panics first.
func TestMisuse(t *testing.T) {
	eachKernel(t, func(t *testing.T, makeKey func([16]byte) *Key) {
		k, iv, b := makeKey(testKey), new([16]byte), make([]byte, 64)
		for name, misuse := range map[string]func(){
			"dst shorter than src":      func() { k.CTR(b[:15], b[:16], 1, 0) },
			"dst longer than src":       func() { k.CTR(b[:17], b[:16], 1, 0) },
			"a run behind the buffer":   func() { l := k.Lanes(b[:32:32], iv, 16); l.Add(17, 16) },
			"a run before the buffer":   func() { l := k.Lanes(b, iv, 16); l.Add(-1, 16) },
			"a run of negative length":  func() { l := k.Lanes(b, iv, 16); l.Add(16, -1) },
			"blocks that would overlap": func() { k.Lanes(b, iv, 15) },
		} {
			t.Run(name, func(t *testing.T) {
				defer func() {
					if recover() == nil {
						t.Error("no panic")
					}
				}()
				misuse()
			})
		}
	})
}

// TestKeyPrintsNothing: neither the key nor its schedule, which gives it away, is printed.
func TestKeyPrintsNothing(t *testing.T) {
	eachKernel(t, func(t *testing.T, makeKey func([16]byte) *Key) {
		for _, verb := range []string{"%v", "%+v", "%#v", "%x", "%s", "%d"} {
			if got := fmt.Sprintf(verb, makeKey(testKey)); got != "AES-128 key" {
				t.Errorf("%s prints %q", verb, got)
			}
		}
	})
}

// TestAllocations: the assembly allocates nothing, whatever it is asked to do.
func TestAllocations(t *testing.T) {
	for kind := kernelAESNI; kind <= fastestKernel(); kind++ {
		k, b := newKey(testKey, kind), make([]byte, 5003)
		allocs := testing.AllocsPerRun(100, func() {
			var iv [16]byte
			k.CTR(b, b, 1, 3)
			k.CBCEncrypt(b, &iv)
			k.CBCPattern(b, &iv)
			lanes := k.Lanes(b, &iv, PatternStride)
			for off := 0; off < len(b)-500; off += 500 {
				lanes.Add(off, 500)
			}
			lanes.Finish()
		})
		if allocs != 0 {
			t.Errorf("%s: %.0f allocations", names[kind], allocs)
		}
	}
}

// FuzzKernels: all kernels agree with the standard library, for any key, length, alignment and cut.
func FuzzKernels(f *testing.F) {
	f.Add([]byte(nistClear), testKey[:], uint64(1), uint64(0), uint16(20), uint8(3))
	f.Add(fill(1500, 1), fill(16, 2), ^uint64(0), uint64(1<<40+3), uint16(333), uint8(63))
	f.Add([]byte{}, []byte{}, uint64(0), uint64(15), uint16(0), uint8(0))
	f.Fuzz(func(t *testing.T, b, keyBytes []byte, iv, off uint64, cut uint16, align uint8) {
		var key [16]byte
		copy(key[:], keyBytes)
		off &^= 1 << 63 // no overflow in the second half
		n := min(int(cut), len(b))
		at := int(align % 64)
		wantCTR := standardCTR(key, b, iv, off)
		for kind := kernelPortable; kind <= fastestKernel(); kind++ {
			k := newKey(key, kind)
			memory := make([]byte, at+len(b)+16)
			got := memory[at : at+len(b)]
			k.CTR(got[:n], b[:n], iv, off)
			k.CTR(got[n:], b[n:], iv, off+uint64(n))
			if !bytes.Equal(got, wantCTR) {
				t.Fatalf("%s: CTR differs", names[kind])
			}
			for _, stride := range []int{BlockSize, PatternStride} {
				first := [16]byte(wantIV(iv, off))
				head, _ := standardCBC(key, b[:n], first, stride)
				tail, _ := standardCBC(key, b[n:], first, stride)
				copy(got, b)
				lanes := k.Lanes(memory, &first, stride)
				lanes.Add(at, n)
				lanes.Add(at+n, len(b)-n)
				lanes.Finish()
				if !bytes.Equal(got, slices.Concat(head, tail)) {
					t.Fatalf("%s: lanes differ, stride %d", names[kind], stride)
				}
			}
			if !bytes.Equal(memory[:at], make([]byte, at)) || !bytes.Equal(memory[at+len(b):], make([]byte, 16)) {
				t.Fatalf("%s: bytes around the slice were written", names[kind])
			}
		}
	})
}

func wantIV(a, b uint64) []byte {
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, a), b)
}
