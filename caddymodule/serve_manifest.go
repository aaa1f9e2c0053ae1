package caddymodule

import (
	"fmt"
	"net/url"
	"slices"
	"strings"

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
	if !p.title.Scheme.Common() {
		return errSchemeOfHLS
	}
	return q.serveManifest("application/dash+xml", p, isLiveMPD, func(q *request, p *titleProtector, clear []byte) ([]byte, error) {
		isLive := func() bool { return q.isLiveHere(clear) }
		return p.withLiveRotation(isLive, func(p *titleProtector) ([]byte, error) { return p.rewriteMPD(clear) })
	})
}

// rewriteMPD rewrites an MPD.
func (p *titleProtector) rewriteMPD(clear []byte) ([]byte, error) {
	q := p.q
	rotation, window, err := p.dashRotation(clear)
	if err != nil {
		return nil, err
	}
	options := dash.Options{
		Base: address.NewBase(q.addr.Path, q.ownOrigins()), From: q.from(), Protector: dashProtector{p, window},
		PassProtected: q.passesProtected(), ReplaceProtection: q.replacesProtection(), Rotation: rotation,
		ClearLead: p.dashClearLead(), SessionQuery: q.sessionQuery(), Session: sessionText(p.session),
	}
	if rotation.Replaced != nil {
		return p.rewriteReplaced(clear, options)
	}
	return dash.Rewrite(q.r.Context(), clear, options)
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
	query, err := q.playlistQuery()
	if err != nil {
		return err
	}
	return q.serveManifest("application/vnd.apple.mpegurl", p, isLivePlaylist, func(q *request, p *titleProtector, clear []byte) ([]byte, error) {
		isLive := func() bool { return p.listsLiveCMAF(clear) }
		return p.withLiveRotation(isLive, func(p *titleProtector) ([]byte, error) { return p.rewritePlaylist(clear, query) })
	})
}

// playlistQuery returns what a playlist may import of the query that it is asked for with: tokens and what is ours are nothing for it.
func (q *request) playlistQuery() (url.Values, error) {
	query, err := url.ParseQuery(q.originQuery())
	if err != nil {
		return nil, errQuery
	}
	return query, nil
}

// rewritePlaylist rewrites a playlist that was asked for with a query.
func (p *titleProtector) rewritePlaylist(clear []byte, query url.Values) ([]byte, error) {
	q := p.q
	if p.group.Rotate > 0 && isLivePlaylist(clear) {
		q.prefetchKeys(p.group, p.title)
	}
	return hls.Rewrite(q.r.Context(), clear, hls.Options{
		Base: address.NewBase(q.addr.Path, q.ownOrigins()), From: q.from(), Protector: hlsProtector{p},
		PassProtected: q.passesProtected(), ReplaceProtection: q.replacesProtection(), Rotation: p.hlsRotation(clear), ClearLead: p.group.ClearLead,
		Query:        func(name string) (string, bool) { return query.Get(name), query.Has(name) },
		SessionQuery: q.sessionQuery(),
	})
}

// rewriting is how many times the bytes of a manifest are held while it is rewritten: as it came, as it leaves, and what is known of it.
const rewriting = 4

// serveManifest fetches a manifest, rewrites it and sends the result. Its ETag is a digest of the result, which depends on
// the init segments too, and on the viewer's session.
func (q *request) serveManifest(
	contentType string, p *titleProtector, isLive func(clear []byte) bool, rewrite rewriteFunc,
) error {
	claim := q.app.claim(q.r.Context())
	defer claim.release()
	clear, err := q.origin.fetch(address.Resource{Path: q.addr.Path}, fetchOptions{
		query: q.originQuery(), limit: q.MaxManifestSize, reserve: claim.textual(rewriting),
	})
	if err != nil {
		return fmt.Errorf("reading the manifest: %w", err)
	}
	defer clear.release()
	if (q.startsSession() || q.movesSession()) && isLive(clear.body) {
		q.redirectToSession(p.session)
		return nil
	}
	body, err := q.rewriteOnce(p, clear, claim, rewrite)
	if err != nil {
		return fmt.Errorf("rewriting the manifest: %w", err)
	}
	if q.Token != nil && q.Token.Session == sessionInCookie {
		q.w.Header().Add("Vary", "Cookie")
	}
	if q.seal.Scheme == 0 && !p.group.Scheme.Valid() {
		q.w.Header().Add("Vary", "User-Agent")
	}
	if p.oneKey {
		q.w.Header().Set(headerNotice, noticeOneKey)
	}
	q.setLicenseLinks()
	return q.writeHeld(representation{contentType: contentType, cacheControl: cacheManifest, etag: etagOf([]byte("manifest"), body), body: body}, claim)
}

func isLiveMPD(clear []byte) bool {
	info, err := dash.Inspect(clear)
	return err == nil && info.Live
}

// isLivePlaylist says no for a multivariant playlist: it is fetched once, and its children carry the session.
func isLivePlaylist(clear []byte) bool {
	info, err := hls.Inspect(clear)
	return err == nil && info.Kind == hls.KindMedia && info.Live
}

// originQuery returns the query of a manifest for the origin, without what is ours.
func (q *request) originQuery() string {
	// A delta update would leave out the lines that our keys stand in front of.
	return q.queryWithout(append(q.credentialQueries(), querySchemeName, queryKeyFormatName, "_HLS_skip"))
}

func (q *request) queryWithoutTokens() string { return q.queryWithout(q.credentialQueries()) }

// credentialQueries lists the parameters that may hold an access token or a session.
func (q *request) credentialQueries() []string {
	names := q.tokenQueries()
	if name := q.sessionQuery(); name != "" {
		names = append(names, name)
	}
	return names
}

// queryWithout returns the query without the named parameters.
func (q *request) queryWithout(names []string) string {
	return withoutParameters(q.r.URL.RawQuery, names)
}

// withoutParameters returns a query without the named parameters. The others keep their order and spelling, which what was signed may
// hold.
func withoutParameters(raw string, names []string) string {
	if raw == "" {
		return ""
	}
	kept := make([]string, 0, 8)
	for pair := range strings.SplitSeq(raw, "&") {
		name, _, _ := strings.Cut(pair, "=")
		decoded, err := url.QueryUnescape(name)
		if err != nil || strings.Contains(pair, ";") { // url.ParseQuery refuses the query for it
			return ""
		}
		if !slices.Contains(names, decoded) {
			kept = append(kept, pair)
		}
	}
	return strings.Join(kept, "&")
}

// tokenQueries lists the parameters that may hold an access token.
func (q *request) tokenQueries() []string {
	if q.Token == nil {
		return nil
	}
	return slices.Clip(q.Token.queries)
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
