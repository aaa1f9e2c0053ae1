// Package probe plays a protected presentation without a player: it fetches the manifest, every rendition, the keys and segments of each
// crypto period, decrypts them, and compares what manifest, init segments, segments and licenses say of each other. It believes nothing
// of what it is sent and works with any server, not only with this gateway.
//
//	Run → openManifest → dash.go, hls.go    what there is to play, as stretches: one rendition under one key
//	    → probeStretch → cmaf.go, whole.go   init and media segments; license.go gets the keys; leak.go looks for clear media
//	    → watch.go                           the same again while a live manifest moves on
//
// The package is pure but for the Fetcher, the clock and the pause that it is handed. Nothing that it returns holds a key, a session, a token
// or the query of a URL. "8216" is RFC 8216 (HLS), "23009-1" is ISO/IEC 23009-1 (DASH).
package probe
