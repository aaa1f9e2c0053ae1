// Package segcrypt turns clear CMAF into Common Encryption: clear init and media segments in, protected ones out.
//
// [ParseInit] reads a CMAF header (init segment) once, [NewProtector] binds it to a content key and a scheme, and
// [Protector.ProtectSegment] then rewrites any number of media segments, from any number of goroutines. Nothing here does
// I/O, draws randomness or looks at a clock: the same clear bytes under the same key give the same protected bytes on every
// machine, which shared caches, ETags and range requests rely on.
//
// One segment goes through four steps, each in a file of its own:
//
//	segment.go   scan the boxes, refuse what is not on the allow-list   → chunks (moof + mdat)
//	fragment.go  read moof                                              → samples
//	plan.go      find what stays clear in every sample                  → subsamples, exact output size
//	write.go     write moof with senc, saiz and saio; encrypt mdat      → protected bytes
//
// Up to and including the plan nothing is written, and after it nothing can fail: a segment leaves whole and protected, or
// not at all.
//
// What stays clear follows ISO/IEC 23001-7 and, where it leaves a choice, the common packagers: for AVC and HEVC everything
// up to the end of the slice header, for AV1 everything but the tile data, for audio nothing. Text tracks pass.
//
// What is not understood is refused, never passed: tracks muxed together, sample entries without rules here, boxes that are
// not on the allow-lists, bytes of mdat outside samples, segments of AV1 that do not begin with a random access point (their
// frame headers cannot be measured), slices of further layers.
//
// In this package "23001-7" is ISO/IEC 23001-7 (Common Encryption) third edition, "14496-12" is ISO/IEC 14496-12 (ISO base
// media file format), "14496-15" is ISO/IEC 14496-15 (NAL unit file format), "23000-19" is ISO/IEC 23000-19 (CMAF), "AV1"
// is the AV1 bitstream specification 1.0.0 with errata 1.
package segcrypt
