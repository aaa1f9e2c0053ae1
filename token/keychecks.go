package token

import (
	"crypto"
	"crypto/rsa"
	_ "crypto/sha512" // the hashes of PS384 and PS512
	"encoding/json"
	"errors"
	"math/big"
	"slices"
	"strings"
)

// saltFits checks what the library leaves open: the salt of PS256 and its kin has the size of the hash (JWA, 3.5).
func saltFits(key Key, algorithm Algorithm, raw string) bool {
	hash, ok := map[Algorithm]crypto.Hash{PS256: crypto.SHA256, PS384: crypto.SHA384, PS512: crypto.SHA512}[algorithm]
	if !ok {
		return true
	}
	end := strings.LastIndexByte(raw, '.')
	signature, err := decodeBase64URL(raw[end+1:])
	public, isRSA := key.material.(*rsa.PublicKey)
	if err != nil || !isRSA {
		return false
	}
	h := hash.New()
	_, _ = h.Write([]byte(raw[:end]))
	return rsa.VerifyPSS(public, hash, h.Sum(nil), signature, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash}) == nil
}

// mayVerify reports whether a JWK that lists operations lists verifying among them (JWK, 4.3).
func mayVerify(raw json.RawMessage) (bool, error) {
	var jwk map[string]json.RawMessage // by exact name
	if err := json.Unmarshal(raw, &jwk); err != nil {
		return false, errors.New("not a valid JWK")
	}
	listed, found := jwk["key_ops"]
	if !found {
		return true, nil
	}
	var operations []string
	if err := json.Unmarshal(listed, &operations); err != nil {
		return false, errors.New("key_ops is not a list")
	}
	return slices.Contains(operations, "verify"), nil
}

// rocaPrimes are the small primes that tell keys of the flawed generator: each of its moduli is a power of 65537 modulo all of them.
var rocaPrimes = []int64{
	3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89, 97, 101, 103, 107, 109, 113, 127, 131, 137, 139,
	149, 151, 157, 163, 167,
}

// isROCA recognizes the keys of a hardware generator whose primes are far from random, so that they can be factored. A good key passes
// for one once in 2^90 or so. Source: Nemec et al., The Return of Coppersmith's Attack, 2017, section 4.
func isROCA(n *big.Int) bool {
	for _, p := range rocaPrimes {
		remainder := new(big.Int).Mod(n, big.NewInt(p)).Int64()
		power, found := int64(1), false
		for range p {
			found = found || power == remainder
			power = power * 65537 % p
		}
		if !found {
			return false
		}
	}
	return true
}
