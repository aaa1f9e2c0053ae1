// Package packedaudio protects the packed audio segments of HLS with SAMPLE-AES: AAC in ADTS frames, AC-3 or E-AC-3, behind ID3
// tags that say when they begin.
//
// Frames keep their size. The tag with the timestamp keeps its frames and gets one more, which describes the audio.
//
// In this package "SAMPLE-AES" is Apple's MPEG-2 Stream Encryption Format for HTTP Live Streaming, "RFC 8216" is HTTP Live Streaming,
// "ID3v2.4" is the ID3 tag version 2.4.0, main structure and native frames.
package packedaudio
