// Package inspect explains in words what is in the signals of DRM systems and in protected media: pssh boxes, PlayReady Objects,
// messages of ClearKey, init and media segments, MPDs and playlists. It believes nothing and changes nothing; it is for people who look for a mistake.
//
// The package is pure: bytes in, text out. "23001-7" is ISO/IEC 23001-7 (Common Encryption).
package inspect
