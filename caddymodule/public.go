package caddymodule

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-drm/caddy-drm/address"
)

// publicScheme returns the scheme that the player used. A proxy that ends TLS in front of us says so in
// X-Forwarded-Proto, which is believed only from a trusted proxy.
func (q *request) publicScheme() string {
	if q.r.TLS != nil {
		return "https"
	}
	if trusted, _ := caddyhttp.GetVar(q.r.Context(), caddyhttp.TrustedProxyVarKey).(bool); trusted &&
		strings.EqualFold(q.r.Header.Get("X-Forwarded-Proto"), "https") {
		return "https"
	}
	return "http"
}

// publicPrefix returns the escaped path that a handler such as handle_path took off in front of the path that we see, as the player spells
// it. It is empty if the path was rewritten beyond that; url says what players should use then.
func publicPrefix(r *http.Request) string {
	original, ok := r.Context().Value(caddyhttp.OriginalRequestCtxKey).(http.Request)
	if !ok || original.URL == nil {
		return ""
	}
	prefix, _ := prefixOf(original.URL, r.URL)
	return prefix
}

// prefixOf returns the escaped path that was taken off in front of a path. It is not ok if somebody may read that as another path: empty or dot
// elements for instance, which Caddy cleans before it takes a prefix off. The prefix names the tenant and stands in redirects, so that who
// asks must not choose it. Escapes of letters and letter case are accepted; tenantOfPrefix makes one name of them.
func prefixOf(original, seen *url.URL) (prefix string, ok bool) {
	prefix, ok = strings.CutSuffix(original.EscapedPath(), seen.EscapedPath())
	if !ok {
		clean := caddyhttp.CleanPath(original.Path, true)
		if !strings.HasSuffix(clean, seen.Path) {
			return "", true
		}
		// A handler that writes the path anew, with {path} for instance, forgets how the player spells it.
		if clean != original.Path || strings.Contains(strings.ToLower(original.RawPath), "%2f") {
			return "", false
		}
		prefix = (&url.URL{Path: strings.TrimSuffix(clean, seen.Path)}).EscapedPath()
	}
	if prefix != "" && !address.IsCanonical(prefix+"/") {
		return "", false
	}
	return prefix, true
}

// isRespelled reports whether prefixOf is not ok for the part of the path that was taken off in front of ours.
func isRespelled(r *http.Request) bool {
	original, ok := r.Context().Value(caddyhttp.OriginalRequestCtxKey).(http.Request)
	if !ok || original.URL == nil {
		return false
	}
	_, ok = prefixOf(original.URL, r.URL)
	return !ok
}

// publicPath returns the clean path as the player sees it, decoded.
func (q *request) publicPath() string {
	prefix := publicPrefix(q.r)
	if decoded, err := url.PathUnescape(prefix); err == nil {
		prefix = decoded
	}
	return prefix + string(q.addr.Path)
}

// publicBase returns the URL at which the player sees the root of our path space.
func (q *request) publicBase() *url.URL {
	return &url.URL{Scheme: q.publicScheme(), Host: q.r.Host, Path: publicPrefix(q.r) + "/"}
}

// ownOrigins lists the absolute URLs that mean this site: as players see it, and as the operator listed.
func (q *request) ownOrigins() []*url.URL {
	return append([]*url.URL{q.publicBase()}, q.origins...)
}

// licenseURL returns the absolute URL of an endpoint below the directory of the asset. It is the same for every manifest
// of a session, so that players keep the keys they have.
func (q *request) licenseURL(asset address.Path, session []string, endpoint ...string) string {
	session, query := address.SessionToQuery(q.sessionQuery(), session, "")
	elements := append(append([]string{address.EndpointElement}, session...), endpoint...)
	path := publicPrefix(q.r) + asset.Escaped() + strings.Join(elements, "/")
	elsewhere := !strings.Contains(q.License.URL, licensePathPlaceholder)
	if q.License.URL == "" || elsewhere && isProxied(endpoint) {
		return withQuery(q.publicScheme()+"://"+q.r.Host+path, query)
	}
	if elsewhere {
		query = "" // the session is nothing for others
	}
	repl, ok := q.r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer)
	if !ok {
		repl = caddy.NewReplacer()
	}
	repl.Set("http.drm.license_path", path)
	return withQuery(repl.ReplaceAll(q.License.URL, ""), query)
}

// manifestsURL returns the absolute URL of the directory of the request in a session, to which the name of a manifest is to be added.
// Sites whose sessions go by query read them from the path as well.
func (q *request) manifestsURL(session []string) string {
	elements := append(append([]string{}, session...), "")
	return q.publicScheme() + "://" + q.r.Host + publicPrefix(q.r) + q.addr.Path.Dir().Escaped() + strings.Join(elements, "/")
}

const licensePathPlaceholder = "{http.drm.license_path}"

// withQuery adds a parameter to a URL that may have a query.
func withQuery(target, parameter string) string {
	switch {
	case parameter == "":
		return target
	case strings.Contains(target, "?"):
		return target + "&" + parameter
	default:
		return target + "?" + parameter
	}
}
