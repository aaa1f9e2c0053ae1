package speke

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/caddy-drm/caddy-drm/drm"
	"github.com/caddy-drm/caddy-drm/keysource"
	"github.com/caddy-drm/caddy-drm/keysource/cpix"
)

// Labels of the keys for KIDs that are not ours. They share nothing with those of keysource.Derived.
const (
	labelForeignKey = "caddy-drm foreign content key v1"
	labelForeignIV  = "caddy-drm foreign constant iv v1"
)

// Bounds of one question.
const (
	maxServerKeys    = 64
	maxServerPeriods = 32
	// maxGenerations is how many emergency re-keys a KID is looked for in.
	maxGenerations = 16
)

// SignalFunc returns what a DRM system is told of a key, or false for a system that it knows nothing of.
type SignalFunc func(system drm.SystemID, key drm.ContentKey, scheme drm.ProtectionScheme) (keysource.Signal, bool)

// ServerConfig is what a Server answers from.
type ServerConfig struct {
	// Secret is the deployment secret of the gateways whose keys are given.
	Secret keysource.Secret
	// AllowClear gives keys in clear to who names no recipient. Else that is refused.
	AllowClear bool
	// Signal builds what DRM systems are told; nil: only the pssh box of the common system.
	Signal SignalFunc
}

// Server gives packagers and other key servers the keys that the gateways of the same secret derive.
//
// A gateway's key is given only if its KID comes out again when it is derived from the tenant of the caller, one of the groups that the caller
// may use, the content that the document names, and its scheme, crypto period and class. Any other KID gets a key of its own, from the
// tenant of the caller and the KID: packagers choose KIDs freely, and who asks for one that a neighbor's manifest shows learns nothing of
// the neighbor's key. Nothing is stored, and all nodes answer alike.
type Server struct {
	config    ServerConfig
	whole, by *keysource.Derived // one key per title, and one per track class
}

// NewServer checks config.
func NewServer(config ServerConfig) (*Server, error) {
	whole, err := keysource.NewDerived(config.Secret, false)
	if err != nil {
		return nil, err
	}
	by, err := keysource.NewDerived(config.Secret, true)
	if err != nil {
		return nil, err
	}
	if config.Signal == nil {
		config.Signal = commonSignal
	}
	return &Server{config: config, whole: whole, by: by}, nil
}

func commonSignal(system drm.SystemID, key drm.ContentKey, _ drm.ProtectionScheme) (keysource.Signal, bool) {
	return keysource.Signal{System: system, KID: key.KID(), Pssh: drm.AppendCommonPssh(nil, key.KID())}, system == drm.SystemCommon
}

// Question is one request of an authenticated caller.
type Question struct {
	// Tenant is whom the caller was authenticated as.
	Tenant string
	// Groups are the DRM groups whose keys the caller may have; none: those of titles without a group.
	Groups []string
	// Version is the value of the field X-Speke-Version, which SPEKE 1 and plain CPIX do not have.
	Version string
	Body    []byte
}

// refusal is why a document is answered with a status. Its text goes to the caller and quotes nothing of the document.
type refusal struct {
	status int
	text   string
}

func (r *refusal) Error() string { return r.text }

func refuse(status int, format string, args ...any) error {
	return &refusal{status: status, text: fmt.Sprintf(format, args...)}
}

// Answer answers a question: with status 200 and a document, 422 for what SPEKE does not allow, or 400 for what is no document.
func (s *Server) Answer(q Question) keysource.HTTPResponse {
	header := map[string]string{headerType: typeXML, headerUserAgent: userAgent, header1Agent: userAgent}
	if q.Version != "" {
		header[headerVersion] = q.Version
	}
	body, err := s.answer(q)
	if err != nil {
		status := 400
		var r *refusal
		if errors.As(err, &r) {
			status = r.status
		}
		header[headerType] = "text/plain; charset=utf-8"
		if _, err := ParseVersion(q.Version); err != nil {
			delete(header, headerVersion) // it is the caller's text
		}
		return keysource.HTTPResponse{Status: status, Header: header, Body: []byte(err.Error() + "\n")}
	}
	return keysource.HTTPResponse{Status: 200, Header: header, Body: body}
}

func (s *Server) answer(q Question) ([]byte, error) {
	if q.Tenant == "" {
		return nil, refuse(403, "no tenant")
	}
	d, err := cpix.Parse(q.Body, cpix.ParseOptions{})
	if err != nil {
		return nil, err
	}
	version, asset, err := versionOf(d, q.Version)
	if err != nil {
		return nil, err
	}
	if err := checkQuestion(d, version); err != nil {
		return nil, err
	}
	if len(d.Recipients) == 0 && !s.config.AllowClear {
		return nil, refuse(422, "keys are given encrypted: want a certificate in DeliveryDataList")
	}
	ours, err := s.candidates(q, d, asset)
	if err != nil {
		return nil, err
	}
	for i, k := range d.Keys {
		content, scheme, err := s.key(q.Tenant, k, ours)
		if err != nil {
			return nil, err
		}
		d.Keys[i] = cpix.NewKey(content, k.Scheme)
		s.signal(d, content, scheme, version)
	}
	return cpix.Append(nil, d, cpix.AppendOptions{SPEKE1: version == V1, Clear: len(d.Recipients) == 0})
}

// versionOf returns the version in which a document is to be answered, and the content that it names.
func versionOf(d *cpix.Document, header string) (Version, string, error) {
	version := CPIX
	switch {
	case header != "":
		var err error
		if version, err = ParseVersion(header); err != nil || version == V1 {
			return 0, "", refuse(422, "unsupported SPEKE version: want 2.0 or 2.1")
		}
	case d.ContentID == "" && d.ID != "":
		version = V1
	}
	if version == V1 {
		return V1, d.ID, nil
	}
	switch {
	case d.ContentID == "":
		return 0, "", refuse(422, "missing CPIX@contentId")
	case version.is2() && d.Version == "":
		return 0, "", refuse(422, "missing CPIX@version")
	case version.is2() && d.Version != version.cpixVersion():
		return 0, "", refuse(422, "unsupported CPIX@version: SPEKE %s goes with %s", version, version.cpixVersion())
	}
	return version, d.ContentID, nil
}

// checkQuestion refuses documents that cannot be answered as they stand.
func checkQuestion(d *cpix.Document, version Version) error {
	switch {
	case len(d.Keys) == 0:
		return refuse(422, "missing ContentKey")
	case len(d.Keys) > maxServerKeys:
		return refuse(422, "more than %d keys", maxServerKeys)
	case len(d.Periods) > maxServerPeriods:
		return refuse(422, "more than %d crypto periods", maxServerPeriods)
	case version.is2() && len(d.Rules) == 0:
		return refuse(422, "missing ContentKeyUsageRule")
	case version.is2() && len(d.Systems) == 0:
		return refuse(422, "missing DRMSystem")
	}
	for _, k := range d.Keys {
		if !k.Content.IsZero() {
			return refuse(400, "key %s has a value already", k.KID)
		}
		if version.is2() && k.Scheme == 0 {
			return refuse(422, "missing ContentKey@commonEncryptionScheme for KID %s", k.KID)
		}
	}
	for _, r := range d.Rules {
		if r.Unsupported != "" {
			return refuse(422, "unsupported filter: %s", r.Unsupported)
		}
	}
	if version.is2() {
		return checkContract(d)
	}
	return nil
}

// trackTypeAll is that of a key for all tracks.
const trackTypeAll = "ALL"

// checkContract refuses what SPEKE 2 does not allow of rules and systems.
func checkContract(d *cpix.Document) error {
	for _, r := range d.Rules {
		switch {
		case r.TrackType == "":
			return refuse(422, "missing ContentKeyUsageRule@intendedTrackType for KID %s", r.KID)
		case len(r.Video) == 0 && len(r.Audio) == 0:
			return refuse(422, "missing VideoFilter or AudioFilter for KID %s", r.KID)
		case r.TrackType != d.Rules[0].TrackType && (r.TrackType == trackTypeAll || d.Rules[0].TrackType == trackTypeAll):
			return refuse(422, "ContentKeyUsageRule@intendedTrackType %s goes with no other", trackTypeAll)
		}
	}
	for _, s := range d.Systems {
		if k, _ := d.Key(s.KID); s.System == drm.SystemFairPlay && k.Scheme == drm.SchemeCenc {
			return refuse(422, "FairPlay decrypts cbcs alone, and KID %s is for cenc", s.KID)
		}
	}
	return nil
}

// candidates are the KIDs that gateways of this secret have for what the caller may ask about.
func (s *Server) candidates(q Question, d *cpix.Document, asset string) (map[drm.KID]keysource.Request, error) {
	indexes := []uint32{0}
	for _, p := range d.Periods {
		if !p.HasIndex {
			return nil, refuse(422, "a ContentKeyPeriod without @index, and whose times tell none")
		}
		if !slices.Contains(indexes, p.Index) {
			indexes = append(indexes, p.Index)
		}
	}
	groups := q.Groups
	if len(groups) == 0 {
		groups = []string{""}
	}
	found := make(map[drm.KID]keysource.Request)
	for _, scheme := range schemesOf(d) {
		for _, group := range groups {
			for _, index := range indexes {
				for generation := range uint32(maxGenerations) {
					title := keysource.Title{Tenant: q.Tenant, Group: group, Asset: asset, Scheme: scheme, Period: index, Generation: generation}
					if err := s.addKIDs(found, title); err != nil {
						return nil, err
					}
				}
			}
		}
	}
	return found, nil
}

// schemesOf lists the schemes that keys of a document are for; all of them if one does not say.
func schemesOf(d *cpix.Document) []drm.ProtectionScheme {
	var schemes []drm.ProtectionScheme
	for _, k := range d.Keys {
		if k.Scheme == 0 {
			return drm.AllSchemes[:]
		}
		if !slices.Contains(schemes, k.Scheme) {
			schemes = append(schemes, k.Scheme)
		}
	}
	return schemes
}

func (s *Server) addKIDs(found map[drm.KID]keysource.Request, title keysource.Title) error {
	for _, split := range []bool{false, true} {
		for _, class := range keysource.Classes(split) {
			r := keysource.Request{Title: title, Class: class}
			kid, err := s.derived(r).KID(r)
			if err != nil {
				return refuse(400, "the content or the tenant cannot be named so")
			}
			found[kid] = r
		}
	}
	return nil
}

func (s *Server) derived(r keysource.Request) *keysource.Derived {
	if r.Class == drm.ClassShared {
		return s.whole
	}
	return s.by
}

// key returns our key of that KID, or a foreign one.
func (s *Server) key(tenant string, k cpix.Key, ours map[drm.KID]keysource.Request) (drm.ContentKey, drm.ProtectionScheme, error) {
	if r, ok := ours[k.KID]; ok && (k.Scheme == 0 || k.Scheme == r.Scheme) {
		content, err := s.derived(r).ContentKey(context.Background(), r) // it never blocks
		return content, r.Scheme, err
	}
	secret := s.config.Secret.Derive(labelForeignKey, tenant, string(k.KID[:]))
	iv := s.config.Secret.Derive(labelForeignIV, tenant, string(k.KID[:]))
	if k.ExplicitIV != nil { // the packager's own
		copy(iv[:], k.ExplicitIV)
	}
	content, err := drm.NewContentKey(k.KID, secret[:drm.KeySize], iv[:drm.KeySize])
	return content, k.Scheme, err
}

// Format keeps every verb from reaching the fields.
func (s *Server) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "SPEKE server") }
