// Package segcrypt turns clear CMAF into Common Encryption: clear init and media segments in, protected ones out.
//
// [ParseInit] reads a CMAF header (init segment) once, [NewProtector] binds it to a content key and a scheme, and
// [Protector.Plan] then takes any number of media segments, from any number of goroutines. Nothing here does I/O, draws
// randomness or looks at a clock: the same clear bytes under the same key give the same protected bytes on every machine, which
// shared caches, ETags and range requests rely on.
//
// One segment goes through four steps:
//
//	plan     scan.go      scan the boxes, refuse what is not on the allow-list   → chunks (moof + mdat)
//	         fragment.go  read moof; runs.go: who owns which bytes of mdat       → track fragments, runs, samples
//	         samplemap.go find what stays clear in every sample                  → subsamples
//	         layout.go    size and place every box, correct indexes              → exact output size
//	encrypt  segment.go   window by window, in place; cipher.go                  → protected samples
//	fix      write.go     moof with senc, saiz, saio and new offsets; sidx.go, ssix.go
//	write    output.go    gather small boxes, write large windows                → protected bytes
//
// Up to and including the plan nothing is written, and after it nothing can fail but the writer: [Segment.Size] is known
// before a byte is encrypted. [Segment.WriteTo] consumes the clear bytes and sends the first window while the others are
// still to be encrypted; [Segment.AppendTo], and [Protector.ProtectSegment] as the short form, leave them as they are. All give
// the same bytes.
//
// For low latency [NextChunk] cuts a stream into chunks, and a [Stream] protects them one by one.
//
// What stays clear follows ISO/IEC 23001-7 and, where it leaves a choice, the common packagers: of pictures the headers, of
// sound nothing (of AC-4 its table of contents). Tracks of text, captions and metadata pass.
//
// The beginning of a title may stay clear: [Protection.ClearUntil]. Its segments are planned without a look into their samples, and
// written as they came, but for their description.
//
// What is not understood is refused, never passed: sample entries without rules here, boxes that are not on the allow-lists,
// bytes of mdat that belong to no sample or to two, frames that cannot be measured because what they depend on is not there
// ([ErrParameterSets]), slices of further layers. Media that comes protected is [ErrAlreadyProtected]; [IsProtected] and
// [CheckProtected] are for callers that let it pass, and so are [ParseOptions] and [Init.Pass], which read the init segment once.
//
// In this package "23001-7" is ISO/IEC 23001-7 (Common Encryption) third edition, "14496-12" is ISO/IEC 14496-12 (ISO base
// media file format), "14496-15" is ISO/IEC 14496-15 (NAL unit file format), "23000-19" is ISO/IEC 23000-19 (CMAF), "AV1"
// is the AV1 bitstream specification 1.0.0 with errata 1.
package segcrypt
