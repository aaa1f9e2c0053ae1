package hls

import (
	"context"
	"slices"
)

// SessionKeyProtector is a Protector that announces the keys of a title in its multivariant playlist, so that players ask
// for licenses while they still load media playlists.
type SessionKeyProtector interface {
	Protector
	// SessionKeys returns the EXT-X-SESSION-KEY lines of the title: for each KEYFORMAT, one for each distinct URI in its media
	// playlists, and of keys that rotate those in use now. It is called once, for the first variant.
	SessionKeys(ctx context.Context) ([]Key, error)
}

// announceSession writes the keys of the title in front of the first variant. Where those of the origin stay, its media does
// too, and ours would be for nothing.
func (r *rewriter) announceSession() error {
	m := &r.multivariant
	protector, ok := r.o.Protector.(SessionKeyProtector)
	if m.announced || !ok || r.passesKeys() && r.info.sessionKeyed {
		return nil
	}
	m.announced = true
	keys, err := protector.SessionKeys(r.ctx)
	if err != nil {
		return r.refused(err)
	}
	for i, k := range keys {
		twice := func(other Key) bool { return k.sameFormat(other) && k.URI == other.URI }
		if slices.ContainsFunc(keys[:i], twice) {
			return r.refused(errKey) // 8216bis, 4.4.6.5
		}
		if r.out, err = k.appendLine(r.out, tagSessionKey); err != nil {
			return r.refused(err)
		}
		r.out = append(r.out, r.eol...)
		r.version.required = max(r.version.required, k.version())
	}
	return nil
}
