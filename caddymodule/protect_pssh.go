package caddymodule

import (
	"context"
	"encoding/binary"
	"fmt"
	"strings"
	"time"

	"github.com/caddy-drm/caddy-drm/drm"
	"github.com/caddy-drm/caddy-drm/keysource"
)

// psshFreshness is how long the boxes of an init segment are given out before they are made again: a key server may say something else.
const psshFreshness = time.Minute

// initPssh returns the boxes of an init segment: the common one lists all keys of the title, so that a player which asks for a license
// by the init of one track gets what the others need too. Those of systems are for the key of the track, as in manifests, and made
// once for all tracks that share it.
func (q *request) initPssh(ctx context.Context, asked keysource.Request, key drm.ContentKey, keys []drm.ContentKey) ([]byte, error) {
	group, _ := q.groupNamed(asked.Group)
	if !group.PsshInInit {
		return commonPssh(keys), nil
	}
	name := q.psshName(asked, keys)
	if boxes, ok := q.caches.psshs.Get(name); ok {
		return boxes, nil
	}
	boxes, err := q.appendSystemPssh(ctx, commonPssh(keys), group, asked, key)
	if err != nil {
		return nil, err
	}
	q.caches.psshs.SetWithTTL(name, boxes, 1, psshFreshness)
	return boxes, nil
}

// psshName names the boxes of a title in one crypto period for one class of track. The handler stands for its groups.
func (q *request) psshName(asked keysource.Request, keys []drm.ContentKey) string {
	var b strings.Builder
	for _, field := range []string{q.handler, asked.Tenant, asked.Group, asked.Asset} {
		b.WriteString(field)
		b.WriteByte(0)
	}
	var numbers [10]byte
	binary.BigEndian.PutUint32(numbers[:], asked.Period)
	binary.BigEndian.PutUint32(numbers[4:], asked.Generation)
	numbers[8], numbers[9] = byte(asked.Scheme), byte(asked.Class)
	b.Write(numbers[:])
	for _, key := range keys {
		kid := key.KID()
		b.Write(kid[:])
	}
	return b.String()
}

// appendSystemPssh appends the boxes of the group's systems: those of the key server, where it sends any, or our own.
func (q *request) appendSystemPssh(ctx context.Context, boxes []byte, group drm.Group, asked keysource.Request, key drm.ContentKey) ([]byte, error) {
	t := keyedTrack{
		track: track{p: &titleProtector{q: q, group: inPeriods(group, asked.Scheme, asked.Period > 0)}}, title: asked.Title, key: key,
	}
	var err error
	if t.told, _, err = q.sourceOf(asked.Group).Signals(ctx, asked); err != nil {
		return nil, fmt.Errorf("asking what is to be signaled: %w", err)
	}
	for _, system := range group.SignaledSystems() {
		s := signal{system: system}
		switch system {
		case drm.SystemWidevine:
			s.pssh = drm.AppendWidevinePssh(nil, t.widevineInit())
		case drm.SystemPlayReady:
			// License URLs may be of one session, and an init segment is for all.
			if _, s.pssh, err = t.playReady(""); err != nil {
				return nil, err
			}
		}
		t.hear(&s)
		boxes = append(boxes, s.pssh...)
	}
	return boxes, nil
}
