package state

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/caddy-drm/caddy-drm/drm"
	"github.com/caddy-drm/caddy-drm/token"
)

// RevocationKind is what a revocation takes back.
type RevocationKind string

// The kinds, in the words of the admin API.
const (
	// RevokeToken is for one token and the sessions minted from it. Its value is the token's ID (jti).
	RevokeToken RevocationKind = "token"
	// RevokeSubject is for all tokens and sessions of a subject.
	RevokeSubject RevocationKind = "subject"
	// RevokeSession is for one session. Its value is the playback, 16 hexadecimal digits.
	RevokeSession RevocationKind = "session"
	// RevokeDevice is for all tokens and sessions of a device.
	RevokeDevice RevocationKind = "device"
	// RevokeTitle is for a clean path and all below it.
	RevokeTitle RevocationKind = "title"
	// RevokeKey is for what a content key encrypts, and for the key itself. Its value is the KID.
	RevokeKey RevocationKind = "key"
)

// RevocationKinds lists all kinds.
var RevocationKinds = []RevocationKind{RevokeToken, RevokeSubject, RevokeSession, RevokeDevice, RevokeTitle, RevokeKey}

// Limits of revocations: what each node keeps in memory, and what an entry may hold.
const (
	// MaxRevocations is how many may be in force at the same time.
	MaxRevocations  = 100_000
	maxNoteBytes    = 200
	maxTenantBytes  = 1024 // a host and a prefix
	maxRevokedBytes = 1024
)

// ErrRevocation is wrapped by the error for a revocation that means nothing.
var ErrRevocation = errors.New("the revocation is not understood")

// ErrFull is returned where MaxRevocations are in force.
var ErrFull = fmt.Errorf("%d revocations are in force", MaxRevocations)

// Revocation is one entry. Viewers are in it by digest alone.
type Revocation struct {
	// ID names the entry: 32 hexadecimal digits, the same for the same kind, value and tenant.
	ID string `json:"id"`
	// Kind is what is revoked.
	Kind RevocationKind `json:"kind"`
	// Tenant is the site that it holds for; empty: for all.
	Tenant string `json:"tenant,omitempty"`
	// Value is the path of a title or the KID of a key; empty for viewers, whom only Match tells.
	Value string `json:"value,omitempty"`
	// Match is the digest of the revoked token, subject, session or device, in hexadecimal digits.
	Match string `json:"match,omitempty"`
	// Created and Expires are from when to when it holds.
	Created time.Time `json:"created"`
	Expires time.Time `json:"expires"`
	// Note is the operator's, for whoever reads the list.
	Note string `json:"note,omitempty"`
}

// NewRevocation makes the entry for a value of a kind; tenant may be empty. It returns ErrRevocation for what is none.
func NewRevocation(digest *Digester, kind RevocationKind, tenant, value, note string, now, expires time.Time) (Revocation, error) {
	r := Revocation{Kind: kind, Tenant: tenant, Created: now.UTC().Truncate(time.Second), Expires: expires.UTC().Truncate(time.Second), Note: note}
	switch {
	case value == "" || len(value) > maxRevokedBytes:
		return Revocation{}, fmt.Errorf("%w: want a value of up to %d bytes", ErrRevocation, maxRevokedBytes)
	case len(tenant) > maxTenantBytes || strings.ContainsRune(tenant, 0) || len(note) > maxNoteBytes:
		return Revocation{}, fmt.Errorf("%w: the tenant has up to %d bytes, the note up to %d", ErrRevocation, maxTenantBytes, maxNoteBytes)
	case !r.Expires.After(now):
		return Revocation{}, fmt.Errorf("%w: it is over already", ErrRevocation)
	}
	value, err := normalize(kind, value)
	if err != nil {
		return Revocation{}, err
	}
	if kind == RevokeTitle || kind == RevokeKey {
		r.Value = value
	} else {
		match := digest.Digest("revoked "+string(kind), value)
		r.Match = hex.EncodeToString(match[:])
	}
	id := digest.Digest("revocation", tenant+"\x00"+string(kind)+"\x00"+value)
	r.ID = hex.EncodeToString(id[:])
	return r, nil
}

// normalize brings a value into the form in which requests are compared with it.
func normalize(kind RevocationKind, value string) (string, error) {
	switch kind {
	case RevokeSubject, RevokeDevice:
		return value, nil
	case RevokeToken:
		return token.Claims{ID: value}.IDDigest(), nil
	case RevokeSession:
		value = strings.ToLower(value)
		if b, err := hex.DecodeString(value); err != nil || len(b) != len(token.Claims{}.Playback) {
			return "", fmt.Errorf("%w: a session is named by 16 hexadecimal digits", ErrRevocation)
		}
		return value, nil
	case RevokeKey:
		kid, err := drm.ParseKID(value)
		if err != nil {
			return "", fmt.Errorf("%w: want a KID", ErrRevocation)
		}
		return kid.String(), nil
	case RevokeTitle:
		if value = strings.TrimSuffix(value, "/"); value == "" {
			return "/", nil
		}
		if !(token.Claims{}).AllowsPath(value) {
			return "", fmt.Errorf("%w: a title is a clean path", ErrRevocation)
		}
		return value, nil
	default:
		return "", fmt.Errorf("%w: want one of the kinds %v", ErrRevocation, RevocationKinds)
	}
}

// RevocationStore keeps revocations for all nodes. All methods are safe for concurrent use.
type RevocationStore interface {
	// Add stores entries, in place of those with the same ID. It returns ErrFull and stores none where there would be too many.
	Add(ctx context.Context, entries []Revocation) error
	// Remove lifts the entry of an ID, and reports whether there was one.
	Remove(ctx context.Context, id string) (bool, error)
	// Version returns a text that changes with every Add and Remove. What stands in front of its colon changes if the store has
	// lost what it held.
	Version(ctx context.Context) (string, error)
	// Load returns all entries that are not over, with their version.
	Load(ctx context.Context) (version string, entries []Revocation, err error)
	// Watch calls changed soon after each change until ctx ends. A store that only its own node changes returns at once.
	Watch(ctx context.Context, changed func())
}

// Question is what a request may be revoked by.
type Question struct {
	Site Site
	// Subject and Device are those of the token; TokenID is Claims.IDDigest.
	Subject, Device, TokenID string
	Playback                 [8]byte
	// Path is the clean path, and Asset the title that it belongs to.
	Path, Asset string
}

// titlePath is the form in which NewRevocation keeps the path of an asset.
func titlePath(asset string) string { return strings.TrimSuffix(asset, "/") }
