package caddymodule

import (
	"regexp"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/modules/logging"
	"go.uber.org/zap/zapcore"
)

func init() {
	caddy.RegisterModule(new(LogFilter))
}

// LogFilter masks the access tokens and sessions in a logged URI. Caddy hides the fields Authorization and Cookie on its
// own, but it logs URIs as they came, and both travel there:
//
//	log {
//		format filter {
//			request>uri drm
//		}
//	}
//
// It masks session elements of the path and what may be a token there, and the value of every query parameter but those of the
// gateway that are no secret.
type LogFilter struct{}

var (
	// A path is decoded before a session is looked for in it, so every letter of the prefix may be escaped.
	loggedSession = regexp.MustCompile(`(?i)(?:~|%7e)(?:s|%73)(?:\.|%2e)[^/?]*`)
	// openQuery are parameters whose values may be logged.
	openQuery = map[string]bool{querySchemeName: true, queryKeyFormatName: true, "kid": true}
)

const masked = "REDACTED"

// CaddyModule returns the module's registration.
func (*LogFilter) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "caddy.logging.encoders.filter.drm", New: func() caddy.Module { return new(LogFilter) }}
}

// UnmarshalCaddyfile reads `drm`, without arguments.
func (*LogFilter) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next()
	if d.NextArg() {
		return d.ArgErr()
	}
	return nil
}

// Filter implements logging.LogFieldFilter.
func (*LogFilter) Filter(in zapcore.Field) zapcore.Field {
	if in.Type == zapcore.StringType {
		in.String = maskURI(in.String)
	}
	return in
}

func maskURI(uri string) string {
	uri = loggedSession.ReplaceAllString(uri, "~s."+masked)
	path, query, found := strings.Cut(uri, "?")
	path = maskElements(path)
	switch {
	case !found:
		return path
	case query == "":
		return path + "?"
	}
	pairs := strings.Split(query, "&")
	for i, pair := range pairs {
		switch name, _, hasValue := strings.Cut(pair, "="); {
		case pair == "" || openQuery[name]:
		case hasValue:
			pairs[i] = name + "=" + masked
		default:
			pairs[i] = masked // a value without a name
		}
	}
	return path + "?" + strings.Join(pairs, "&")
}

// maskElements masks what may be a credential in the path: an element with an equals sign in it, behind that, and one in front of the
// last that looks like a token. Seals look like none.
func maskElements(path string) string {
	elements := strings.Split(path, "/")
	for i, element := range elements {
		name, _, named := strings.Cut(element, "=")
		if !named {
			name, _, named = strings.Cut(strings.ToLower(element), "%3d")
		}
		_, bare := elementValue(element, "")
		switch {
		case named:
			elements[i] = name + "=" + masked
		case bare && i < len(elements)-1:
			elements[i] = masked
		}
	}
	return strings.Join(elements, "/")
}

// Interface guards
var (
	_ logging.LogFieldFilter = (*LogFilter)(nil)
	_ caddyfile.Unmarshaler  = (*LogFilter)(nil)
)
