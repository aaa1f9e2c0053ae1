package signedurl

import (
	"context"
	"crypto/md5"
	"encoding/base64"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/caddy-drm/caddy-drm/token"
)

// SecureLinkConfig is what a verifier of nginx's secure links demands, those of secure_link and secure_link_md5. Expression and
// Secrets are required. The links of secure_link_secret are not among them: they never expire.
type SecureLinkConfig struct {
	// Expression is that of secure_link_md5, with $secret in place of the secret words. Variables: $secure_link_expires (or $arg_ and
	// the name of that parameter), $uri, $remote_addr, $host, $scheme, $secret and $arg_<name>. The first, $uri and $secret are required.
	Expression string
	// Secrets are the words for $secret; several while they are changed.
	Secrets [][]byte
	// MD5Name and ExpiresName are the query parameters. Default: md5, expires.
	MD5Name, ExpiresName string
	// Leeway is as in AkamaiConfig.
	Leeway time.Duration
}

// SecureLink verifies nginx's secure links. The hash is MD5 over a text with a secret, which the format prescribes and which is weak:
// prefer another kind where the links can be changed. It is safe for concurrent use.
type SecureLink struct {
	common
	config SecureLinkConfig
	parts  []expressionPart
}

// expressionPart is a literal, or a variable if name is not empty.
type expressionPart struct{ literal, name string }

const (
	variableExpires = "secure_link_expires"
	variableArg     = "arg_"
)

var (
	expressionVariable = regexp.MustCompile(`\$\{(\w+)\}|\$(\w+)`)
	knownVariables     = []string{variableExpires, "uri", "remote_addr", "host", "scheme", "secret"}
)

// NewSecureLink checks config and returns its verifier.
func NewSecureLink(config SecureLinkConfig) (v *SecureLink, err error) {
	if config.Secrets, err = checkSecrets(config.Secrets); err != nil {
		return nil, err
	}
	if config.MD5Name == "" {
		config.MD5Name = "md5"
	}
	if config.ExpiresName == "" {
		config.ExpiresName = "expires"
	}
	if config.MD5Name == config.ExpiresName {
		return nil, errors.New("hash and expiry need a parameter each")
	}
	v = &SecureLink{config: config}
	if err := v.compile(); err != nil {
		return nil, err
	}
	v.common, err = newCommon("secure_link", config.Leeway, config.Expression, config.Secrets, config.MD5Name, config.ExpiresName)
	return v, err
}

func (v *SecureLink) compile() error {
	rest := 0
	for _, at := range expressionVariable.FindAllStringSubmatchIndex(v.config.Expression, -1) {
		v.parts = append(v.parts, expressionPart{literal: v.config.Expression[rest:at[0]]})
		start, end := at[2], at[3]
		if start < 0 {
			start, end = at[4], at[5]
		}
		name := v.config.Expression[start:end]
		if name == variableArg+v.config.ExpiresName {
			name = variableExpires
		}
		if !slices.Contains(knownVariables, name) && (!strings.HasPrefix(name, variableArg) || name == variableArg+v.config.MD5Name) {
			return fmt.Errorf("expression: unknown variable $%s", name)
		}
		v.parts = append(v.parts, expressionPart{name: name})
		rest = at[1]
	}
	v.parts = append(v.parts, expressionPart{literal: v.config.Expression[rest:]})
	if strings.Contains(v.parts[len(v.parts)-1].literal, "$") {
		return errors.New("expression: a $ without a name")
	}
	for _, name := range []string{variableExpires, "uri", "secret"} {
		if !v.uses(name) {
			return fmt.Errorf("expression: want $%s in it", name)
		}
	}
	return nil
}

func (v *SecureLink) uses(name string) bool {
	return slices.Contains(v.parts, expressionPart{name: name})
}

// Places implements token.Finder.
func (v *SecureLink) Places() []token.Place {
	return []token.Place{{In: token.InQuery, Name: v.config.MD5Name}, {In: token.InQuery, Name: v.config.ExpiresName}}
}

// Find implements token.Finder.
func (v *SecureLink) Find(c token.Carrier) ([]string, error) {
	return findPair(c, v.config.MD5Name, v.config.ExpiresName, "md5")
}

// findPair finds a hash and its expiry in the query, as the fields name and expires.
func findPair(c token.Carrier, hashName, expiresName, name string) ([]string, error) {
	hash, err := one(c, token.InQuery, hashName)
	if err != nil {
		return nil, err
	}
	expires, err := one(c, token.InQuery, expiresName)
	if err != nil || hash == "" && expires == "" {
		return nil, err
	}
	return []string{joinFields([]string{name, "expires"}, map[string]string{name: hash, "expires": expires})}, nil
}

// BoundTo implements token.Bound.
func (v *SecureLink) BoundTo(_ string, req token.Request) string { return boundTo(req) }

// Verify implements token.Verifier.
func (v *SecureLink) Verify(_ context.Context, raw string, req token.Request) (token.Claims, error) {
	values, err := splitFields(raw)
	if err != nil {
		return token.Claims{}, err
	}
	expires, err := parseTenDigits(values["expires"])
	if err != nil {
		return token.Claims{}, err
	}
	hash, err := decodeBase64URL(values["md5"])
	if err != nil || len(hash) != md5.Size || len(values) != 2 {
		return token.Claims{}, malformed("an md5 of another form")
	}
	for _, part := range v.parts {
		if arg, ok := strings.CutPrefix(part.name, variableArg); ok && countParameter(req.RawQuery, arg) > 1 {
			return token.Claims{}, malformed("a signed parameter twice")
		}
	}
	if !req.Addr.IsValid() && v.uses("remote_addr") {
		return token.Claims{}, errClientAddress
	}
	fits := anyEqual(hash, v.config.Secrets, func(secret []byte) []byte { return v.sum(values["expires"], secret, req) })
	if !fits {
		return token.Claims{}, token.ErrSignature
	}
	claims := token.Claims{OneAddress: true, Scope: []string{req.Path}}
	v.times(&claims, expires, 0)
	if v.uses("remote_addr") {
		prefix, _ := clientPrefix(req.Addr)
		claims.Conditions = &conditions{prefixes: []netip.Prefix{prefix}}
	}
	return accept(claims, req)
}

func (v *SecureLink) sum(expires string, secret []byte, req token.Request) []byte {
	var text []byte
	for _, part := range v.parts {
		text = append(text, part.literal...)
		switch part.name {
		case "":
		case variableExpires:
			text = append(text, expires...)
		case "secret":
			text = append(text, secret...)
		case "uri":
			text = append(text, req.PublicPath...)
		case "remote_addr":
			text = append(text, req.Addr.Unmap().WithZone("").String()...)
		case "host":
			text = append(text, req.Host...)
		case "scheme":
			text = append(text, req.Scheme...)
		default:
			text = append(text, rawValue(req.RawQuery, strings.TrimPrefix(part.name, variableArg))...)
		}
	}
	sum := md5.Sum(text)
	return sum[:]
}

// Sign returns the parameters that open the URL of req, whose PublicPath, and Addr and so on as far as the expression uses them, it
// reads.
func (v *SecureLink) Sign(req token.Request, expires time.Time) (url.Values, error) {
	text, err := signingTime(expires)
	if err != nil {
		return nil, err
	}
	if v.uses("remote_addr") && !req.Addr.IsValid() {
		return nil, errors.New("the expression has the client's address in it, and none was given")
	}
	hash := base64.RawURLEncoding.EncodeToString(v.sum(text, v.config.Secrets[0], req))
	return url.Values{v.config.MD5Name: {hash}, v.config.ExpiresName: {text}}, nil
}
