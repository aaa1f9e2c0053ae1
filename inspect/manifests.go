package inspect

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/caddy-drm/caddy-drm/drm"
)

const uuidPrefix = "urn:uuid:"

// mpdElements are the elements whose protection an MPD declares, with the attributes that tell them apart.
var mpdElements = map[string][]string{
	"Period": {"id", "start"}, "AdaptationSet": {"id", "contentType", "mimeType", "lang"}, "Representation": {"id", "codecs", "width", "height"},
}

// explainMPD lists what the ContentProtection elements of an MPD say, and where they stand.
func explainMPD(w *writer, text []byte) error {
	decoder := xml.NewDecoder(bytes.NewReader(text))
	found, depth := 0, 0
	for {
		token, err := decoder.Token()
		switch {
		case errors.Is(err, io.EOF):
			if depth == 0 {
				return ErrUnknown
			}
			if found == 0 {
				w.line("no ContentProtection: nothing in this MPD is protected")
			}
			return nil
		case err != nil:
			return fmt.Errorf("reading XML at byte %d: %w", decoder.InputOffset(), err)
		}
		switch t := token.(type) {
		case xml.StartElement:
			if depth++; depth == 1 {
				if t.Name.Local != "MPD" {
					return ErrUnknown
				}
				w.line("MPD, %s", orElse(attribute(t, "type"), "static"))
			}
			if names, ok := mpdElements[t.Name.Local]; ok {
				w.depth++
				w.line("%s%s", t.Name.Local, attributes(t, names))
			}
			if t.Name.Local == "ContentProtection" {
				found++
				w.depth++
				if err := explainProtection(w, decoder, t); err != nil {
					return err
				}
				w.depth--
			}
		case xml.EndElement:
			if _, ok := mpdElements[t.Name.Local]; ok {
				w.depth--
			}
		}
	}
}

// explainProtection explains one ContentProtection with its children.
func explainProtection(w *writer, decoder *xml.Decoder, start xml.StartElement) error {
	var element struct {
		Scheme   string `xml:"schemeIdUri,attr"`
		Value    string `xml:"value,attr"`
		KID      string `xml:"default_KID,attr"`
		Pssh     string `xml:"pssh"`
		Object   string `xml:"pro"`
		Licenses []struct {
			XMLName xml.Name
			URL     string `xml:"licenseUrl,attr"`
			Text    string `xml:",chardata"`
		} `xml:",any"`
	}
	if err := decoder.DecodeElement(&element, &start); err != nil {
		return fmt.Errorf("reading ContentProtection: %w", err)
	}
	scheme := strings.ToLower(element.Scheme)
	switch {
	case scheme == "urn:mpeg:dash:mp4protection:2011":
		w.line("scheme %s", printable(element.Value))
	case strings.HasPrefix(scheme, uuidPrefix):
		w.line("%s", systemName(strings.TrimPrefix(scheme, uuidPrefix)))
	default:
		w.line("protection %s %s", printable(element.Scheme), printable(element.Value))
	}
	w.below(func() {
		if element.KID != "" {
			explainKIDs(w, element.KID)
		}
		if element.Pssh != "" {
			explainData(w, element.Pssh)
		}
		if element.Object != "" {
			explainData(w, element.Object)
		}
		for _, child := range element.Licenses {
			if url := orElse(child.URL, strings.TrimSpace(child.Text)); strings.HasSuffix(strings.ToLower(child.XMLName.Local), "url") && url != "" {
				w.line("%s %s", child.XMLName.Local, withoutQuery(url))
			}
		}
	})
	return nil
}

// explainKIDs explains default_KID, a list in the schema and one in practice.
func explainKIDs(w *writer, list string) {
	for _, text := range strings.Fields(list) {
		kid, err := drm.ParseKID(text)
		switch {
		case err != nil:
			w.fault("default_KID %s is none", printable(text))
		case kid.IsZero():
			w.line("default_KID of zeros: the segments say which keys they need")
		default:
			w.line("KID %s", kid)
		}
	}
}

// systemName names a system by the UUID of a manifest.
func systemName(uuid string) string {
	id, err := drm.ParseKID(uuid)
	if err != nil {
		return "a system whose name is no UUID: " + printable(uuid)
	}
	if name := drm.SystemID(id).Name(); name != id.String() {
		return name + " (" + id.String() + ")"
	}
	return "a system that has no name here (" + id.String() + ")"
}

func attribute(t xml.StartElement, name string) string {
	for _, a := range t.Attr {
		if a.Name.Local == name {
			return a.Value
		}
	}
	return ""
}

func attributes(t xml.StartElement, names []string) string {
	var b strings.Builder
	for _, name := range names {
		if value := attribute(t, name); value != "" {
			b.WriteString(" " + name + "=" + printable(value))
		}
	}
	return b.String()
}

func orElse(text, standard string) string {
	if text == "" {
		return standard
	}
	return text
}

// explainPlaylist lists the keys of an HLS playlist, and from which segment on they count.
func explainPlaylist(w *writer, text []byte) error {
	segments, keys := 0, 0
	kind := "media playlist"
	if bytes.Contains(text, []byte("\n#EXT-X-STREAM-INF")) {
		kind = "multivariant playlist"
	}
	w.line("HLS %s", kind)
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		tag, list, _ := strings.Cut(line, ":")
		switch tag {
		case "#EXTINF":
			segments++
		case "#EXT-X-KEY", "#EXT-X-SESSION-KEY":
			keys++
			w.below(func() { explainKey(w, tag, list, segments) })
		}
	}
	if keys == 0 {
		w.below(func() { w.line("no key: nothing in this playlist is protected, by what it says itself") })
	}
	if segments > 0 {
		w.below(func() { w.line("%s", plural(segments, "segment")) })
	}
	return nil
}

func explainKey(w *writer, tag, list string, segments int) {
	a := PlaylistAttributes(list)
	format := orElse(a["KEYFORMAT"], "identity")
	from := ""
	if tag == "#EXT-X-KEY" {
		from = fmt.Sprintf(", from segment %d on", segments+1)
	}
	w.line("%s: %s%s%s", strings.TrimPrefix(tag, "#"), a["METHOD"], keyMethods[a["METHOD"]], from)
	if a["METHOD"] == "NONE" {
		return
	}
	w.below(func() {
		switch {
		case format == "com.apple.streamingkeydelivery":
			w.line("FairPlay")
		case format == "com.microsoft.playready":
			w.line("PlayReady")
		case strings.HasPrefix(format, uuidPrefix):
			w.line("%s", systemName(strings.TrimPrefix(strings.ToLower(format), uuidPrefix)))
		default:
			w.line("key format %s", printable(format))
		}
		if id := strings.TrimPrefix(strings.ToLower(a["KEYID"]), "0x"); id != "" {
			explainKIDs(w, id)
		}
		if header, data, ok := strings.Cut(a["URI"], ";base64,"); ok && strings.HasPrefix(header, "data:") {
			explainData(w, data)
		} else if a["URI"] != "" {
			w.line("URI %s", withoutQuery(a["URI"]))
		} else {
			w.fault("no URI")
		}
		if a["IV"] != "" {
			w.line("IV %s", printable(a["IV"]))
		}
	})
}

// keyMethods say what the methods are, where their name does not.
var keyMethods = map[string]string{
	"SAMPLE-AES": " (cbcs in fragmented MP4)", "SAMPLE-AES-CTR": " (cenc)", "SAMPLE-AES-CENC": " (cenc, an obsolete spelling)",
	"AES-128": " (whole segments)", "NONE": " (clear)",
}

// PlaylistAttributes reads an attribute list (RFC 8216, 4.2), as far as it is one.
func PlaylistAttributes(list string) map[string]string {
	found := make(map[string]string)
	for list != "" {
		name, rest, ok := strings.Cut(list, "=")
		if !ok {
			break
		}
		var value string
		if strings.HasPrefix(rest, `"`) {
			value, rest, _ = strings.Cut(rest[1:], `"`)
			_, list, _ = strings.Cut(rest, ",")
		} else {
			value, list, _ = strings.Cut(rest, ",")
		}
		found[strings.TrimSpace(name)] = strings.TrimSpace(value)
	}
	return found
}
