package caddymodule

import (
	"context"
	"errors"
	"fmt"

	"github.com/caddy-drm/caddy-drm/address"
	"github.com/caddy-drm/caddy-drm/drm"
	"github.com/caddy-drm/caddy-drm/keysource"
	"github.com/caddy-drm/caddy-drm/segcrypt"
)

// media is what a media seal stands for: the key of its track, and the init segment if the track has one.
type media struct {
	key       drm.ContentKey      // zero for what passes
	init      *segcrypt.Init      // nil for transport streams, packed audio and text that are encrypted without one
	protector *segcrypt.Protector // nil where samples are not encrypted: without init, with segments encrypted whole, and for what passes
}

// serveMedia answers for an init or a media segment whose seal fits its path.
func (q *request) serveMedia() error {
	if err := q.checkNumber(); err != nil {
		return err
	}
	if err := q.checkMediaKey(); err != nil {
		return err
	}
	if err := q.checkGroup(); err != nil {
		return err
	}
	if err := q.checkLevel(); err != nil {
		return err
	}
	if err := q.checkLicense(); err != nil {
		return err
	}
	if !q.wantsInit() && q.app.segments.Enabled() && q.ungranted == nil { // the cache does not tell the lead from the rest
		return q.serveCached()
	}
	m, err := q.openMedia(q.r.Context())
	if err != nil {
		return err
	}
	if q.wantsInit() {
		return q.serveInit(m)
	}
	return q.produce(m, &clientReceiver{q: q})
}

// checkNumber refuses a number where no index gives it a meaning, and a single file without one.
func (q *request) checkNumber() error {
	if q.seal.Index.IsZero() == (q.addr.Number == 0) || q.addr.Path == q.seal.Init && q.addr.Number == 0 {
		return nil
	}
	return errNotOurs
}

// wantsInit reports whether the address is that of the init segment. In a single file it has the path of the segments.
func (q *request) wantsInit() bool {
	return q.addr.Path == q.seal.Init && q.addr.Number == 0 && (q.seal.Range == q.seal.InitRange || !q.seal.Index.IsZero())
}

// openMedia selects the key and reads the init segment that the seal names.
func (q *request) openMedia(ctx context.Context) (*media, error) {
	m := new(media)
	var err error
	if q.seal.Init != "" {
		init := address.Resource{Path: q.seal.Init, Range: q.seal.InitRange}
		if m.init, err = q.sealedInit(ctx, q.origin, init, q.seal.InitDigest); err != nil {
			return nil, fmt.Errorf("reading the init segment: %w", err)
		}
		if m.init.Protected() != q.seal.Passes { // its digest was sealed, and so it cannot be; nothing is worse than the wrong one of two
			return nil, errInitReplaced
		}
	}
	if q.seal.Passes {
		return m, nil
	}
	title := q.sealedTitle()
	if m.key, err = q.sourceOf(title.Group).ContentKey(ctx, keysource.Request{Title: title, Class: q.seal.Class}); err != nil {
		return nil, fmt.Errorf("selecting the content key: %w", err)
	}
	if q.keyDigest(m.key) != q.seal.KeyDigest {
		return nil, errKeyReplaced
	}
	if m.init != nil && title.Scheme.Common() {
		m.protector, err = q.protectorFor(ctx, m.init, keysource.Request{Title: title, Class: q.seal.Class}, m.key, q.seal.ClearUntil)
	}
	return m, err
}

// serveInit answers with the protected init segment; that of segments which are encrypted whole has nothing to protect.
func (q *request) serveInit(m *media) error {
	rep := representation{contentType: mediaType(m.init), cacheControl: q.mediaCacheControl(0)}
	switch {
	case q.seal.Passes:
		rep.body = m.init.PassInit()
	case m.protector != nil:
		rep.body = m.protector.Init()
	default:
		rep.body = m.init.Unprotected()
	}
	rep.etag = etagOf([]byte("init"), rep.body)
	return q.write(rep)
}

// segmentSource returns where the clear bytes of the segment lie.
func (q *request) segmentSource(ctx context.Context) (address.Resource, error) {
	from := address.Resource{Path: q.addr.Path, Range: q.seal.Range}
	if q.addr.Number == 0 {
		return from, nil
	}
	index, err := q.sealedIndex(ctx, q.origin, address.Resource{Path: q.addr.Path, Range: q.seal.Index}, q.seal.IndexDigest)
	if err != nil {
		return from, fmt.Errorf("reading the segment index: %w", err)
	}
	if q.addr.Number > uint64(len(index.Entries)) {
		return from, errNotOurs
	}
	entry := index.Entries[q.addr.Number-1]
	if err := q.checkPeriodAt(entry.Time); err != nil {
		return from, err
	}
	if from.Range, err = address.NewRange(entry.Offset, entry.Size); err != nil {
		return from, errIndex
	}
	return from, nil
}

var errIndex = errors.New("the segment index names a range that cannot be")

// protectorFor returns the Protector for an init under the content key of its track, with a clear lead as its seal says. Text tracks
// have a Protector too; it checks their segments and changes nothing.
func (q *request) protectorFor(
	ctx context.Context, init *segcrypt.Init, asked keysource.Request, key drm.ContentKey, clearUntil uint64,
) (*segcrypt.Protector, error) {
	keys, err := q.sourceOf(asked.Group).ContentKeys(ctx, asked.Title)
	if err != nil {
		return nil, fmt.Errorf("listing the content keys of the title: %w", err)
	}
	pssh, err := q.initPssh(ctx, asked, key, keys)
	if err != nil {
		return nil, fmt.Errorf("making pssh boxes: %w", err)
	}
	return q.protector(init, segcrypt.Protection{Scheme: asked.Scheme, Key: key, Pssh: pssh, IVSecret: q.ivSecret, ClearUntil: clearUntil})
}

// mediaType returns the Content-Type of a CMAF track or of a file with several.
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

// kindOf returns the kind of the most valuable track: video before audio before text.
func kindOf(init *segcrypt.Init) (kind segcrypt.TrackKind) {
	for _, track := range init.Tracks() {
		if kind == 0 || track.Kind < kind {
			kind = track.Kind
		}
	}
	return kind
}
