package caddymodule

import (
	"fmt"
	"net/url"

	"github.com/caddy-drm/caddy-drm/address"
	"github.com/caddy-drm/caddy-drm/drm"
	"github.com/caddy-drm/caddy-drm/manifest/dash"
	"github.com/caddy-drm/caddy-drm/manifest/hls"
)

// serveMPD answers for a DASH manifest.
func (q *request) serveMPD() error {
	p, err := q.newTitleProtector()
	if err != nil {
		return err
	}
	return q.serveManifest("application/dash+xml", func(clear []byte) ([]byte, error) {
		return dash.Rewrite(q.r.Context(), clear, dash.Options{
			Base: address.NewBase(q.addr.Path, q.ownOrigins()), From: q.r.URL.EscapedPath(), Protector: dashProtector{p},
		})
	})
}

// servePlaylist answers for a multivariant or a media playlist.
func (q *request) servePlaylist() error {
	p, err := q.newTitleProtector()
	if err != nil {
		return err
	}
	if err := p.chooseKeyFormats(); err != nil {
		return err
	}
	query := q.r.URL.Query()
	return q.serveManifest("application/vnd.apple.mpegurl", func(clear []byte) ([]byte, error) {
		return hls.Rewrite(q.r.Context(), clear, hls.Options{
			Base: address.NewBase(q.addr.Path, q.ownOrigins()), From: q.r.URL.EscapedPath(), Protector: hlsProtector{p},
			Query: func(name string) (string, bool) { return query.Get(name), query.Has(name) },
		})
	})
}

// serveManifest fetches a manifest, rewrites it and sends the result. Its ETag is a digest of the result, which depends on
// the init segments too, and on the viewer's session.
func (q *request) serveManifest(contentType string, rewrite func(clear []byte) ([]byte, error)) error {
	clear, err := q.origin.fetch(q.addr.Path, q.originQuery(), q.MaxManifestSize)
	if err != nil {
		return fmt.Errorf("reading the manifest: %w", err)
	}
	defer clear.release()
	body, err := rewrite(clear.body)
	if err != nil {
		return fmt.Errorf("rewriting the manifest: %w", err)
	}
	if q.Token != nil && q.Token.Session == sessionInCookie {
		q.w.Header().Add("Vary", "Cookie")
	}
	if q.seal.Scheme == 0 && !q.fixedScheme() {
		q.w.Header().Add("Vary", "User-Agent")
	}
	return q.write(representation{contentType: contentType, cacheControl: cacheManifest, etag: etagOf([]byte("manifest"), body), body: body})
}

func (q *request) fixedScheme() bool { return q.Scheme != schemeAuto }

// originQuery returns the query of a manifest without what is ours, access tokens before all. An untouched query keeps
// its spelling.
func (q *request) originQuery() string {
	raw := q.r.URL.RawQuery
	query, err := url.ParseQuery(raw)
	if err != nil {
		return ""
	}
	// A delta update would leave out the lines that our keys stand in front of.
	ours := []string{querySchemeName, queryKeyFormatName, "_HLS_skip"}
	if q.Token != nil {
		for _, place := range q.Token.From {
			if place.In == tokenInQuery {
				ours = append(ours, place.Name)
			}
		}
	}
	before := len(query)
	for _, name := range ours {
		query.Del(name)
	}
	if len(query) == before {
		return raw
	}
	return query.Encode()
}

// chooseKeyFormats settles the HLS key formats: as the parent playlist's seal says, as the player asks, as the operator
// configured, or what the players of the chosen scheme cope with.
func (p *titleProtector) chooseKeyFormats() error {
	if sealed := hls.KeyFormats(p.q.seal.KeyFormats); sealed.Valid() {
		p.keyFormats = sealed
		return nil
	}
	if asked := p.q.r.URL.Query().Get(queryKeyFormatName); asked != "" {
		formats, err := parseKeyFormatWords([]string{asked})
		if err != nil {
			return errQuery
		}
		p.keyFormats = formats
		return nil
	}
	switch {
	case p.q.keyFormats.Valid():
		p.keyFormats = p.q.keyFormats
	case p.title.Scheme == drm.SchemeCbcs:
		p.keyFormats = hls.FormatClearKey // hls.js takes identity for whole-segment keys as soon as it is there
	default:
		p.keyFormats = hls.FormatIdentity | hls.FormatClearKey
	}
	return nil
}

// keyFormatWords are the words of the configuration and of the query.
var keyFormatWords = map[string]hls.KeyFormats{
	"identity": hls.FormatIdentity,
	"clearkey": hls.FormatClearKey,
}

func parseKeyFormatWords(words []string) (hls.KeyFormats, error) {
	var set hls.KeyFormats
	for _, word := range words {
		format, ok := keyFormatWords[word]
		if !ok || set.Has(format) {
			return 0, fmt.Errorf("key format %q: want identity or clearkey, each once", word)
		}
		set |= format
	}
	return set, nil
}
