// Package wholesegment encrypts HLS segments of any format as METHOD=AES-128 says: AES-128 in CBC mode over all of the segment,
// padded as PKCS #7 says, begun anew with each.
//
// [Sniff] tells clear media from all else; what is Unknown must not be encrypted, since it may be an error page of the origin or a
// segment that is encrypted already.
//
// In this package "RFC 8216" is HTTP Live Streaming, August 2017.
package wholesegment
