// Package segcache keeps protected segments in memory, so that many viewers of one segment cost one fetch from the origin
// and one encryption.
//
// Three layers answer for a key, each for what the others cannot:
//
//	recent   the newest quarter of the bytes, first in, first out: certain. A live segment is asked for by everybody within
//	         seconds of being made, before any count of its requests says that it is worth keeping.
//	likely   what was recent, by frequency (ristretto): a hint, which may drop or refuse what it is given.
//	flight   work under way: whoever asks for the same key meanwhile waits for its result.
//
// # What a key is
//
// A key is a digest of everything that the bytes depend on: tenant, seal, clean path, range, layout version. Bytes under a
// key therefore change in one case only, that the origin puts other content under the same path. Live segments are immutable in
// practice, files of a title can be replaced; the TTL of an entry bounds how long the old bytes are served after that. They
// are served with their own ETag and are right in themselves, so no body ever mixes the two.
//
// # Memory
//
// Entries are immutable, own their memory and are handed out without copying: a response that is still being sent keeps its
// bytes alive after the cache has let go of them. That memory, and that of work in flight, is bounded elsewhere, by the
// budget of package inflight. Nothing from a buffer pool may enter the cache.
//
// A Cache is never closed: there is one for the process, and requests of an old configuration may still use it. It follows a
// new configuration with Resize.
package segcache
