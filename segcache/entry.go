package segcache

import (
	"encoding/binary"
	"time"
)

// Key names a protected segment: a digest of everything that its bytes depend on, such as SHA-256. Its first 8 bytes place
// the entry, so it must be evenly distributed; all 32 are compared.
type Key [32]byte

func (k Key) place() uint64 { return binary.LittleEndian.Uint64(k[:8]) }

// DefaultTTL is how long an entry is served whose maker says nothing else.
const DefaultTTL = time.Minute

// Entry is a protected segment. What a Cache hands out is shared by all who ask: nothing of it may be changed.
type Entry struct {
	// Body is the whole protected segment, in memory of its own: never pooled, never written again.
	Body []byte
	// ContentType and ETag are the values of these header fields.
	ContentType, ETag string
	// TTL is how long the entry is served from the moment it was made; 0 means DefaultTTL. Below 0 it is given to those who
	// wait for it, and not kept.
	TTL time.Duration
	// Stored is when the entry was made. The cache sets it.
	Stored time.Time

	key Key
}

// overhead is what an entry costs besides its body: the structs, and its places in three maps and a list.
const overhead = 512

// cost is the memory that the entry takes, in bytes. The capacity of the body counts, since all of it is kept alive.
func (e *Entry) cost() int64 { return int64(cap(e.Body)) + overhead }

// serves reports whether the entry is the one for key, and young enough at now.
func (e *Entry) serves(key Key, now time.Time) bool {
	return e.key == key && now.Sub(e.Stored) < e.TTL
}
