// Package web is the player page: it plays the gateway's streams in Shaka Player, hls.js or dash.js and shows what goes
// over the wire on the way, requests, licenses, key statuses and refusals.
//
// Everything that the page needs is embedded; nothing comes from another host but the media that the viewer asks for.
// The page's own files are plain ES modules below page/, served as they are written. The players are vendored in the
// package web/players, which a program imports only if it wants them.
package web

import (
	"errors"
	"fmt"
	"io/fs"
	"net/url"
)

// Config is what the page offers. It is the operator's; the page shows all of it to everyone who can load the page, so
// it holds no token and no signed URL.
type Config struct {
	// Title is the heading of the page. Empty means "caddy-drm".
	Title string
	// Streams are offered in this order; viewers can also type a manifest URL.
	Streams []Stream
	// Players holds the player scripts, normally players.FS. Nil means none: the page loads and says so.
	Players fs.FS
}

// Stream is one entry of the page's list.
type Stream struct {
	// Name is shown in the list and used in deep links. Names are unique and not empty.
	Name string
	// DASH and HLS are manifest URLs, absolute (http, https) or relative to the page. One of them may be empty.
	DASH, HLS string
	// Scheme is the protection scheme as text, cenc or cbcs, or empty for clear or unknown.
	Scheme string
	// Group is the DRM group of the titles, which is in the address of their player configuration. Empty means none.
	Group string
	// Token says that the manifests are refused without a token; the page then asks for one.
	Token bool
	// Note is one line of explanation under the list.
	Note string
}

// Validate reports what would keep the page from working as configured: a stream without a name, with another's name,
// without a manifest, with a manifest URL that is not http, https or relative, or with a scheme other than cenc and
// cbcs; and a Players that holds no readable players.json or lacks a file named in it. All findings are joined.
func (c Config) Validate() error {
	var errs []error
	seen := make(map[string]bool, len(c.Streams))
	for i, s := range c.Streams {
		if err := s.validate(); err != nil {
			errs = append(errs, fmt.Errorf("stream %d (%q): %w", i, s.Name, err))
		}
		if seen[s.Name] {
			errs = append(errs, fmt.Errorf("stream %d (%q): this name is taken", i, s.Name))
		}
		seen[s.Name] = true
	}
	if c.Players != nil {
		if _, _, err := loadPlayers(c.Players); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

func (s Stream) validate() error {
	switch {
	case s.Name == "":
		return errors.New("it needs a name")
	case s.DASH == "" && s.HLS == "":
		return errors.New("it needs the URL of a DASH or an HLS manifest")
	case s.Scheme != "" && s.Scheme != "cenc" && s.Scheme != "cbcs":
		return fmt.Errorf("scheme %q: want cenc, cbcs or nothing", s.Scheme)
	}
	if err := validateManifestURL("DASH", s.DASH); err != nil {
		return err
	}
	return validateManifestURL("HLS", s.HLS)
}

// validateManifestURL does not quote raw: it may be a signed URL.
func validateManifestURL(kind, raw string) error {
	u, err := url.Parse(raw)
	if err != nil {
		return fmt.Errorf("the %s manifest URL cannot be parsed", kind)
	}
	if u.User != nil || (u.Scheme != "" && u.Scheme != "http" && u.Scheme != "https") {
		return fmt.Errorf("the %s manifest URL must be http, https or relative, and without credentials", kind)
	}
	return nil
}
