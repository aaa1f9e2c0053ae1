// Package audioframe finds the frames of AAC (ADTS), AC-3 and E-AC-3 streams, says which of their bytes SAMPLE-AES
// leaves clear, and describes a stream as encrypted ones are described.
//
// In this package "14496-3" is ISO/IEC 14496-3 (AAC), "102 366" is ETSI TS 102 366 (AC-3 and E-AC-3), and "SAMPLE-AES" is
// Apple's MPEG-2 Stream Encryption Format for HTTP Live Streaming.
package audioframe
