package keysource

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/caddy-drm/caddy-drm/drm"
)

// Title is what shares rights and, but for the track class, content keys.
type Title struct {
	// Tenant is the site that the title belongs to. It is never empty: keys of one tenant open nothing of another.
	Tenant string
	// Group is the DRM group whose policy holds for the title; it may be empty.
	Group string
	// Asset is the name of the asset, by default the directory of its manifest.
	Asset string
	// Scheme is the protection scheme. cenc and cbcs never share a key.
	Scheme drm.ProtectionScheme
	// Period is the index of the crypto period, 0 when the keys of the title do not rotate.
	Period uint32
	// Generation counts emergency re-keys, from 0.
	Generation uint32
}

// Request asks for the key of one track class of a title.
type Request struct {
	Title
	Class drm.TrackClass
}

// Source resolves content keys. Implementations are safe for concurrent use, may block on a network, and observe ctx.
//
// They return ErrUnknownKey for what they have no key for, and any other error when they cannot tell.
type Source interface {
	// ContentKey returns the key that protects the tracks of r.Class in r.Title.
	ContentKey(ctx context.Context, r Request) (drm.ContentKey, error)
	// ContentKeys returns every key that a license for t may hold, in a stable order, without duplicates.
	ContentKeys(ctx context.Context, t Title) ([]drm.ContentKey, error)
	// Split reports whether a title has one key per track class. If not, every Request names drm.ClassShared.
	Split() bool
}

// ClassFor returns the class to ask src for when a track is of class c: c itself, or drm.ClassShared when a title of src
// has one key.
func ClassFor(src Source, c drm.TrackClass) drm.TrackClass {
	if src.Split() {
		return c
	}
	return drm.ClassShared
}

// classesOf lists the classes that a source is asked for.
func classesOf(split bool) []drm.TrackClass {
	if split {
		return drm.SplitClasses[:]
	}
	return []drm.TrackClass{drm.ClassShared}
}

var (
	errNoTenant = errors.New("tenant is empty")
	errNoAsset  = errors.New("asset is empty")
)

// check refuses titles that would make two different things share a key.
func (t Title) check() error {
	switch {
	case t.Tenant == "":
		return errNoTenant
	case t.Asset == "":
		return errNoAsset
	case !t.Scheme.Valid():
		return fmt.Errorf("protection scheme %d is not known", uint8(t.Scheme))
	}
	return nil
}

// check refuses requests whose class does not fit a source that is split or not.
func (r Request) check(split bool) error {
	if err := r.Title.check(); err != nil {
		return err
	}
	if !r.Class.Valid() || split == (r.Class == drm.ClassShared) {
		return fmt.Errorf("track class %s does not fit a source with split=%t", r.Class, split)
	}
	return nil
}

// appendTitle appends t as length-prefixed fields, so that no two titles have the same bytes.
func appendTitle(dst []byte, t Title) []byte {
	dst = appendField(dst, t.Tenant)
	dst = appendField(dst, t.Group)
	dst = appendField(dst, t.Asset)
	dst = appendField(dst, t.Scheme.String())
	dst = binary.BigEndian.AppendUint32(dst, t.Period)
	return binary.BigEndian.AppendUint32(dst, t.Generation)
}

// appendField appends the length of field, 4 bytes, and field.
func appendField(dst []byte, field string) []byte {
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(field)))
	return append(dst, field...)
}
