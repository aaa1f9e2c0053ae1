package token

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"

	"github.com/go-jose/go-jose/v4"
)

// Limits of a key set file.
const (
	maxKeySetBytes = 256 << 10
	maxKeys        = 64
)

// KeySet is a closed set of keys that can be replaced as a whole while it is in use. All methods are safe for concurrent use.
type KeySet struct {
	current    atomic.Pointer[keyTable]
	algorithms []Algorithm
}

// keyTable is never changed once it is published.
type keyTable struct {
	keys     []Key
	byID     map[string]Key
	identity string
}

// NewKeySet returns a set of the given keys. One key alone may go without a name; several need distinct ones.
func NewKeySet(keys ...Key) (*KeySet, error) {
	table, err := newKeyTable(keys)
	if err != nil {
		return nil, err
	}
	s := &KeySet{}
	s.current.Store(table)
	return s, nil
}

// ParseKeySet reads a JWK Set, or one PEM public key, for use with the given algorithms and no others.
//
// A JWK that names an alg is for that alone; one that names none is for those of algorithms that fit its type. Keys for
// encryption and of unknown types are passed over (JWK, 5); private keys, duplicate kids, duplicate members and a set without
// a usable key are errors.
func ParseKeySet(b []byte, algorithms ...Algorithm) (*KeySet, error) {
	if len(algorithms) == 0 {
		return nil, errors.New("no algorithm allowed for the key set")
	}
	for _, a := range algorithms {
		if a.kind() == kindNone {
			return nil, fmt.Errorf("unknown algorithm %q", string(a))
		}
	}
	s := &KeySet{algorithms: slices.Clone(algorithms)}
	if err := s.Reload(b); err != nil {
		return nil, err
	}
	return s, nil
}

// PendingKeySet returns a set that has no keys until Reload gives it some: those of a key server that has not answered yet. Until then
// every verification is a failure, ErrNoKeys, and not a refusal. The keys are for the given algorithms, none of which may be an
// HMAC: what a server hands out to everybody is no secret.
func PendingKeySet(algorithms ...Algorithm) (*KeySet, error) {
	if len(algorithms) == 0 {
		return nil, errors.New("no algorithm allowed for the key set")
	}
	for _, a := range algorithms {
		if kind := a.kind(); kind == kindNone || kind == kindSecret {
			return nil, fmt.Errorf("algorithm %q is not for keys from a server", string(a))
		}
	}
	s := &KeySet{algorithms: slices.Clone(algorithms)}
	s.current.Store(&keyTable{identity: "pending"})
	return s, nil
}

// Reload replaces the keys with those in b, which has one of the forms of ParseKeySet. On an error the set stays as it was.
// Tokens that were verified with a key that is gone are no longer found in a cache.
func (s *KeySet) Reload(b []byte) error {
	if len(s.algorithms) == 0 {
		return errors.New("this key set was not made from a file")
	}
	var keys []Key
	var err error
	if trimmed := bytes.TrimSpace(b); bytes.HasPrefix(trimmed, []byte("-----BEGIN")) {
		keys, err = parsePEMKeys(trimmed, s.algorithms)
	} else {
		keys, err = parseJWKS(b, s.algorithms)
	}
	if err != nil {
		return err
	}
	table, err := newKeyTable(keys)
	if err != nil {
		return err
	}
	s.current.Store(table)
	return nil
}

// mayHave reports whether the set could have a key for an algorithm that a token names.
func (s *KeySet) mayHave(a Algorithm) bool { return slices.Contains(s.algorithms, a) }

// Len returns the number of usable keys.
func (s *KeySet) Len() int { return len(s.current.Load().keys) }

func newKeyTable(keys []Key) (*keyTable, error) {
	if len(keys) == 0 || len(keys) > maxKeys {
		return nil, fmt.Errorf("key: want 1 to %d that can be used, not %d", maxKeys, len(keys))
	}
	t := &keyTable{keys: slices.Clone(keys), byID: make(map[string]Key, len(keys))}
	h := sha256.New()
	for _, k := range keys {
		switch _, taken := t.byID[k.id]; {
		case k.material == nil:
			return nil, errors.New("a key without material")
		case k.id == "" && len(keys) > 1:
			return nil, errors.New("a key without a kid among several; each needs its own")
		case taken:
			return nil, fmt.Errorf("two keys with kid %q", k.id)
		}
		t.byID[k.id] = k
		_, _ = h.Write(k.digest[:])
	}
	t.identity = hex.EncodeToString(h.Sum(nil))
	return t, nil
}

// lookup finds the key for a header's kid. A set of one key without a name answers to every kid, since there is nothing to
// choose; a token without kid is answered only where there is one key.
func (t *keyTable) lookup(kid string) (Key, bool) {
	if len(t.keys) == 1 && (kid == "" || t.keys[0].id == "") {
		return t.keys[0], true
	}
	if kid == "" {
		return Key{}, false
	}
	k, found := t.byID[kid]
	return k, found
}

func parsePEMKeys(b []byte, allowed []Algorithm) ([]Key, error) {
	k, err := PublicKeyPEM("", b)
	if err != nil {
		return nil, err
	}
	fit := fitting(k.algorithms[0].kind(), allowed)
	if len(fit) == 0 {
		return nil, errors.New("none of the allowed algorithms fits the public key")
	}
	k, err = publicKey("", k.material, fit)
	if err != nil {
		return nil, err
	}
	return []Key{k}, nil
}

func fitting(kind keyKind, allowed []Algorithm) []Algorithm {
	var fit []Algorithm
	for _, a := range allowed {
		if a.kind() == kind {
			fit = append(fit, a)
		}
	}
	return fit
}

func parseJWKS(b []byte, allowed []Algorithm) ([]Key, error) {
	if len(b) > maxKeySetBytes {
		return nil, fmt.Errorf("key set of %d bytes: want at most %d", len(b), maxKeySetBytes)
	}
	if err := checkJSONObject(b); err != nil {
		return nil, fmt.Errorf("parsing key set: %w", err)
	}
	var set map[string]json.RawMessage
	if err := json.Unmarshal(b, &set); err != nil {
		return nil, fmt.Errorf("parsing key set: %w", err)
	}
	var raws []json.RawMessage
	if err := json.Unmarshal(set["keys"], &raws); err != nil {
		return nil, errors.New("parsing key set: no member \"keys\" that is an array")
	}
	var keys []Key
	for i, raw := range raws {
		k, usable, err := parseJWK(raw, allowed)
		if err != nil {
			return nil, fmt.Errorf("parsing key set: keys[%d]: %w", i, err)
		}
		if usable {
			keys = append(keys, k)
		}
	}
	return keys, nil
}

// parseJWK reports usable == false for a key that is not for us: for encryption, of an unknown type, or for an algorithm that
// is not allowed.
func parseJWK(raw json.RawMessage, allowed []Algorithm) (k Key, usable bool, err error) {
	var jwk jose.JSONWebKey
	if err := jwk.UnmarshalJSON(raw); err != nil {
		if errors.Is(err, jose.ErrUnsupportedKeyType) {
			return Key{}, false, nil
		}
		return Key{}, false, errors.New("not a valid JWK") // the cause may quote key material
	}
	if jwk.Use != "" && jwk.Use != "sig" {
		return Key{}, false, nil
	}
	if usable, err := mayVerify(raw); err != nil || !usable {
		return Key{}, false, err
	}
	secret, symmetric := jwk.Key.([]byte)
	if !symmetric && !jwk.IsPublic() {
		return Key{}, false, errors.New("a private key; publish and configure the public part only")
	}
	kind := kindSecret
	if !symmetric {
		if kind, _, err = kindOf(jwk.Key); err != nil {
			return Key{}, false, err
		}
	}
	fit := fitting(kind, allowed)
	if jwk.Algorithm != "" {
		if !slices.Contains(fit, Algorithm(jwk.Algorithm)) {
			return Key{}, false, nil
		}
		fit = []Algorithm{Algorithm(jwk.Algorithm)}
	}
	if len(fit) == 0 {
		return Key{}, false, nil
	}
	if symmetric {
		k, err = SecretKey(jwk.KeyID, secret, fit...)
	} else {
		k, err = publicKey(jwk.KeyID, jwk.Key, fit)
	}
	return k, err == nil, err
}
