//go:build !purego

#include "textflag.h"

// Every kernel is one function without a frame. SSE instructions serve one block per register; 10 rounds follow the whitening.
// Registers with keys are named where they are loaded; unaligned loads are used throughout, they cost nothing on aligned data.

// Reverses the bytes of each 8-byte half: the counter is kept as two little-endian numbers, the block is big-endian.
DATA swapHalves<>+0(SB)/8, $0x0001020304050607
DATA swapHalves<>+8(SB)/8, $0x08090a0b0c0d0e0f
GLOBL swapHalves<>(SB), RODATA|NOPTR, $16

// What is added to the counter half of one block, and to those of the four blocks of a 64-byte register at first and each time.
DATA one<>+0(SB)/8, $0
DATA one<>+8(SB)/8, $1
GLOBL one<>(SB), RODATA|NOPTR, $16

DATA firstFour<>+0(SB)/8, $0
DATA firstFour<>+8(SB)/8, $0
DATA firstFour<>+16(SB)/8, $0
DATA firstFour<>+24(SB)/8, $1
DATA firstFour<>+32(SB)/8, $0
DATA firstFour<>+40(SB)/8, $2
DATA firstFour<>+48(SB)/8, $0
DATA firstFour<>+56(SB)/8, $3
GLOBL firstFour<>(SB), RODATA|NOPTR, $64

DATA four<>+0(SB)/8, $0
DATA four<>+8(SB)/8, $4
GLOBL four<>(SB), RODATA|NOPTR, $16

// func cpuid(leaf, subleaf uint32) (eax, ebx, ecx, edx uint32)
TEXT ·cpuid(SB), NOSPLIT, $0-24
	MOVL leaf+0(FP), AX
	MOVL subleaf+4(FP), CX
	CPUID
	MOVL AX, eax+8(FP)
	MOVL BX, ebx+12(FP)
	MOVL CX, ecx+16(FP)
	MOVL DX, edx+20(FP)
	RET

// func xgetbv() (eax, edx uint32)
TEXT ·xgetbv(SB), NOSPLIT, $0-8
	XORL CX, CX
	XGETBV
	MOVL AX, eax+0(FP)
	MOVL DX, edx+4(FP)
	RET

// NEXTKEY derives the next round key from the last in X0: each word is the XOR of all words of the last up to it and of the
// transformed last word, which AESKEYGENASSIST leaves in the highest (FIPS 197, 5.2).
#define NEXTKEY(rcon, off) \
	AESKEYGENASSIST $rcon, X0, X1 \
	PSHUFD $0xff, X1, X1 \
	MOVO   X0, X2        \
	PSLLDQ $4, X2        \
	PXOR   X2, X0        \
	PSLLDQ $4, X2        \
	PXOR   X2, X0        \
	PSLLDQ $4, X2        \
	PXOR   X2, X0        \
	PXOR   X1, X0        \
	MOVOU  X0, off(BX)

// func expandKeyAESNI(key *[BlockSize]byte, s *schedule)
TEXT ·expandKeyAESNI(SB), NOSPLIT, $0-16
	MOVQ  key+0(FP), AX
	MOVQ  s+8(FP), BX
	MOVOU (AX), X0
	MOVOU X0, (BX)
	NEXTKEY(0x01, 16)
	NEXTKEY(0x02, 32)
	NEXTKEY(0x04, 48)
	NEXTKEY(0x08, 64)
	NEXTKEY(0x10, 80)
	NEXTKEY(0x20, 96)
	NEXTKEY(0x40, 112)
	NEXTKEY(0x80, 128)
	NEXTKEY(0x1b, 144)
	NEXTKEY(0x36, 160)
	PXOR X0, X0
	PXOR X1, X1
	PXOR X2, X2
	RET

// EACH8 applies op with the round key at off to the eight blocks in X0 to X7.
#define EACH8(op, off) \
	MOVOU off(AX), X8 \
	op    X8, X0      \
	op    X8, X1      \
	op    X8, X2      \
	op    X8, X3      \
	op    X8, X4      \
	op    X8, X5      \
	op    X8, X6      \
	op    X8, X7

#define ROUNDS8 \
	EACH8(AESENC, 16)  \
	EACH8(AESENC, 32)  \
	EACH8(AESENC, 48)  \
	EACH8(AESENC, 64)  \
	EACH8(AESENC, 80)  \
	EACH8(AESENC, 96)  \
	EACH8(AESENC, 112) \
	EACH8(AESENC, 128) \
	EACH8(AESENC, 144) \
	EACH8(AESENCLAST, 160)

// COUNTER puts the counter block into x and counts on.
#define COUNTER(x) \
	MOVO   X9, x   \
	PSHUFB X11, x  \
	PADDQ  X10, X9

// XORBLOCK writes the block of src at off, combined with the key stream in x, to dst.
#define XORBLOCK(x, off) \
	MOVOU off(SI), X8 \
	PXOR  X8, x       \
	MOVOU x, off(DI)

// func ctrAESNI(s *schedule, dst, src *byte, blocks int, iv, counter uint64)
TEXT ·ctrAESNI(SB), NOSPLIT, $0-48
	MOVQ       s+0(FP), AX
	MOVQ       dst+8(FP), DI
	MOVQ       src+16(FP), SI
	MOVQ       blocks+24(FP), CX
	MOVQ       iv+32(FP), X9
	MOVQ       counter+40(FP), X8
	PUNPCKLQDQ X8, X9
	MOVOU      one<>(SB), X10
	MOVOU      swapHalves<>(SB), X11

ctr8:
	CMPQ CX, $8
	JB   ctr1
	COUNTER(X0)
	COUNTER(X1)
	COUNTER(X2)
	COUNTER(X3)
	COUNTER(X4)
	COUNTER(X5)
	COUNTER(X6)
	COUNTER(X7)
	EACH8(PXOR, 0)
	ROUNDS8
	XORBLOCK(X0, 0)
	XORBLOCK(X1, 16)
	XORBLOCK(X2, 32)
	XORBLOCK(X3, 48)
	XORBLOCK(X4, 64)
	XORBLOCK(X5, 80)
	XORBLOCK(X6, 96)
	XORBLOCK(X7, 112)
	ADDQ $128, SI
	ADDQ $128, DI
	SUBQ $8, CX
	JMP  ctr8

	// The last blocks one by one. None depends on another, so the processor overlaps them.
ctr1:
	TESTQ CX, CX
	JZ    ctrDone
	COUNTER(X0)
	MOVOU (AX), X8
	PXOR  X8, X0
	MOVOU 16(AX), X8
	AESENC X8, X0
	MOVOU 32(AX), X8
	AESENC X8, X0
	MOVOU 48(AX), X8
	AESENC X8, X0
	MOVOU 64(AX), X8
	AESENC X8, X0
	MOVOU 80(AX), X8
	AESENC X8, X0
	MOVOU 96(AX), X8
	AESENC X8, X0
	MOVOU 112(AX), X8
	AESENC X8, X0
	MOVOU 128(AX), X8
	AESENC X8, X0
	MOVOU 144(AX), X8
	AESENC X8, X0
	MOVOU 160(AX), X8
	AESENCLAST X8, X0
	XORBLOCK(X0, 0)
	ADDQ $16, SI
	ADDQ $16, DI
	DECQ CX
	JMP  ctr1

ctrDone:
	RET

// EACH8Z applies op with the key in z to the 32 blocks in Z0 to Z7.
#define EACH8Z(op, z) \
	op z, Z0, Z0 \
	op z, Z1, Z1 \
	op z, Z2, Z2 \
	op z, Z3, Z3 \
	op z, Z4, Z4 \
	op z, Z5, Z5 \
	op z, Z6, Z6 \
	op z, Z7, Z7

// COUNTERZ puts four counter blocks into z and counts on.
#define COUNTERZ(z) \
	VPSHUFB Z27, Z29, z   \
	VPADDQ  Z28, Z29, Z29

// LASTZ is the last round of z, which adds the last key and at once src at off, and writes the result to dst.
#define LASTZ(z, off) \
	VPXORQ      off(SI), Z26, Z8 \
	VAESENCLAST Z8, z, z         \
	VMOVDQU64   z, off(DI)

// ROUNDSZ is all of AES but the last round on z.
#define ROUNDSZ(z) \
	VPXORQ  Z16, z, z \
	VAESENC Z17, z, z \
	VAESENC Z18, z, z \
	VAESENC Z19, z, z \
	VAESENC Z20, z, z \
	VAESENC Z21, z, z \
	VAESENC Z22, z, z \
	VAESENC Z23, z, z \
	VAESENC Z24, z, z \
	VAESENC Z25, z, z

// func ctrVAES(s *schedule, dst, src *byte, bytes int, iv, counter uint64)
//
// Z16 to Z26 hold the keys, Z27 the byte order, Z28 the step, Z29 the next four counters.
TEXT ·ctrVAES(SB), NOSPLIT, $0-48
	MOVQ            s+0(FP), AX
	MOVQ            dst+8(FP), DI
	MOVQ            src+16(FP), SI
	MOVQ            bytes+24(FP), CX
	VMOVQ           iv+32(FP), X0
	VMOVQ           counter+40(FP), X1
	VPUNPCKLQDQ     X1, X0, X0
	VBROADCASTI32X4 (AX), Z16
	VBROADCASTI32X4 16(AX), Z17
	VBROADCASTI32X4 32(AX), Z18
	VBROADCASTI32X4 48(AX), Z19
	VBROADCASTI32X4 64(AX), Z20
	VBROADCASTI32X4 80(AX), Z21
	VBROADCASTI32X4 96(AX), Z22
	VBROADCASTI32X4 112(AX), Z23
	VBROADCASTI32X4 128(AX), Z24
	VBROADCASTI32X4 144(AX), Z25
	VBROADCASTI32X4 160(AX), Z26
	VBROADCASTI32X4 swapHalves<>(SB), Z27
	VBROADCASTI32X4 four<>(SB), Z28
	VSHUFI32X4      $0, Z0, Z0, Z29
	VPADDQ          firstFour<>(SB), Z29, Z29

vaes512:
	CMPQ CX, $512
	JB   vaes64
	COUNTERZ(Z0)
	COUNTERZ(Z1)
	COUNTERZ(Z2)
	COUNTERZ(Z3)
	COUNTERZ(Z4)
	COUNTERZ(Z5)
	COUNTERZ(Z6)
	COUNTERZ(Z7)
	EACH8Z(VPXORQ, Z16)
	EACH8Z(VAESENC, Z17)
	EACH8Z(VAESENC, Z18)
	EACH8Z(VAESENC, Z19)
	EACH8Z(VAESENC, Z20)
	EACH8Z(VAESENC, Z21)
	EACH8Z(VAESENC, Z22)
	EACH8Z(VAESENC, Z23)
	EACH8Z(VAESENC, Z24)
	EACH8Z(VAESENC, Z25)
	LASTZ(Z0, 0)
	LASTZ(Z1, 64)
	LASTZ(Z2, 128)
	LASTZ(Z3, 192)
	LASTZ(Z4, 256)
	LASTZ(Z5, 320)
	LASTZ(Z6, 384)
	LASTZ(Z7, 448)
	ADDQ $512, SI
	ADDQ $512, DI
	SUBQ $512, CX
	JMP  vaes512

vaes64:
	CMPQ CX, $64
	JB   vaesTail
	COUNTERZ(Z0)
	ROUNDSZ(Z0)
	LASTZ(Z0, 0)
	ADDQ $64, SI
	ADDQ $64, DI
	SUBQ $64, CX
	JMP  vaes64

	// Less than 64 bytes: the mask keeps loads and stores within them.
vaesTail:
	TESTQ       CX, CX
	JZ          vaesDone
	MOVQ        $-1, DX
	BZHIQ       CX, DX, DX
	KMOVQ       DX, K1
	VMOVDQU8.Z  (SI), K1, Z8
	COUNTERZ(Z0)
	ROUNDSZ(Z0)
	VPXORQ      Z26, Z8, Z8
	VAESENCLAST Z8, Z0, Z0
	VMOVDQU8    Z0, K1, (DI)

vaesDone:
	VZEROUPPER
	RET

// func cbcAESNI(s *schedule, b *byte, iv *[BlockSize]byte, blocks, stride int)
//
// One chain is as slow as the ten rounds of a block after the other, so nothing else may stand between two blocks. The last
// round adds its key and in the same instruction the next block and the next whitening key: X0 is then ready for the next
// round, and what was encrypted is had by adding the two again, beside the chain.
TEXT ·cbcAESNI(SB), NOSPLIT, $0-40
	MOVQ  s+0(FP), AX
	MOVQ  b+8(FP), DI
	MOVQ  iv+16(FP), SI
	MOVQ  blocks+24(FP), CX
	MOVQ  stride+32(FP), BX
	MOVOU (AX), X1
	MOVOU 16(AX), X2
	MOVOU 32(AX), X3
	MOVOU 48(AX), X4
	MOVOU 64(AX), X5
	MOVOU 80(AX), X6
	MOVOU 96(AX), X7
	MOVOU 112(AX), X8
	MOVOU 128(AX), X9
	MOVOU 144(AX), X10
	MOVOU 160(AX), X11
	MOVOU (SI), X0
	MOVOU (DI), X12
	PXOR  X1, X0
	PXOR  X12, X0

cbcBlock:
	AESENC X2, X0
	AESENC X3, X0
	AESENC X4, X0
	AESENC X5, X0
	AESENC X6, X0
	AESENC X7, X0
	AESENC X8, X0
	AESENC X9, X0
	AESENC X10, X0
	DECQ   CX
	JZ     cbcLast
	MOVOU  (DI)(BX*1), X12
	PXOR   X1, X12
	MOVO   X12, X13
	PXOR   X11, X13
	AESENCLAST X13, X0
	PXOR   X0, X12
	MOVOU  X12, (DI)
	ADDQ   BX, DI
	JMP    cbcBlock

cbcLast:
	AESENCLAST X11, X0
	MOVOU  X0, (DI)
	MOVOU  X0, (SI)
	RET

// LANE puts into p where the next block of lane i lies, and its chain into x.
#define LANE(i, p, x) \
	MOVQ  128+8*i(DX), p \
	ADDQ  DI, p          \
	MOVOU 16*i(DX), x

// ADDBLOCK adds the block of a lane to its chain.
#define ADDBLOCK(p, x) \
	MOVOU (p), X9 \
	PXOR  X9, x

// STOREBLOCK writes the block of a lane and goes on to the next.
#define STOREBLOCK(p, x) \
	MOVOU x, (p) \
	ADDQ  BX, p

// func cbcLanesAESNI(s *schedule, buf *byte, state *laneState, steps, stride int)
TEXT ·cbcLanesAESNI(SB), NOSPLIT, $0-40
	MOVQ s+0(FP), AX
	MOVQ buf+8(FP), DI
	MOVQ state+16(FP), DX
	MOVQ steps+24(FP), CX
	MOVQ stride+32(FP), BX
	LANE(0, R8, X0)
	LANE(1, R9, X1)
	LANE(2, R10, X2)
	LANE(3, R11, X3)
	LANE(4, R12, X4)
	LANE(5, R13, X5)
	LANE(6, R15, X6)
	LANE(7, SI, X7)

lanesStep:
	ADDBLOCK(R8, X0)
	ADDBLOCK(R9, X1)
	ADDBLOCK(R10, X2)
	ADDBLOCK(R11, X3)
	ADDBLOCK(R12, X4)
	ADDBLOCK(R13, X5)
	ADDBLOCK(R15, X6)
	ADDBLOCK(SI, X7)
	EACH8(PXOR, 0)
	ROUNDS8
	STOREBLOCK(R8, X0)
	STOREBLOCK(R9, X1)
	STOREBLOCK(R10, X2)
	STOREBLOCK(R11, X3)
	STOREBLOCK(R12, X4)
	STOREBLOCK(R13, X5)
	STOREBLOCK(R15, X6)
	STOREBLOCK(SI, X7)
	DECQ  CX
	JNZ   lanesStep
	MOVOU X0, (DX)
	MOVOU X1, 16(DX)
	MOVOU X2, 32(DX)
	MOVOU X3, 48(DX)
	MOVOU X4, 64(DX)
	MOVOU X5, 80(DX)
	MOVOU X6, 96(DX)
	MOVOU X7, 112(DX)
	RET
