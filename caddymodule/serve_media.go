package caddymodule

import (
	"bytes"
	"context"
	"fmt"

	"github.com/caddy-drm/caddy-drm/drm"
	"github.com/caddy-drm/caddy-drm/keysource"
	"github.com/caddy-drm/caddy-drm/segcrypt"
)

// serveMedia answers for an init or a media segment whose seal fits its path.
func (q *request) serveMedia() error {
	ctx := q.r.Context()
	init, err := q.sealedInit(ctx, q.origin, q.seal.Init, q.seal.InitDigest)
	if err != nil {
		return fmt.Errorf("reading the init segment: %w", err)
	}
	title := q.titleOf(q.seal.Asset, q.seal.Group, q.seal.Scheme)
	key, err := q.source.ContentKey(ctx, keysource.Request{Title: title, Class: q.seal.Class})
	if err != nil {
		return fmt.Errorf("selecting the content key: %w", err)
	}
	if q.keyDigest(key) != q.seal.KeyDigest {
		return errKeyReplaced
	}
	protector, err := q.protectorFor(ctx, init, title, key)
	if err != nil {
		return err
	}
	rep := representation{contentType: mediaType(init), cacheControl: cachePrivateMedia}
	if q.addr.Path == q.seal.Init {
		rep.body = protector.Init()
		rep.etag = etagOf([]byte("init"), rep.body)
		return q.write(rep)
	}
	return q.serveSegment(protector, rep)
}

// serveSegment fetches the clear segment, protects it and sends it. Memory that held clear bytes never holds protected
// ones: each kind has a pool of its own.
func (q *request) serveSegment(protector *segcrypt.Protector, rep representation) error {
	clear, err := q.origin.fetch(q.addr.Path, "", q.MaxSegmentSize)
	if err != nil {
		return fmt.Errorf("reading the segment: %w", err)
	}
	out := protectedBuffers.get()
	defer func() { protectedBuffers.put(out) }()
	protected, err := protector.ProtectSegment(out.b, clear.body)
	clear.release() // a slow client holds one copy, not two
	if err != nil {
		return fmt.Errorf("protecting the segment: %w", err)
	}
	out.b = protected
	rep.body = protected
	if etag := strongETag(clear.header); etag != "" {
		rep.etag = etagOf([]byte("segment"), []byte(etag), []byte(q.addr.Seal), []byte(q.addr.Path), []byte{segcrypt.LayoutVersion})
	} else {
		rep.etag = etagOf([]byte("bytes"), protected)
	}
	return q.write(rep)
}

// protectorFor returns the Protector for an init under the content key of its track. Text tracks have a Protector too; it
// checks their segments and changes nothing.
func (q *request) protectorFor(
	ctx context.Context, init *segcrypt.Init, title keysource.Title, key drm.ContentKey,
) (*segcrypt.Protector, error) {
	keys, err := q.source.ContentKeys(ctx, title)
	if err != nil {
		return nil, fmt.Errorf("listing the content keys of the title: %w", err)
	}
	return q.protector(init, segcrypt.Protection{Scheme: title.Scheme, Key: key, Pssh: commonPssh(keys), IVSecret: q.ivSecret})
}

// mediaType returns the Content-Type of a CMAF track.
func mediaType(init *segcrypt.Init) string {
	switch kindOf(init) {
	case segcrypt.KindVideo:
		return "video/mp4"
	case segcrypt.KindAudio:
		return "audio/mp4"
	default:
		return "application/mp4"
	}
}

func kindOf(init *segcrypt.Init) segcrypt.TrackKind {
	tracks := init.Tracks()
	if len(tracks) == 0 {
		return 0
	}
	return tracks[0].Kind
}

// serveSidecar answers for a resource without samples. It passes only if its first bytes say that it is text or a
// picture: whatever else lies under such a name might be media.
func (q *request) serveSidecar() error {
	clear, err := q.origin.fetch(q.addr.Path, "", q.MaxManifestSize)
	if err != nil {
		return fmt.Errorf("reading the sidecar: %w", err)
	}
	defer clear.release()
	contentType, ok := sidecarType(q.addr.Path.Ext(), clear.body)
	if !ok {
		return errSidecar
	}
	body := bytes.Clone(clear.body) // nothing that is sent lies in the memory of clear media
	return q.write(representation{contentType: contentType, cacheControl: cachePrivateMedia, etag: etagOf([]byte("sidecar"), body), body: body})
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
