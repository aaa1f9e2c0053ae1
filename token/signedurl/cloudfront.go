package signedurl

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/caddy-drm/caddy-drm/token"
)

// CloudFrontConfig is what a verifier of CloudFront's signed URLs and cookies demands. Keys is required.
type CloudFrontConfig struct {
	// Keys are public keys, *rsa.PublicKey of 2048 to 4096 bits or *ecdsa.PublicKey, by Key-Pair-Id.
	Keys map[string]crypto.PublicKey
	// SHA256Only refuses signatures over SHA-1, which is the hash of this format unless Hash-Algorithm names another.
	SHA256Only bool
	// Leeway is as in AkamaiConfig.
	Leeway time.Duration
}

// CloudFront verifies signed URLs and signed cookies. It is safe for concurrent use.
type CloudFront struct {
	common
	config CloudFrontConfig
}

// NewCloudFront checks config and returns its verifier.
func NewCloudFront(config CloudFrontConfig) (*CloudFront, error) {
	if len(config.Keys) == 0 || len(config.Keys) > maxKeys {
		return nil, fmt.Errorf("key: want 1 to %d, not %d", maxKeys, len(config.Keys))
	}
	config.Keys = maps.Clone(config.Keys)
	settings := []any{strconv.FormatBool(config.SHA256Only)}
	for _, id := range slices.Sorted(maps.Keys(config.Keys)) {
		switch key := config.Keys[id].(type) {
		case *rsa.PublicKey:
			if bits := key.N.BitLen(); bits < 2048 || bits > 4096 {
				return nil, fmt.Errorf("RSA key of %d bits: want 2048 to 4096", bits)
			}
		case *ecdsa.PublicKey:
		default:
			return nil, errors.New("want RSA or ECDSA public keys")
		}
		encoded, err := x509.MarshalPKIXPublicKey(config.Keys[id])
		if err != nil || id == "" {
			return nil, errors.New("a key without an ID, or that cannot be encoded")
		}
		settings = append(settings, id, encoded)
	}
	base, err := newCommon("cloudfront", config.Leeway, settings...)
	return &CloudFront{common: base, config: config}, err
}

// Parameters of a signed URL, in the order of the one text that stands for them. Cookies have the same names behind a prefix.
const (
	cloudFrontExpires   = "Expires"
	cloudFrontPolicy    = "Policy"
	cloudFrontSignature = "Signature"
	cloudFrontKey       = "Key-Pair-Id"
	cloudFrontHash      = "Hash-Algorithm"

	cloudFrontCookie = "CloudFront-"
)

var cloudFrontNames = []string{cloudFrontExpires, cloudFrontPolicy, cloudFrontSignature, cloudFrontKey, cloudFrontHash}

// Places implements token.Finder.
func (v *CloudFront) Places() []token.Place {
	var places []token.Place
	for _, name := range cloudFrontNames {
		places = append(places, token.Place{In: token.InQuery, Name: name}, token.Place{In: token.InCookie, Name: cloudFrontCookie + name})
	}
	return places
}

// Find implements token.Finder.
func (v *CloudFront) Find(c token.Carrier) ([]string, error) {
	var found []string
	for in, prefix := range map[string]string{token.InQuery: "", token.InCookie: cloudFrontCookie} {
		values := make(map[string]string, len(cloudFrontNames))
		for _, name := range cloudFrontNames {
			value, err := one(c, in, prefix+name)
			if err != nil {
				return nil, err
			}
			if value != "" {
				values[name] = value
			}
		}
		if raw := joinFields(cloudFrontNames, values); raw != "" && !slices.Contains(found, raw) {
			found = append(found, raw)
		}
	}
	return found, nil
}

// joinFields writes fields as one text, in a fixed order. splitFields is the reverse.
func joinFields(names []string, values map[string]string) string {
	var pairs []string
	for _, name := range names {
		if value := values[name]; value != "" {
			pairs = append(pairs, name+"="+url.QueryEscape(value))
		}
	}
	return strings.Join(pairs, "&")
}

func splitFields(raw string) (map[string]string, error) {
	if err := checkCredential(raw); err != nil {
		return nil, err
	}
	values := make(map[string]string, 8)
	for pair := range strings.SplitSeq(raw, "&") {
		name, value, _ := strings.Cut(pair, "=")
		name, errName := url.QueryUnescape(name)
		value, errValue := url.QueryUnescape(value)
		if _, twice := values[name]; errName != nil || errValue != nil || twice || len(values) >= 32 {
			return nil, malformed("fields that cannot be told apart")
		}
		values[name] = value
	}
	return values, nil
}

// BoundTo implements token.Bound: the canned policy holds the URL of the request.
func (v *CloudFront) BoundTo(_ string, req token.Request) string { return boundTo(req) }

// cloudFrontBase64 is base64 with the characters that a URL cannot hold replaced.
var (
	cloudFrontEncode = strings.NewReplacer("+", "-", "=", "_", "/", "~")
	cloudFrontDecode = strings.NewReplacer("-", "+", "_", "=", "~", "/")
)

func decodeCloudFront(s string) ([]byte, error) {
	if strings.ContainsAny(s, "+=/\r\n") {
		return nil, malformed("not base64 as CloudFront writes it")
	}
	b, err := base64.StdEncoding.Strict().DecodeString(cloudFrontDecode.Replace(s))
	if err != nil {
		return nil, malformed("not base64 as CloudFront writes it")
	}
	return b, nil
}

// Verify implements token.Verifier.
func (v *CloudFront) Verify(_ context.Context, raw string, req token.Request) (token.Claims, error) {
	values, err := splitFields(raw)
	if err != nil {
		return token.Claims{}, err
	}
	var policy []byte
	canned := values[cloudFrontPolicy] == ""
	switch {
	case canned == (values[cloudFrontExpires] == "") || values[cloudFrontSignature] == "" || values[cloudFrontKey] == "":
		return token.Claims{}, malformed("want Expires or Policy, Signature and Key-Pair-Id")
	case canned:
		policy, err = cannedPolicy(publicURL(req), values[cloudFrontExpires])
	default:
		policy, err = decodeCloudFront(values[cloudFrontPolicy])
	}
	if err != nil {
		return token.Claims{}, err
	}
	if err := v.checkSignature(policy, values); err != nil {
		return token.Claims{}, err
	}
	claims, err := v.readPolicy(policy, req)
	if err != nil {
		return token.Claims{}, err
	}
	return accept(claims, req)
}

func (v *CloudFront) checkSignature(policy []byte, values map[string]string) error {
	signature, err := decodeCloudFront(values[cloudFrontSignature])
	if err != nil {
		return err
	}
	hash := crypto.SHA1
	var digest []byte
	switch values[cloudFrontHash] {
	case "", "SHA1":
		if v.config.SHA256Only {
			return fmt.Errorf("%w: SHA-1 is not accepted here", token.ErrSignature)
		}
		sum := sha1.Sum(policy)
		digest = sum[:]
	case "SHA256":
		sum := sha256.Sum256(policy)
		hash, digest = crypto.SHA256, sum[:]
	default:
		return malformed("an unknown Hash-Algorithm")
	}
	fits := false
	switch key := v.config.Keys[values[cloudFrontKey]].(type) {
	case *rsa.PublicKey:
		fits = rsa.VerifyPKCS1v15(key, hash, digest, signature) == nil
	case *ecdsa.PublicKey:
		fits = ecdsa.VerifyASN1(key, digest, signature)
	}
	if !fits {
		return token.ErrSignature
	}
	return nil
}

// Sign returns the parameters of a URL that is signed with policy, see CloudFrontPolicy. signer is an RSA or ECDSA key, and sha256Sum
// asks for the newer hash. For cookies, put CloudFront- in front of the names.
func (p CloudFrontPolicy) Sign(keyID string, signer crypto.Signer, sha256Sum bool) (url.Values, error) {
	policy, canned, err := p.text()
	if err != nil {
		return nil, err
	}
	hash := crypto.SHA1
	if sha256Sum {
		hash = crypto.SHA256
	}
	h := hash.New()
	_, _ = h.Write(policy)
	signature, err := signer.Sign(rand.Reader, h.Sum(nil), hash)
	if err != nil {
		return nil, fmt.Errorf("signing: %w", err)
	}
	encode := func(b []byte) string { return cloudFrontEncode.Replace(base64.StdEncoding.EncodeToString(b)) }
	values := url.Values{cloudFrontSignature: {encode(signature)}, cloudFrontKey: {keyID}}
	if canned {
		values.Set(cloudFrontExpires, strconv.FormatInt(p.Expires.Unix(), 10))
	} else {
		values.Set(cloudFrontPolicy, encode(policy))
	}
	if sha256Sum {
		values.Set(cloudFrontHash, "SHA256")
	}
	return values, nil
}
