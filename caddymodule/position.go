package caddymodule

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"sync"
)

// maxPositions bounds what is remembered: Caddyfiles may be read again and again.
const maxPositions = 4096

// readPositions says where the drm blocks stand that this process has read in Caddyfiles. Much of what is wrong with a block shows only
// when it is provisioned, from a configuration that has no place for file and line; `caddy validate` and `caddy run` do both in one
// process, and so can say where. Of blocks that are the same the one that was read last is named.
var readPositions = positions{at: make(map[[sha256.Size]byte]string)}

type positions struct {
	mu sync.Mutex
	at map[[sha256.Size]byte]string // by the digest of the block's JSON
}

func (p *positions) remember(h *Handler, file string, line int) {
	digest, ok := digestOf(h)
	if !ok {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.at) >= maxPositions {
		clear(p.at)
	}
	p.at[digest] = fmt.Sprintf("%s:%d", file, line)
}

// of returns where a block stands that is not provisioned yet; empty if this process has not read it.
func (p *positions) of(h *Handler) string {
	digest, ok := digestOf(h)
	if !ok {
		return ""
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.at[digest]
}

func digestOf(h *Handler) (digest [sha256.Size]byte, ok bool) {
	text, err := json.Marshal(h) //nolint:gosec // of a block that is not provisioned it holds placeholders of secrets, and it is hashed
	return sha256.Sum256(text), err == nil
}

// inBlock says where the mistake is, if that is known.
func (h *Handler) inBlock(err error) error {
	if err == nil || h.position == "" {
		return err
	}
	return fmt.Errorf("%w, in the drm block at %s", err, h.position)
}
