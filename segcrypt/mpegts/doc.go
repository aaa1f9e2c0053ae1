// Package mpegts protects MPEG-2 transport stream segments of HLS with SAMPLE-AES: clear segments in, protected ones out.
//
// [New] binds a content key, [Encryptor.ProtectSegment] then rewrites any number of segments, from any number of goroutines.
// The same clear bytes under the same key give the same protected bytes on every machine.
//
// One segment goes through four steps, each in a file of its own:
//
//	psi.go      find PAT and PMT, decide about every stream           → which packets hold what
//	collect.go  take packets and PES headers off                      → elementary streams
//	avc.go      encrypt NAL units, find where bytes must be inserted  → edits
//	write.go    put the streams back into the packets they came from  → protected bytes
//
// Audio keeps its size, so each of its packets stays as it was but for the encrypted bytes. Video grows where encryption gives
// patterns that must be escaped. The packets of a PES packet then take up what they had room for, the last one gives up its
// stuffing, and if that is not enough, packets follow right behind it. Adaptation fields (PCR, random access indicator, splice
// countdown, private data) stay in the packets that they were in, and packets of other streams stay where they were.
//
// Segments are protected one by one, without knowledge of those before. Continuity counters therefore begin as in the clear
// segment, and where packets were added, so many are added at the end, with a byte of payload each, that their number is a
// multiple of 16: the counters of the next segment go on from there.
//
// What is not understood is refused, never passed: streams whose type is not known to be neither audio nor video, HEVC and
// other codecs that SAMPLE-AES does not know, PES packets or audio frames that begin in one segment and end in another. Packets
// that belong to no stream of the program are dropped, null packets among them.
//
// In this package "13818-1" is ISO/IEC 13818-1 (transport streams), "H.264" is ITU-T H.264, and "SAMPLE-AES" is Apple's MPEG-2
// Stream Encryption Format for HTTP Live Streaming.
package mpegts
