package caddymodule

import (
	"bytes"
	"fmt"

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
	q.app.holds.adopt(body, claim)
	return q.writeHeld(representation{contentType: contentType, cacheControl: q.mediaCacheControl(0), etag: etagOf([]byte("sidecar"), body), body: body})
}

// sidecarTypes are the resources that may leave as they are, by extension, with what they must begin with.
var sidecarTypes = map[string]struct {
	contentType string
	prefixes    []string
}{
	".vtt":    {"text/vtt; charset=utf-8", []string{"WEBVTT", "\xef\xbb\xbfWEBVTT"}},
	".webvtt": {"text/vtt; charset=utf-8", []string{"WEBVTT", "\xef\xbb\xbfWEBVTT"}},
	".ttml":   {"application/ttml+xml", []string{"<?xml", "<tt", "\xef\xbb\xbf<"}},
	".dfxp":   {"application/ttml+xml", []string{"<?xml", "<tt", "\xef\xbb\xbf<"}},
	".jpg":    {"image/jpeg", []string{"\xff\xd8\xff"}},
	".jpeg":   {"image/jpeg", []string{"\xff\xd8\xff"}},
	".png":    {"image/png", []string{"\x89PNG\r\n\x1a\n"}},
	".webp":   {"image/webp", []string{"RIFF"}},
}

func isSidecarName(ext string) bool {
	_, ok := sidecarTypes[ext]
	return ok
}

func sidecarType(ext string, body []byte) (string, bool) {
	known, ok := sidecarTypes[ext]
	if !ok {
		return "", false
	}
	if ext == ".webp" && (len(body) < 12 || string(body[8:12]) != "WEBP") {
		return "", false // RIFF holds sound and video too
	}
	for _, prefix := range known.prefixes {
		if bytes.HasPrefix(body, []byte(prefix)) {
			return known.contentType, true
		}
	}
	return "", false
}
