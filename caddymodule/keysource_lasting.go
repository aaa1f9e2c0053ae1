package caddymodule

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"strconv"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-drm/caddy-drm/drm"
	"github.com/caddy-drm/caddy-drm/keysource"
)

// The keys of a key server outlive a reload that leaves all as it is that they were asked for by: otherwise a reload while the server is
// out would take the keys from a site that plays.

// LastingKeySource is a KeySource over a server, whose keys outlive a reload.
type LastingKeySource interface {
	KeySource
	// Lasts reports whether they do: a source that reads a file is opened anew, to see what is in it now. Whatever Source depends on
	// stands in the settings of the module, or is named by them: in a placeholder or as the path of a file.
	Lasts() bool
}

// Lasts implements LastingKeySource, for all modules that ask a server.
func (c *KeyServerConn) Lasts() bool { return c.URL != "" }

// labelKeyPool separates the names of the pool from all else that is derived from the deployment secret.
const labelKeyPool = "caddy-drm key pool v1"

// keyPool holds the caches of keys that configurations share. Each handler, and each of its groups with a source of its own, is a user.
var keyPool = caddy.NewUsagePool()

// pooledKeys is what keyPool holds.
type pooledKeys struct{ *keysource.Cached }

// Destruct implements caddy.Destructor.
func (k pooledKeys) Destruct() error {
	k.Close()
	return nil
}

// poolKeys opens the cache in front of a source, or finds it open for the same settings. The key is what it is given back by; empty for
// one that nobody else has.
func (h *Handler) poolKeys(module KeySource, scheme drm.ProtectionScheme, open func() (*keysource.Cached, error)) (source *keysource.Cached, key string, err error) {
	lasting, ok := module.(LastingKeySource)
	if !ok || !lasting.Lasts() {
		source, err = open()
		return source, "", err
	}
	if key, err = h.keyPoolKey(module, scheme); err != nil {
		return nil, "", err
	}
	value, _, err := keyPool.LoadOrNew(key, func() (caddy.Destructor, error) {
		source, err := open()
		return pooledKeys{source}, err
	})
	if err != nil {
		return nil, "", err
	}
	pooled, _ := value.(pooledKeys)
	return pooled.Cached, key, nil
}

// keyPoolKey names a cache by everything that its keys depend on: the source with its credentials, the deployment secret, which names
// keys, the scheme of the site, its tenant, and how long keys are kept.
func (h *Handler) keyPoolKey(module KeySource, scheme drm.ProtectionScheme) (string, error) {
	settings, err := wholeSettings(module)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%T\x00%x\x00%x\x00%d\x00%q\x00%+v",
		module, settings, h.secret.Derive(labelKeyPool), scheme, h.Tenant, h.KeyCache.options()))
	return string(sum[:]), nil
}

// wholeSettings is a digest of the settings of a module and of all that they stand for: what placeholders expand to, and what the files hold
// that are named. It takes every text for both, so that no setting can be forgotten.
func wholeSettings(module any) ([sha256.Size]byte, error) {
	text, err := json.Marshal(module)
	if err != nil {
		return [sha256.Size]byte{}, err
	}
	var settings any
	if err := json.Unmarshal(text, &settings); err != nil {
		return [sha256.Size]byte{}, err
	}
	return sha256.Sum256(appendStandsFor(text, settings)), nil
}

// appendStandsFor appends what the texts of decoded JSON stand for, each behind its length. Members of objects have no order, and are
// sorted.
func appendStandsFor(dst []byte, value any) []byte {
	switch value := value.(type) {
	case string:
		expanded := caddy.NewReplacer().ReplaceKnown(value, "")
		dst = appendCounted(dst, expanded)
		if info, err := os.Stat(expanded); err == nil && info.Mode().IsRegular() {
			content, _ := readBounded(expanded, maxKeyFile) // what cannot be read is told by who needs it
			dst = appendCounted(dst, string(content))
		}
	case []any:
		for _, element := range value {
			dst = appendStandsFor(dst, element)
		}
	case map[string]any:
		for _, name := range sortedKeys(value) {
			dst = appendStandsFor(dst, value[name])
		}
	}
	return dst
}

func appendCounted(dst []byte, text string) []byte {
	return append(strconv.AppendInt(append(dst, 0), int64(len(text)), 10), " "+text...)
}
