package cpix

import (
	"crypto/x509"
	"time"

	"github.com/caddy-drm/caddy-drm/drm"
	"github.com/caddy-drm/caddy-drm/keysource"
)

// Document is a CPIX document. Requests to key servers are documents, too, whose keys have no value yet.
type Document struct {
	// ID, ContentID and Name are the attributes of the root. SPEKE 1 names the content by ID, all others by ContentID.
	ID, ContentID, Name string
	// Version is "2.3", "2.4" or another 2.x; it may be missing.
	Version string
	// Recipients are those to whom the keys are encrypted, or are to be encrypted in the answer.
	Recipients []*x509.Certificate
	Keys       []Key
	Systems    []System
	Periods    []Period
	Rules      []Rule
}

// Key is a ContentKey element.
type Key struct {
	KID drm.KID
	// Content is the key itself, zero in a request. Its constant IV is ExplicitIV, or that of keysource.ConstantIV.
	Content drm.ContentKey
	// ExplicitIV is 16 bytes, or nil.
	ExplicitIV []byte
	// Scheme is the scheme that the key is for, zero if the document does not say.
	Scheme drm.ProtectionScheme
}

// System is a DRMSystem element: what one DRM system is told of one key.
type System struct {
	keysource.Signal
	// Name is free text.
	Name string
	// Wants are the names of the elements that stood without content: what a request asks for.
	Wants []string
}

// Names of the elements of System, for Wants. There is an HLSSignalingData for each kind of playlist.
const (
	WantPssh              = "PSSH"
	WantContentProtection = "ContentProtectionData"
	WantHLSMultivariant   = elementHLSSignaling + " of multivariant playlists"
	WantHLSMedia          = elementHLSSignaling + " of media playlists"
	WantURIExtXKey        = "URIExtXKey"
	WantSmoothHeader      = "SmoothStreamingProtectionHeaderData"

	elementHLSSignaling = "HLSSignalingData"
)

// Period is a ContentKeyPeriod element.
type Period struct {
	// ID is how rules refer to it.
	ID string
	// Index is the index of the crypto period, where HasIndex. It is @index or, without, what start and length say, since crypto periods
	// count from 1970 or from the beginning of the content.
	Index    uint32
	HasIndex bool
	// Start and End are times of day, both zero if the document gives none.
	Start, End time.Time
	// StartOffset and EndOffset are presentation times, both zero if the document gives none.
	StartOffset, EndOffset time.Duration
}

// Rule is a ContentKeyUsageRule element: the tracks and crypto periods of a key. Filters of one kind are alternatives, those of
// different kinds all hold.
type Rule struct {
	KID drm.KID
	// TrackType is @intendedTrackType: what key servers and packagers agreed to call the tracks, such as "SD+HD1". It may be empty.
	TrackType string
	// Periods are IDs of crypto periods; none: all.
	Periods []string
	Video   []VideoFilter
	Audio   []AudioFilter
	// Unsupported names an element or attribute that narrows the rule in a way that cannot be evaluated here, or is empty.
	Unsupported string
}

// VideoFilter holds for pictures of MinPixels to MaxPixels, both inclusive. MaxPixels 0 is no limit.
type VideoFilter struct{ MinPixels, MaxPixels uint64 }

// AudioFilter holds for MinChannels to MaxChannels, both inclusive. MaxChannels 0 is no limit.
type AudioFilter struct{ MinChannels, MaxChannels uint32 }

// Key returns the key with that KID.
func (d *Document) Key(kid drm.KID) (Key, bool) {
	for _, k := range d.Keys {
		if k.KID == kid {
			return k, true
		}
	}
	return Key{}, false
}

// Signals returns what DRM systems are told of a key, in the order of the document.
func (d *Document) Signals(kid drm.KID) []keysource.Signal {
	var signals []keysource.Signal
	for _, s := range d.Systems {
		if s.KID == kid && !s.IsEmpty() {
			signals = append(signals, s.Signal)
		}
	}
	return signals
}
