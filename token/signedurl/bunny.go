package signedurl

import (
	"context"
	"crypto/hmac"
	"crypto/md5"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/caddy-drm/caddy-drm/token"
)

// BunnyConfig is what a verifier of bunny.net's token authentication demands. Keys is required.
type BunnyConfig struct {
	// Keys are the token authentication keys; several while they are changed.
	Keys [][]byte
	// SHA256 accepts also the advanced tokens of before HMAC, and MD5 the basic ones. Both hash a text that begins with the key, which
	// is weak.
	SHA256, MD5 bool
	// CheckIP demands that a token is bound to the client's address. Tokens with HMAC say whether they are; of the others nobody can
	// tell, so without it they are read as not bound.
	CheckIP bool
	// Leeway is as in AkamaiConfig.
	Leeway time.Duration
}

// Bunny verifies bunny.net's tokens, in the query or as an element of the path. It is safe for concurrent use.
type Bunny struct {
	common
	config BunnyConfig
}

// NewBunny checks config and returns its verifier.
func NewBunny(config BunnyConfig) (v *Bunny, err error) {
	if config.Keys, err = checkSecrets(config.Keys); err != nil {
		return nil, err
	}
	base, err := newCommon("bunny", config.Leeway, config.Keys, fmt.Sprint(config.SHA256, config.MD5, config.CheckIP))
	return &Bunny{common: base, config: config}, err
}

// Parameters. In the path, bunnyElement begins the element, and the others follow in it.
const (
	bunnyToken   = "token"
	bunnyElement = "bcdn_token"
	bunnyExpires = "expires"
	bunnyPath    = "token_path"
	bunnyAllow   = "token_countries"
	bunnyBlock   = "token_countries_blocked"
	bunnyIgnore  = "token_ignore_params"
	bunnyLimit   = "limit"
)

var bunnyNames = []string{bunnyToken, bunnyExpires, bunnyPath, bunnyAllow, bunnyBlock, bunnyIgnore, bunnyLimit}

// Places implements token.Finder.
func (v *Bunny) Places() []token.Place {
	places := []token.Place{{In: token.InPath, Name: bunnyElement}}
	for _, name := range bunnyNames {
		places = append(places, token.Place{In: token.InQuery, Name: name})
	}
	return places
}

// Find implements token.Finder. In the query, all parameters of the request are part of what is signed.
func (v *Bunny) Find(c token.Carrier) ([]string, error) {
	var found []string
	if element := c.Values(token.Place{In: token.InPath, Name: bunnyElement}); len(element) == 1 {
		found = append(found, bunnyElement+"="+element[0])
	}
	names := append([]string{bunnyAllow, bunnyBlock, bunnyExpires, bunnyPath, bunnyIgnore}, bunnyToken)
	if !slices.ContainsFunc(names, func(name string) bool { return len(c.Query[name]) > 0 }) {
		return found, nil
	}
	values := make(map[string]string, len(c.Query))
	for name, list := range c.Query {
		if len(list) > 1 {
			return nil, token.ErrAmbiguous
		}
		values[name] = list[0]
	}
	pairs := make([]string, 0, len(values))
	for _, name := range slices.Sorted(maps.Keys(values)) {
		pairs = append(pairs, url.QueryEscape(name)+"="+url.QueryEscape(values[name]))
	}
	return append(found, strings.Join(pairs, "&")), nil
}

// BoundTo implements token.Bound.
func (v *Bunny) BoundTo(_ string, req token.Request) string { return boundTo(req) }

// bunnyCredential is one of which nothing is known to be true yet.
type bunnyCredential struct {
	hash    []byte
	sum     func(key []byte, path string, addr []byte, text string) []byte
	bound   bool // to the client's address
	basic   bool
	expires string
	values  map[string]string // what is signed besides path, expiry and address
}

// Verify implements token.Verifier.
func (v *Bunny) Verify(_ context.Context, raw string, req token.Request) (token.Claims, error) {
	values, err := splitFields(raw)
	if err != nil {
		return token.Claims{}, err
	}
	t, err := v.parse(values)
	if err != nil {
		return token.Claims{}, err
	}
	expires, err := parseTenDigits(t.expires)
	if err != nil {
		return token.Claims{}, err
	}
	var claims token.Claims
	v.times(&claims, expires, 0)
	c, err := t.restrictions(&claims)
	if err != nil {
		return token.Claims{}, err
	}
	var addr []byte
	if t.bound {
		prefix, ok := clientPrefix(req.Addr)
		if !ok {
			return token.Claims{}, errClientAddress
		}
		if prefix.Addr().Is6() && !t.basic { // signed and judged as a /64
			prefix = netip.PrefixFrom(prefix.Addr(), 64).Masked()
		}
		addr, c.prefixes = prefix.Addr().AsSlice(), []netip.Prefix{prefix}
	}
	path := t.values[bunnyPath]
	if path == "" {
		path = req.PublicPath
		claims.OneAddress, claims.Scope = true, []string{req.Path}
	}
	text := t.signedText()
	if !anyEqual(t.hash, v.config.Keys, func(key []byte) []byte { return t.sum(key, path+t.expires, addr, text) }) {
		return token.Claims{}, token.ErrSignature
	}
	if err := c.validate(); err != nil {
		return token.Claims{}, fmt.Errorf("%w: %w", token.ErrMalformed, err)
	}
	claims.Conditions = c.orNil()
	return accept(claims, req)
}

// parse tells the three forms of a token apart by how it begins and how long it is.
func (v *Bunny) parse(values map[string]string) (t bunnyCredential, err error) {
	text, inPath := values[bunnyElement], true
	if text == "" {
		text, inPath = values[bunnyToken], false
	}
	t.expires, t.values, t.bound = values[bunnyExpires], maps.Clone(values), v.config.CheckIP
	for _, name := range []string{bunnyElement, bunnyToken, bunnyExpires} {
		delete(t.values, name)
	}
	if keyed, ok := strings.CutPrefix(text, "HS256-"); ok {
		t.sum = bunnyHMAC
		// '1-' marks a token that is bound to an address; the hash is of a fixed length, so the mark cannot be its beginning.
		flagged := len(keyed) == 45 && strings.HasPrefix(keyed, "1-")
		t.hash, err = decodeBase64URL(strings.TrimPrefix(keyed, map[bool]string{true: "1-"}[flagged]))
		if t.bound = flagged; v.config.CheckIP && !flagged {
			return t, fmt.Errorf("%w: it is not bound to an address", token.ErrSignature)
		}
		if err == nil && len(t.hash) != sha256.Size {
			err = malformed("a hash of another length")
		}
		return t, err
	}
	if t.hash, err = decodeBase64URL(text); err != nil {
		return t, err
	}
	switch {
	case len(t.hash) == sha256.Size && v.config.SHA256:
		t.sum, t.basic = bunnySHA256, true
	case len(t.hash) == md5.Size && v.config.MD5 && !inPath && len(t.values) == 0:
		t.sum, t.basic = bunnyMD5, true
	default:
		return t, fmt.Errorf("%w: a kind of hash that is not accepted here", token.ErrSignature)
	}
	return t, nil
}

func bunnyHMAC(key []byte, pathAndExpires string, addr []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	for _, part := range [][]byte{[]byte(pathAndExpires), addr, []byte(text)} {
		_, _ = h.Write(part)
	}
	return h.Sum(nil)
}

func bunnySHA256(key []byte, pathAndExpires string, addr []byte, text string) []byte {
	sum := sha256.Sum256([]byte(string(key) + pathAndExpires + addrText(addr) + text))
	return sum[:]
}

func bunnyMD5(key []byte, pathAndExpires string, addr []byte, _ string) []byte {
	sum := md5.Sum([]byte(string(key) + pathAndExpires + addrText(addr)))
	return sum[:]
}

func addrText(b []byte) string {
	if addr, ok := netip.AddrFromSlice(b); ok {
		return addr.String()
	}
	return ""
}

// signedText is the parameters, sorted by name. With token_ignore_params only it and the directory are.
func (t bunnyCredential) signedText() string {
	pairs := make([]string, 0, len(t.values))
	ignore := t.values[bunnyIgnore] == "true"
	for _, name := range slices.Sorted(maps.Keys(t.values)) {
		if !ignore || name == bunnyIgnore || name == bunnyPath {
			pairs = append(pairs, name+"="+t.values[name])
		}
	}
	return strings.Join(pairs, "&")
}

// restrictions reads the parameters that restrict. With token_ignore_params, what is not signed restricts all the same.
func (t bunnyCredential) restrictions(claims *token.Claims) (c conditions, err error) {
	if dir := t.values[bunnyPath]; dir != "" {
		if strings.ContainsAny(dir, "*?") || dir[0] != '/' {
			return c, malformed("a directory that is none")
		}
		if c.patterns = []string{dir + "*"}; !strings.HasSuffix(dir, "/") { // whole path elements
			c.patterns = []string{dir, dir + "/*"}
		}
	}
	if list, ok := t.values[bunnyAllow]; ok {
		claims.Countries = strings.Split(list, ",")
	}
	if list, ok := t.values[bunnyBlock]; ok {
		c.blocked = strings.Split(strings.ToUpper(list), ",")
	}
	return c, nil
}

// BunnyToken is what Sign puts into a token. Path and Expires are required.
type BunnyToken struct {
	// Path is the path of the URL as the viewer sees it, decoded; Dir is a directory for token_path, for all below it.
	Path, Dir string
	Expires   time.Time
	// Addr binds the token to a client, an IPv6 one by its /64.
	Addr netip.Addr
	// Allow and Block are lists of countries.
	Allow, Block []string
	// InPath puts the token into the path.
	InPath bool
}

// Sign returns path and query of the signed URL, with HMAC-SHA-256 under the first key.
func (v *Bunny) Sign(b BunnyToken) (string, error) {
	expires, err := signingTime(b.Expires)
	if err != nil {
		return "", err
	}
	if b.Path == "" || b.Path[0] != '/' {
		return "", errors.New("want a path that begins with a slash")
	}
	t := bunnyCredential{values: map[string]string{}}
	for name, value := range map[string]string{
		bunnyPath: b.Dir, bunnyAllow: strings.Join(b.Allow, ","), bunnyBlock: strings.Join(b.Block, ","),
	} {
		if value != "" {
			t.values[name] = value
		}
	}
	var addr []byte
	flag := ""
	if prefix, ok := clientPrefix(b.Addr); ok {
		if prefix.Addr().Is6() {
			prefix = netip.PrefixFrom(prefix.Addr(), 64).Masked()
		}
		addr, flag = prefix.Addr().AsSlice(), "1-"
	}
	path := b.Dir
	if path == "" {
		path = b.Path
	}
	text := "HS256-" + flag + base64.RawURLEncoding.EncodeToString(bunnyHMAC(v.config.Keys[0], path+expires, addr, t.signedText()))
	tail := "&" + bunnyExpires + "=" + expires
	for _, name := range slices.Sorted(maps.Keys(t.values)) {
		tail += "&" + name + "=" + url.QueryEscape(t.values[name])
	}
	if b.InPath {
		return "/" + bunnyElement + "=" + text + tail + escapedPath(b.Path), nil
	}
	return escapedPath(b.Path) + "?" + bunnyToken + "=" + text + tail, nil
}
