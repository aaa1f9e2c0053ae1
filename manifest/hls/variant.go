package hls

import (
	"context"
	"strconv"
	"strings"
)

// VariantProtector is a Protector that judges the variants of a multivariant playlist by what is said of them there.
type VariantProtector interface {
	Protector
	// Variant returns what holds for a variant.
	Variant(ctx context.Context, v Variant) (VariantTerms, error)
}

// Variant is what EXT-X-STREAM-INF or EXT-X-I-FRAME-STREAM-INF says of a variant (8216bis, 4.4.6.2). Fields are zero for
// attributes that are absent or malformed.
type Variant struct {
	IFrame        bool // of EXT-X-I-FRAME-STREAM-INF
	Bandwidth     uint64
	Width, Height uint32
	Codecs        string
	VideoRange    string // SDR, HLG, PQ
	HDCP          HDCPLevel
}

// VariantTerms is what holds for a variant. The zero value changes nothing.
type VariantTerms struct {
	// Drop takes the variant out of the playlist.
	Drop bool
	// HDCP and AllowedCPC are written unless the line is stricter itself. A variant is dropped when it and AllowedCPC leave a key
	// format without any configuration.
	HDCP       HDCPLevel
	AllowedCPC []AllowedCPC
}

const (
	attrHDCP       = "HDCP-LEVEL"
	attrAllowedCPC = "ALLOWED-CPC"
)

// judgeVariant asks for the terms of the variant of the line at hand, and returns the edits that they make.
func (r *rewriter) judgeVariant() (drop bool, edits []edit, err error) {
	protector, ok := r.o.Protector.(VariantProtector)
	if !ok {
		return false, nil, nil
	}
	v, err := r.parseVariant()
	if err != nil {
		return false, nil, err
	}
	terms, err := protector.Variant(r.ctx, v)
	if err != nil {
		return false, nil, r.refused(err)
	}
	drop, edits, err = r.applyTerms(v, terms)
	if err != nil {
		return false, nil, err
	}
	return drop, edits, r.noteGroups(drop)
}

// applyTerms returns the edits that terms make to the line at hand, which says v.
func (r *rewriter) applyTerms(v Variant, terms VariantTerms) (drop bool, edits []edit, err error) {
	if terms.Drop {
		return true, nil, nil
	}
	if terms.HDCP > v.HDCP {
		edits = append(edits, edit{name: attrHDCP, value: terms.HDCP.String(), add: true})
	}
	if len(terms.AllowedCPC) == 0 {
		return false, edits, nil
	}
	allowed, left, err := r.restrictCPC(terms.AllowedCPC)
	return !left, append(edits, edit{name: attrAllowedCPC, value: allowed, add: true, quoted: true}), err
}

func (r *rewriter) parseVariant() (Variant, error) {
	v := Variant{IFrame: r.line.tag == tagIFrameStreamInf}
	for _, a := range r.attrs {
		text, err := r.variables.expand(r.line.value[a.start:a.end])
		if err != nil {
			return Variant{}, r.fault(err)
		}
		switch a.name {
		case "BANDWIDTH":
			v.Bandwidth, _ = parseCount(strings.Trim(text, " \t"))
		case "RESOLUTION":
			v.Width, v.Height = parseResolution(strings.Trim(text, " \t"))
		case "CODECS":
			v.Codecs = text
		case "VIDEO-RANGE":
			v.VideoRange = text
		case attrHDCP:
			v.HDCP = parseHDCPLevel(strings.Trim(text, " \t"))
		}
	}
	return v, nil
}

// parseResolution reads a decimal-resolution (8216bis, 4.2).
func parseResolution(s string) (width, height uint32) {
	w, h, _ := strings.Cut(s, "x")
	wide, errWidth := strconv.ParseUint(w, 10, 32)
	high, errHeight := strconv.ParseUint(h, 10, 32)
	if errWidth != nil || errHeight != nil {
		return 0, 0
	}
	return uint32(wide), uint32(high)
}

// restrictCPC returns the ALLOWED-CPC that the line at hand and ours come to; false if nothing is left.
func (r *rewriter) restrictCPC(ours []AllowedCPC) (value string, left bool, err error) {
	for _, entry := range ours {
		if !entry.valid() {
			return "", false, r.refused(errCPC)
		}
	}
	var theirs []AllowedCPC
	if a, ok := find(r.attrs, attrAllowedCPC); ok {
		text, err := r.variables.expand(r.line.value[a.start:a.end])
		if err != nil {
			return "", false, r.fault(err)
		}
		if theirs, ok = parseAllowedCPC(text); !ok || !a.quoted {
			return "", false, r.fault(errCPC)
		}
	}
	both, left := restrictCPC(theirs, ours)
	return formatAllowedCPC(both), left, nil
}
