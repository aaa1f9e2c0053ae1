// Package keysource answers the question which content key protects a track: a Source turns what a title is (tenant,
// group, asset, scheme, crypto period, generation) and the class of the track into a drm.ContentKey.
//
// Derived needs no database: every node that holds the deployment Secret computes the same keys. Static reads a list of
// keys. Cached stands in front of any Source, collapses concurrent questions into one, and bridges its outages.
//
// A Fetcher asks a key server for all keys of a title at once, over a Transport that is handed in: NginxVOD here, and those of the packages
// cpix, speke and widevine. Resilient tries again and leaves a server alone that keeps failing; Bundled makes a Source of it, and a
// Signaler, which also knows what DRM systems are to be told.
//
// The package does no I/O, reads no clock and no environment: bytes, secrets and time come in as arguments. Key bytes leave
// it inside a drm.ContentKey or a drm.ContentKey's accessors only, never in an error and never in print.
//
// "23001-7" is ISO/IEC 23001-7 (Common Encryption), third edition; "HKDF" is RFC 5869.
package keysource
