package caddymodule

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"

	"github.com/caddy-drm/caddy-drm/address"
)

// serveSidecar answers for a resource without samples. It passes only if its first bytes say that it is text or a
// picture: whatever else lies under such a name might be media.
func (q *request) serveSidecar() error {
	claim := q.app.claim(q.r.Context())
	defer claim.release()
	// Nothing that is sent lies in the memory of clear media, so it is there twice.
	clear, err := q.origin.fetch(address.Resource{Path: q.addr.Path}, fetchOptions{limit: q.MaxManifestSize, reserve: claim.textual(2)})
	if err != nil {
		return fmt.Errorf("reading the sidecar: %w", err)
	}
	defer clear.release()
	contentType, ok := sidecarType(q.addr.Path.Ext(), clear.body)
	if !ok {
		return errSidecar
	}
	body := bytes.Clone(clear.body)
	clear.release()
	return q.writeHeld(representation{contentType: contentType, cacheControl: q.mediaCacheControl(0), etag: etagOf([]byte("sidecar"), body), body: body}, claim)
}

// sidecarTypes are the resources that may leave as they are, by extension, with what they must begin with. What else they must be
// says form, if that is not nil; those that are only for sealed cannot be listed to be had without.
var sidecarTypes = map[string]struct {
	contentType string
	prefixes    []string
	form        *regexp.Regexp
	sealed      bool
}{
	".vtt":    {contentType: "text/vtt; charset=utf-8", prefixes: []string{"WEBVTT", "\xef\xbb\xbfWEBVTT"}},
	".webvtt": {contentType: "text/vtt; charset=utf-8", prefixes: []string{"WEBVTT", "\xef\xbb\xbfWEBVTT"}},
	".ttml":   {contentType: "application/ttml+xml", prefixes: []string{"<?xml", "<tt", "\xef\xbb\xbf<"}},
	".dfxp":   {contentType: "application/ttml+xml", prefixes: []string{"<?xml", "<tt", "\xef\xbb\xbf<"}},
	".xml":    {contentType: "application/ttml+xml", prefixes: []string{"<?xml", "<tt", "\xef\xbb\xbf<"}, form: ttmlRoot, sealed: true},
	".srt":    {contentType: "application/x-subrip", prefixes: []string{""}, form: subRipCue},
	".jpg":    {contentType: "image/jpeg", prefixes: []string{"\xff\xd8\xff"}},
	".jpeg":   {contentType: "image/jpeg", prefixes: []string{"\xff\xd8\xff"}},
	".png":    {contentType: "image/png", prefixes: []string{"\x89PNG\r\n\x1a\n"}},
	".webp":   {contentType: "image/webp", prefixes: []string{"RIFF"}},
}

// What tells TTML from other XML, by its first element (TTML2, 8.1.1), and SubRip from other text, by its first cue.
var (
	ttmlRoot  = regexp.MustCompile(`^[^<]*(?:<[?!][^>]*>[^<]*){0,16}<(?:[A-Za-z_][\w.-]{0,40}:)?tt[\s>]`)
	subRipCue = regexp.MustCompile(`^(?:\x{feff})?\s{0,16}\d{1,9}[ \t]*\r?\n\d{1,3}:\d\d:\d\d[,.]\d{3} --> \d{1,3}:\d\d:\d\d[,.]\d{3}`)
)

func isSidecarName(ext string) bool {
	_, ok := sidecarTypes[ext]
	return ok
}

func isPictureName(ext string) bool {
	return strings.HasPrefix(sidecarTypes[ext].contentType, "image/")
}

// mayBeListed reports whether resources of an extension may be had without a seal.
func mayBeListed(ext string) bool { return isSidecarName(ext) && !sidecarTypes[ext].sealed }

func sidecarType(ext string, body []byte) (string, bool) {
	known, ok := sidecarTypes[ext]
	if !ok {
		return "", false
	}
	if ext == ".webp" && (len(body) < 12 || string(body[8:12]) != "WEBP") {
		return "", false // RIFF holds sound and video too
	}
	if known.form != nil && !known.form.Match(body[:min(len(body), 4096)]) {
		return "", false
	}
	for _, prefix := range known.prefixes {
		if bytes.HasPrefix(body, []byte(prefix)) {
			return known.contentType, true
		}
	}
	return "", false
}
