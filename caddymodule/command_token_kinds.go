package caddymodule

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/caddy-drm/caddy-drm/token"
	"github.com/caddy-drm/caddy-drm/token/signedurl"
)

// explainedParameters are those of the credentials that explain knows; the rest of a query may be part of what is signed.
var explainedParameters = []string{
	"Expires", "Policy", "Signature", "Key-Pair-Id", "Hash-Algorithm", "hdnts", "hdnea", "__token__", "md5", "expires", "token",
	"token_path", "token_countries", "token_countries_blocked", "token_ignore_params", "limit",
}

// seconds reads a time of a credential; zero if it is none.
func seconds(text string) time.Time {
	n, err := strconv.ParseInt(text, 10, 63)
	if err != nil {
		return time.Time{}
	}
	return time.Unix(n, 0)
}

// foundBy returns the credential of a kind in a URL or, as it is, in a text that looks like one.
func (p presented) foundBy(finder token.Finder, looksLike func(text string) bool) string {
	if p.url != nil {
		if found, err := finder.Find(p.carrier); err == nil && len(found) > 0 && looksLike(found[0]) {
			return found[0]
		}
		return ""
	}
	if looksLike(p.text) {
		return p.text
	}
	return ""
}

func fieldsOf(raw, separator string) map[string]string {
	fields := make(map[string]string)
	for pair := range strings.SplitSeq(raw, separator) {
		name, value, _ := strings.Cut(pair, "=")
		fields[name] = value
	}
	return fields
}

func unescapedFields(raw string) map[string]string {
	values, _ := url.ParseQuery(raw)
	fields := make(map[string]string, len(values))
	for name := range values {
		fields[name] = values.Get(name)
	}
	return fields
}

func explainAkamai(p presented, now time.Time) *explanation {
	finder, err := signedurl.NewAkamai(signedurl.AkamaiConfig{Keys: [][]byte{[]byte("no key")}})
	if err != nil {
		return nil
	}
	isAkamai := func(text string) bool { return strings.Contains(text, "~hmac=") }
	raw := p.foundBy(finder, isAkamai)
	if others := p.tokens(); raw == "" { // the site may have a name of its own
		if i := slices.IndexFunc(others, isAkamai); i >= 0 {
			raw = others[i]
		}
	}
	if raw == "" {
		return nil
	}
	e := &explanation{kind: "an Akamai token, for `token akamai`", raw: raw}
	fields := fieldsOf(raw, "~")
	if acl, ok := fields["acl"]; ok {
		e.say("paths", "%s", strings.ReplaceAll(acl, "!", ", "))
	} else {
		e.say("paths", "the one that it was made for, which it does not name")
	}
	e.sayIf("client", fields["ip"])
	e.sayIf("id", fields["id"])
	e.sayIf("data", fields["data"])
	e.sayTimes(seconds(fields["st"]), seconds(fields["exp"]), now)
	hashes := map[int]string{64: "sha256", 40: "sha1, which is weak", 32: "md5, which is weak"}
	e.sayIf("hash", hashes[len(fields["hmac"])])
	e.verifier = func(o explainOptions, key []byte) (token.Verifier, error) {
		keys, err := decodeHexKeys([][]byte{key})
		if err != nil {
			return nil, err
		}
		config := signedurl.AkamaiConfig{Keys: keys, Hash: o.hash, EscapeEarly: o.escapeEarly}
		if o.saltFile != "" {
			salt, err := readBounded(o.saltFile, maxKeyFile)
			if err != nil {
				return nil, err
			}
			config.Salt = strings.TrimSpace(string(salt))
		}
		return signedurl.NewAkamai(config)
	}
	return e
}

func explainCloudFront(p presented, now time.Time) *explanation {
	raw := p.foundBy(new(signedurl.CloudFront), func(text string) bool {
		return strings.Contains(text, "Signature=") && strings.Contains(text, "Key-Pair-Id=")
	})
	if raw == "" {
		return nil
	}
	raw = strings.ReplaceAll(raw, "CloudFront-", "")
	fields := unescapedFields(raw)
	e := &explanation{kind: "a signed URL of CloudFront, for `token cloudfront`", raw: raw}
	e.say("key", "%s", fields["Key-Pair-Id"])
	e.say("hash", "%s", map[bool]string{true: "SHA-1, which is weak", false: fields["Hash-Algorithm"]}[fields["Hash-Algorithm"] == ""])
	if fields["Policy"] == "" {
		e.say("policy", "canned: for this URL alone")
		e.sayTimes(time.Time{}, seconds(fields["Expires"]), now)
	} else {
		explainPolicy(e, fields["Policy"], now)
	}
	e.verifier = func(o explainOptions, key []byte) (token.Verifier, error) {
		block, _ := pem.Decode(key)
		if block == nil {
			return nil, errors.New("want a public key in PEM")
		}
		public, err := x509.ParsePKIXPublicKey(block.Bytes)
		if err != nil {
			return nil, errors.New("want a public key in PEM")
		}
		id := o.keyID
		if id == "" {
			id = fields["Key-Pair-Id"]
		}
		return signedurl.NewCloudFront(signedurl.CloudFrontConfig{Keys: map[string]crypto.PublicKey{id: public}})
	}
	return e
}

func explainPolicy(e *explanation, encoded string, now time.Time) {
	text, err := base64.StdEncoding.DecodeString(strings.NewReplacer("-", "+", "_", "=", "~", "/").Replace(encoded))
	var policy struct {
		Statement []struct {
			Resource  string
			Condition map[string]map[string]any
		}
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	if err != nil || d.Decode(&policy) != nil || len(policy.Statement) != 1 {
		e.say("policy", "custom, and cannot be read")
		return
	}
	statement := policy.Statement[0]
	e.say("policy", "custom")
	e.say("URLs", "%s", statement.Resource)
	date := func(name string) time.Time { return seconds(fmt.Sprint(statement.Condition[name]["AWS:EpochTime"])) }
	if source, ok := statement.Condition["IpAddress"]["AWS:SourceIp"]; ok {
		e.say("client", "%v", source)
	}
	e.sayTimes(date("DateGreaterThan"), date("DateLessThan"), now)
}

func explainBunny(p presented, now time.Time) *explanation {
	raw := p.foundBy(new(signedurl.Bunny), func(text string) bool {
		fields := unescapedFields(text)
		return fields["expires"] != "" && (fields["token"] != "" || fields["bcdn_token"] != "")
	})
	if raw == "" {
		return nil
	}
	fields := unescapedFields(raw)
	hash := fields["token"] + fields["bcdn_token"]
	e := &explanation{kind: "a signed URL of bunny.net, for `token bunny`", raw: raw}
	if dir := fields["token_path"]; dir != "" {
		e.say("paths", "all below %s", dir)
	} else {
		e.say("paths", "the one that it was made for, which it does not name")
	}
	e.sayIf("countries", fields["token_countries"])
	e.sayIf("not in", fields["token_countries_blocked"])
	switch {
	case strings.HasPrefix(hash, "HS256-1-"):
		e.say("client", "bound to an address, which it does not name")
		fallthrough
	case strings.HasPrefix(hash, "HS256-"):
		e.say("hash", "HMAC-SHA-256")
	case len(hash) == 43:
		e.say("hash", "SHA-256 of a text with the key, which is weak")
	default:
		e.say("hash", "MD5 of a text with the key, which is weak")
	}
	e.sayTimes(time.Time{}, seconds(fields["expires"]), now)
	e.verifier = func(o explainOptions, key []byte) (token.Verifier, error) {
		return signedurl.NewBunny(signedurl.BunnyConfig{Keys: [][]byte{key}, SHA256: o.hash == "sha256", MD5: o.hash == "md5"})
	}
	return e
}

func explainFlussonic(p presented, now time.Time) *explanation {
	for _, raw := range p.tokens() {
		parts := strings.Split(raw, "-")
		if len(parts) != 4 || len(parts[0]) != 40 || len(parts[2]) != 10 || len(parts[3]) != 10 {
			continue
		}
		e := &explanation{kind: "a securetoken of Flussonic, for `token flussonic`", raw: raw}
		e.say("paths", "the stream that it was made for, which it does not name")
		e.say("client", "perhaps bound to an address, which it does not name")
		e.sayTimes(seconds(parts[3]), seconds(parts[2]), now)
		e.say("hash", "SHA-1, which is weak")
		e.verifier = func(o explainOptions, key []byte) (token.Verifier, error) {
			return signedurl.NewFlussonic(signedurl.FlussonicConfig{Secrets: [][]byte{key}, NoCheckIP: o.noCheckIP})
		}
		return e
	}
	return nil
}

func explainSecureLink(p presented, now time.Time) *explanation {
	raw := strings.TrimPrefix(p.text, "?")
	if p.url != nil {
		raw = url.Values{"md5": {p.carrier.Query.Get("md5")}, "expires": {p.carrier.Query.Get("expires")}}.Encode()
	}
	fields := unescapedFields(raw)
	if len(fields["md5"]) != 22 || fields["expires"] == "" {
		return nil
	}
	e := &explanation{kind: "a secure link of nginx, for `token secure_link`", raw: raw}
	e.say("paths", "the one that it was made for, which it does not name")
	e.sayTimes(time.Time{}, seconds(fields["expires"]), now)
	e.say("hash", "MD5, which is weak")
	e.verifier = func(o explainOptions, key []byte) (token.Verifier, error) {
		return signedurl.NewSecureLink(signedurl.SecureLinkConfig{Secrets: [][]byte{key}, Expression: o.expression})
	}
	return e
}

func explainSigned(p presented, now time.Time) *explanation {
	for _, raw := range p.tokens() {
		parts := strings.Split(raw, ".")
		if len(parts) != 3 || parts[0] != "v1" {
			continue
		}
		payload, err := base64.RawURLEncoding.DecodeString(parts[1])
		if err != nil {
			continue
		}
		e := &explanation{kind: "a signed prefix, for `token signed`", raw: raw}
		values, _ := url.ParseQuery(string(payload))
		for _, field := range [][2]string{
			{"kid", "key"}, {"sub", "subject"}, {"jti", "name"}, {"prefix", "paths"}, {"host", "hosts"}, {"country", "countries"},
		} {
			e.sayIf(field[1], strings.Join(values[field[0]], ", "))
		}
		e.sayTimes(seconds(values.Get("nbf")), seconds(values.Get("exp")), now)
		e.verifier = func(_ explainOptions, key []byte) (token.Verifier, error) {
			secret, err := token.SecretKey(values.Get("kid"), key)
			if err != nil {
				return nil, err
			}
			set, err := token.NewKeySet(secret)
			if err != nil {
				return nil, err
			}
			return token.NewSignedPrefix(token.SignedPrefixConfig{Keys: set})
		}
		return e
	}
	return nil
}

// dateClaims are the claims that are instants.
var dateClaims = []string{"exp", "nbf", "iat"}

func explainJWT(p presented, now time.Time) *explanation {
	for _, raw := range p.tokens() {
		header, claims := jwtPart(raw, 0), jwtPart(raw, 1)
		if header == nil || claims == nil {
			continue
		}
		e := &explanation{kind: "a JWT, for `token jwt`", raw: raw}
		e.sayIf("algorithm", claimText(header["alg"]))
		e.sayIf("key", claimText(header["kid"]))
		names := make([]string, 0, len(claims))
		for name := range claims {
			names = append(names, name)
		}
		sort.Strings(names)
		for _, name := range names {
			if !slices.Contains(dateClaims, name) {
				e.say(name, "%s", claimText(claims[name]))
			}
		}
		if iat := seconds(claimText(claims["iat"])); iat.Unix() > 0 {
			e.say("made", "%s", when(iat, now))
		}
		e.sayTimes(seconds(claimText(claims["nbf"])), seconds(claimText(claims["exp"])), now)
		e.verifier = func(o explainOptions, key []byte) (token.Verifier, error) { return jwtVerifier(o, key, claims) }
		return e
	}
	return nil
}

// jwtPart returns the members of the header, 0, or of the claims, 1; nil if there are none.
func jwtPart(raw string, part int) map[string]json.RawMessage {
	parts := strings.Split(raw, ".")
	if len(parts) != 3 {
		return nil
	}
	text, err := base64.RawURLEncoding.DecodeString(parts[part])
	if err != nil {
		return nil
	}
	var members map[string]json.RawMessage
	if json.Unmarshal(text, &members) != nil {
		return nil
	}
	return members
}

// claimText shows strings without quotes, lists with commas, and everything else as JSON.
func claimText(raw json.RawMessage) string {
	var text string
	var list []string
	switch {
	case json.Unmarshal(raw, &text) == nil:
		return text
	case json.Unmarshal(raw, &list) == nil:
		return strings.Join(list, ", ")
	default:
		return string(raw)
	}
}

// jwtVerifier takes a secret, a public key in PEM or a JWK Set. Issuer and audience are those of the token: they are said, not judged.
func jwtVerifier(o explainOptions, key []byte, claims map[string]json.RawMessage) (token.Verifier, error) {
	var algorithms []token.Algorithm
	for _, name := range o.algorithms {
		algorithm, err := token.ParseAlgorithm(name)
		if err != nil {
			return nil, err
		}
		algorithms = append(algorithms, algorithm)
	}
	var set *token.KeySet
	var err error
	if text := string(key); strings.HasPrefix(text, "-----BEGIN") || strings.HasPrefix(text, "{") {
		if len(algorithms) == 0 {
			algorithms = []token.Algorithm{
				token.RS256, token.RS384, token.RS512, token.PS256, token.PS384, token.PS512, token.ES256, token.ES384, token.ES512, token.EdDSA,
			}
		}
		set, err = token.ParseKeySet(key, algorithms...)
	} else {
		var secret token.Key
		if secret, err = token.SecretKey("", key, algorithms...); err == nil {
			set, err = token.NewKeySet(secret)
		}
	}
	if err != nil {
		return nil, err
	}
	config := token.JWTConfig{Keys: set}
	if audience := claimText(claims["aud"]); audience != "" {
		config.Audience = strings.Split(audience, ", ")
	}
	return token.NewJWT(config)
}
