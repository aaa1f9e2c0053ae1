// Package drm is the vocabulary that all other packages share: KIDs and content keys, protection schemes, track classes,
// DRM groups, DRM systems and the signals that name keys to them. It imports nothing but the standard library, does no I/O,
// and knows no viewer.
//
// "23001-7" in this package is ISO/IEC 23001-7 (Common Encryption), third edition.
package drm
