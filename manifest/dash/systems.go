package dash

import (
	"encoding/base64"
	"fmt"
	"strings"

	"github.com/caddy-drm/caddy-drm/drm"
)

// System is what one DRM system is told in a ContentProtection of its own.
type System struct {
	// ID is neither zero nor that of the common system: players take its descriptor for initialization data, and one of them
	// stops there.
	ID drm.SystemID
	// LicenseURL goes into dashif:Laurl, if set.
	LicenseURL string
	// Pssh is a whole pssh box, for cenc:pssh. ClearKey has none: one player passes it on with the wrong type of initialization
	// data, and the KID says everything.
	Pssh []byte
	// PRO is a bare PlayReady object, for mspr:pro.
	PRO []byte
	// Robustness is @robustness, if set: a word of the system.
	Robustness string
}

// systemValues are the values that descriptors carry by custom; players take them for names.
var systemValues = map[drm.SystemID]string{
	drm.SystemClearKey:  "ClearKey1.0",
	drm.SystemWidevine:  "Widevine",
	drm.SystemPlayReady: "MSPR 2.0",
}

// checkSystems refuses what no descriptor could say.
func checkSystems(systems []System) error {
	for i, s := range systems {
		switch {
		case s.ID == drm.SystemID{}, s.ID == drm.SystemCommon:
			return fmt.Errorf("%w: no DRM system that has a descriptor", ErrOptions)
		case s.ID == drm.SystemClearKey && len(s.Pssh) > 0:
			return fmt.Errorf("%w: a pssh for ClearKey", ErrOptions)
		case s.ID != drm.SystemPlayReady && len(s.PRO) > 0:
			return fmt.Errorf("%w: a PlayReady object for another system", ErrOptions)
		case strings.ContainsFunc(s.Robustness, func(c rune) bool { return c <= ' ' || c > '~' }):
			return fmt.Errorf("%w: a robustness that is not one word", ErrOptions)
		}
		for _, other := range systems[:i] {
			if other.ID == s.ID {
				return fmt.Errorf("%w: a DRM system that stands twice", ErrOptions)
			}
		}
	}
	return nil
}

// descriptor returns the ContentProtection of one system (23001-7, 11.2; DASH-IF IOP 5 part 6, Laurl; PlayReady, mspr:pro).
func (r *rewriter) descriptor(name string, s System) string {
	var b strings.Builder
	b.WriteString("<" + name)
	writeAttribute(&b, "schemeIdUri", "urn:uuid:"+s.ID.String())
	if value := systemValues[s.ID]; value != "" {
		writeAttribute(&b, "value", value)
	}
	if s.Robustness != "" {
		writeAttribute(&b, "robustness", s.Robustness)
	}
	if len(s.Pssh) == 0 && len(s.PRO) == 0 && s.LicenseURL == "" {
		b.WriteString("/>")
		return b.String()
	}
	b.WriteString(">")
	if len(s.Pssh) > 0 {
		b.WriteString("<cenc:pssh" + r.declaration(prefixCenc) + ">" + base64.StdEncoding.EncodeToString(s.Pssh) + "</cenc:pssh>")
	}
	if len(s.PRO) > 0 {
		b.WriteString("<mspr:pro" + r.declaration(prefixPlayReady) + ">" + base64.StdEncoding.EncodeToString(s.PRO) + "</mspr:pro>")
	}
	if s.LicenseURL != "" {
		b.WriteString("<dashif:Laurl" + r.declaration(prefixDashif))
		if s.ID == drm.SystemClearKey {
			writeAttribute(&b, "licenseType", "EME-1.0")
		}
		b.WriteString(">" + escapeXML(s.LicenseURL) + "</dashif:Laurl>")
	}
	b.WriteString("</" + name + ">")
	return b.String()
}
