package cpix

import (
	"encoding/base64"
	"encoding/xml"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/caddy-drm/caddy-drm/drm"
)

// version24 is the version of CPIX whose words differ from those of earlier ones.
const version24 = "2.4"

// AppendOptions say how keys are written.
type AppendOptions struct {
	// Clear writes key values in clear. Otherwise they are encrypted to the recipients of the document, and left out if it has none.
	Clear bool
	// SPEKE1 writes SPEKE 1's own elements for what CPIX 2.0 had none for.
	SPEKE1 bool
}

// Append appends d as an XML document. It fails if a recipient has no RSA key of at least MinRSABits.
func Append(dst []byte, d *Document, options AppendOptions) ([]byte, error) {
	w := &writer{b: dst, options: options, version: d.Version}
	w.raw(xml.Header)
	w.open("cpix:CPIX", "xmlns:cpix", nsCPIX, "xmlns:pskc", nsPSKC, "xmlns:enc", nsEnc, "xmlns:ds", nsDSig,
		"xmlns:speke", ifElse(options.SPEKE1, nsSPEKE, ""), "id", d.ID, "contentId", d.ContentID, "name", d.Name, "version", d.Version)
	encrypted := !options.Clear && len(d.Recipients) > 0 && hasValue(d.Keys)
	w.wrapping = newWrapping()
	if err := w.delivery(d, encrypted); err != nil {
		return nil, fmt.Errorf("writing CPIX document: %w", err)
	}
	w.keys(d.Keys, encrypted)
	w.systems(d.Systems)
	w.periods(d.Periods)
	w.rules(d.Rules)
	w.end()
	return w.b, nil
}

func hasValue(keys []Key) bool {
	for _, k := range keys {
		if !k.Content.IsZero() {
			return true
		}
	}
	return false
}

func ifElse(condition bool, yes, no string) string {
	if condition {
		return yes
	}
	return no
}

// writer appends elements. Names and attributes are its own; every value is escaped.
type writer struct {
	b        []byte
	names    []string
	options  AppendOptions
	version  string
	wrapping wrapping
}

func (w *writer) raw(text string) { w.b = append(w.b, text...) }

// tag writes a start tag up to its end; attributes with empty values are left out.
func (w *writer) tag(name string, attributes ...string) {
	w.raw("<" + name)
	for i := 0; i < len(attributes); i += 2 {
		if attributes[i+1] != "" {
			w.raw(" " + attributes[i] + `="`)
			w.escape(attributes[i+1])
			w.raw(`"`)
		}
	}
}

func (w *writer) escape(text string) {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(text)) // a Builder never fails
	w.raw(b.String())
}

func (w *writer) open(name string, attributes ...string) {
	w.tag(name, attributes...)
	w.raw(">")
	w.names = append(w.names, name)
}

func (w *writer) end() {
	last := len(w.names) - 1
	w.raw("</" + w.names[last] + ">")
	w.names = w.names[:last]
}

func (w *writer) empty(name string, attributes ...string) {
	w.tag(name, attributes...)
	w.raw("/>")
}

// value writes an element with base64 in it.
func (w *writer) value(name string, b []byte, attributes ...string) {
	w.open(name, attributes...)
	w.b = base64.StdEncoding.AppendEncode(w.b, b)
	w.end()
}

// cipher writes the children of an EncryptedValue or Key.
func (w *writer) cipher(algorithm string, b []byte) {
	w.empty("enc:EncryptionMethod", "Algorithm", algorithm)
	w.open("enc:CipherData")
	w.value("enc:CipherValue", b)
	w.end()
}

func (w *writer) delivery(d *Document, encrypted bool) error {
	if len(d.Recipients) == 0 {
		return nil
	}
	w.open("cpix:DeliveryDataList")
	for _, recipient := range d.Recipients {
		w.open("cpix:DeliveryData")
		w.open("cpix:DeliveryKey")
		w.open("ds:X509Data")
		w.value("ds:X509Certificate", recipient.Raw)
		w.end()
		w.end()
		if encrypted {
			documentKey, err := wrapRSA(recipient, w.wrapping.documentKey)
			if err != nil {
				return err
			}
			macKey, err := wrapRSA(recipient, w.wrapping.macKey)
			if err != nil {
				return err
			}
			w.open("cpix:DocumentKey", "Algorithm", ifElse(d.Version == version24, "", algorithmAES256CBC))
			w.open("cpix:Data")
			w.open("pskc:Secret")
			w.open("pskc:EncryptedValue")
			w.cipher(algorithmRSAOAEP, documentKey)
			w.end()
			w.end()
			w.end()
			w.end()
			w.open("cpix:MACMethod", "Algorithm", algorithmHMACSHA512)
			// The schema of CPIX has MACKey, SPEKE and most tools have Key, and the schema leaves room for it behind.
			for _, name := range []string{"pskc:MACKey", "cpix:Key"} {
				w.open(name)
				w.cipher(algorithmRSAOAEP, macKey)
				w.end()
			}
			w.end()
		}
		w.end()
	}
	w.end()
	return nil
}

func (w *writer) keys(keys []Key, encrypted bool) {
	if len(keys) == 0 {
		return
	}
	w.open("cpix:ContentKeyList")
	for _, k := range keys {
		scheme := ""
		if k.Scheme.Valid() {
			scheme = schemeText(k.Scheme)
		}
		attributes := []string{"kid", k.KID.String(), "explicitIV", base64.StdEncoding.EncodeToString(k.ExplicitIV), "commonEncryptionScheme", scheme}
		if k.Content.IsZero() || !encrypted && !w.options.Clear {
			w.empty("cpix:ContentKey", attributes...)
			continue
		}
		w.open("cpix:ContentKey", attributes...)
		w.open("cpix:Data")
		w.open("pskc:Secret")
		secret := k.Content.Secret()
		if encrypted {
			b := encryptCBC(w.wrapping.documentKey, secret[:])
			w.open("pskc:EncryptedValue")
			w.cipher(algorithmAES256CBC, b)
			w.end()
			w.value("pskc:ValueMAC", macOf(w.wrapping.macKey, b))
		} else {
			w.value("pskc:PlainValue", secret[:])
		}
		w.end()
		w.end()
		w.end()
	}
	w.end()
}

func (w *writer) systems(systems []System) {
	if len(systems) == 0 {
		return
	}
	w.open("cpix:DRMSystemList")
	for _, s := range systems {
		w.open("cpix:DRMSystem", "kid", s.KID.String(), "systemId", s.System.String(), "name", s.Name)
		w.system(s)
		w.end()
	}
	w.end()
}

func (w *writer) system(s System) {
	wants := make(map[string]bool, len(s.Wants))
	for _, name := range s.Wants {
		wants[name] = true
	}
	writeAs := func(name, want string, b []byte, attributes ...string) {
		switch {
		case len(b) > 0:
			w.value("cpix:"+name, b, attributes...)
		case wants[want]:
			w.empty("cpix:"+name, attributes...)
		}
	}
	write := func(name string, b []byte, attributes ...string) { writeAs(name, name, b, attributes...) }
	write(WantPssh, s.Pssh)
	write(WantContentProtection, s.ContentProtection, "robustness", ifElse(w.version == version24, s.Robustness, ""))
	write(WantURIExtXKey, []byte(s.HLSKeyURI))
	if w.options.SPEKE1 {
		w.speke1(s, wants)
		return
	}
	writeAs(elementHLSSignaling, WantHLSMultivariant, s.HLSMultivariant, "playlist", ifElse(w.version == version24, "multiVariant", "master"))
	writeAs(elementHLSSignaling, WantHLSMedia, s.HLSMedia, "playlist", "media")
	write(WantSmoothHeader, s.PlayReadyHeader)
}

// speke1 writes the elements that SPEKE 1 added to CPIX 2.0.
func (w *writer) speke1(s System, wants map[string]bool) {
	if s.HLSKeyURI != "" || wants[WantURIExtXKey] {
		w.value("speke:KeyFormat", []byte(s.HLSKeyFormat))
		w.value("speke:KeyFormatVersions", []byte(s.HLSKeyFormatVersions))
	}
	if len(s.PlayReadyHeader) > 0 || wants[WantSmoothHeader] {
		w.value("speke:ProtectionHeader", s.PlayReadyHeader)
	}
}

func (w *writer) periods(periods []Period) {
	if len(periods) == 0 {
		return
	}
	w.open("cpix:ContentKeyPeriodList")
	for _, p := range periods {
		index, start, end := "", "", ""
		if p.HasIndex {
			index = strconv.FormatUint(uint64(p.Index), 10)
		}
		if !p.Start.IsZero() {
			start, end = p.Start.UTC().Format(time.RFC3339Nano), p.End.UTC().Format(time.RFC3339Nano)
		}
		startOffset, endOffset := "", ""
		if p.EndOffset > 0 && w.version == version24 {
			startOffset, endOffset = durationText(p.StartOffset), durationText(p.EndOffset)
		}
		w.empty("cpix:ContentKeyPeriod", "id", p.ID, "index", index, "start", start, "end", end, "startOffset", startOffset, "endOffset", endOffset)
	}
	w.end()
}

func durationText(d time.Duration) string {
	return "PT" + strconv.FormatFloat(d.Seconds(), 'f', -1, 64) + "S"
}

func (w *writer) rules(rules []Rule) {
	if len(rules) == 0 {
		return
	}
	w.open("cpix:ContentKeyUsageRuleList")
	for _, r := range rules {
		w.open("cpix:ContentKeyUsageRule", "kid", r.KID.String(), "intendedTrackType", r.TrackType)
		for _, id := range r.Periods {
			w.empty("cpix:KeyPeriodFilter", "periodId", id)
		}
		for _, f := range r.Video {
			w.empty("cpix:VideoFilter", "minPixels", number(f.MinPixels), "maxPixels", number(f.MaxPixels))
		}
		for _, f := range r.Audio {
			w.empty("cpix:AudioFilter", "minChannels", number(uint64(f.MinChannels)), "maxChannels", number(uint64(f.MaxChannels)))
		}
		w.end()
	}
	w.end()
}

// number leaves out 0, which bounds nothing.
func number(n uint64) string {
	if n == 0 {
		return ""
	}
	return strconv.FormatUint(n, 10)
}

// NewKey returns the element of a key with its value.
func NewKey(key drm.ContentKey, scheme drm.ProtectionScheme) Key {
	iv := key.ConstantIV()
	return Key{KID: key.KID(), Content: key, ExplicitIV: iv[:], Scheme: scheme}
}
