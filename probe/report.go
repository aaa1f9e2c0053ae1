package probe

import (
	"fmt"
	"slices"
	"strings"
	"unicode"

	"github.com/caddy-drm/caddy-drm/drm"
)

// Code names a kind of problem.
type Code string

// The kinds of problems.
const (
	NotFetched       Code = "not_fetched"       // a reference leads to nothing
	ManifestBroken   Code = "manifest_broken"   // a playlist or a part of an MPD that cannot be read
	ContentType      Code = "content_type"      // media is called something else
	InitBroken       Code = "init_broken"       // an init segment that cannot be read
	SegmentBroken    Code = "segment_broken"    // a media segment that breaks off, or contradicts itself
	KIDMismatch      Code = "kid_mismatch"      // manifest and tenc name other keys
	SchemeMismatch   Code = "scheme_mismatch"   // manifest, schm or pssh name other schemes
	PsshMismatch     Code = "pssh_mismatch"     // a pssh box or a PlayReady Object that is broken or for other keys
	LicenseFailed    Code = "license_failed"    // a ClearKey server or a key URI gives no key
	LicenseWithout   Code = "license_without"   // a license without the key that was asked for
	KeysDisagree     Code = "keys_disagree"     // license and key URI hold different keys of one name
	WrongKey         Code = "wrong_key"         // what comes out of decryption cannot be media
	ClearSegment     Code = "clear_segment"     // a segment that is not encrypted, and should be
	ClearLeak        Code = "clear_leak"        // the clear media is there without the seal
	TimelineMismatch Code = "timeline_mismatch" // a segment that begins at another time than the manifest says
	KeyChanged       Code = "key_changed"       // a segment of a live manifest got another key
	PeriodMoved      Code = "period_moved"      // a Period of a live manifest has another start
)

// Problem is something that keeps a player from playing, or somebody else from not playing.
type Problem struct {
	Code Code `json:"code"`
	// Rendition and Period say where, as the manifest names them.
	Rendition string `json:"rendition,omitempty"`
	Period    string `json:"period,omitempty"`
	// URL is without query, seal and session. Box is the path of a box, Line that of the manifest; both may be missing.
	URL  string `json:"url,omitempty"`
	Box  string `json:"box,omitempty"`
	Line int    `json:"line,omitempty"`
	Text string `json:"text"`
}

// License is a license server of which no license can be asked for here.
type License struct {
	System string `json:"system"`
	URL    string `json:"url,omitempty"`
	// Status is that of what it answered to a message that needs no device, 0 if it did not answer; Answer says so in words.
	Status int    `json:"status,omitempty"`
	Answer string `json:"answer"`
}

// Rendition is what was seen of a rendition.
type Rendition struct {
	Name    string   `json:"name"`
	Schemes []string `json:"schemes,omitempty"`
	// Periods counts the stretches under one key, Listed their segments; Probed those that were fetched, Decrypted those of them that were
	// decrypted, and Proven those whose keys brought forth what no wrong key does, here or in another rendition: pictures seldom show that.
	Periods   int `json:"periods"`
	Listed    int `json:"listed"`
	Probed    int `json:"probed"`
	Decrypted int `json:"decrypted"`
	Proven    int `json:"proven"`
	Problems  int `json:"problems"`

	opened [][]drm.KID // the keys of each segment that was decrypted
}

// Report is what came out.
type Report struct {
	URL  string `json:"url"`
	Kind string `json:"kind"` // DASH or HLS
	Live bool   `json:"live"`
	OK   bool   `json:"ok"`
	// Keys counts the content keys that were obtained, LeaksTried the addresses that were tried without seal and session, Reloads those of a
	// live manifest.
	Keys       int          `json:"keys"`
	LeaksTried int          `json:"leaks_tried"`
	Reloads    int          `json:"reloads,omitempty"`
	Renditions []*Rendition `json:"renditions"`
	Licenses   []License    `json:"licenses,omitempty"`
	Problems   []Problem    `json:"problems,omitempty"`
	// More counts problems that are not listed, because there are too many.
	More  int      `json:"more_problems,omitempty"`
	Notes []string `json:"notes,omitempty"`
}

// place is where a problem is: a Problem without what.
type place = Problem

// problem notes a problem once.
func (p *prober) problem(code Code, at place, format string, args ...any) {
	at.Code, at.Text = code, visible(fmt.Sprintf(format, args...))
	at.Rendition, at.Period = visible(at.Rendition), visible(at.Period)
	if slices.Contains(p.report.Problems, at) {
		return
	}
	if at.Rendition != "" {
		p.rendition(at.Rendition).Problems++
	}
	if len(p.report.Problems) >= maxProblems {
		p.report.More++
		return
	}
	p.report.Problems = append(p.report.Problems, at)
	p.progress("%s", at)
}

// note says what is no problem, once.
func (p *prober) note(format string, args ...any) {
	text := visible(fmt.Sprintf(format, args...))
	if len(p.report.Notes) < maxProblems && !slices.Contains(p.report.Notes, text) {
		p.report.Notes = append(p.report.Notes, text)
	}
}

// rendition returns the entry of that name.
func (p *prober) rendition(name string) *Rendition {
	for _, r := range p.report.Renditions {
		if r.Name == name {
			return r
		}
	}
	r := &Rendition{Name: name}
	p.report.Renditions = append(p.report.Renditions, r)
	return r
}

func (p *prober) finish() {
	r := p.report
	probed, protected := 0, false
	for _, rendition := range r.Renditions {
		probed += rendition.Probed
		protected = protected || len(rendition.Schemes) > 0
		for _, kids := range rendition.opened {
			if !slices.ContainsFunc(kids, func(kid drm.KID) bool { return !p.proven[kid] }) {
				rendition.Proven++
			}
		}
	}
	switch {
	case probed == 0 && len(r.Problems) == 0:
		p.problem(NotFetched, place{}, "no segment was probed: there is nothing in the manifest that could be")
	case p.hasMedia && !protected:
		p.problem(ClearSegment, place{URL: r.URL}, "nothing in the manifest is protected")
	}
	r.OK = len(r.Problems) == 0
}

// String is the problem in a line.
func (q Problem) String() string {
	var b strings.Builder
	b.WriteString(string(q.Code))
	for _, part := range [...]struct{ word, text string }{{"", q.Rendition}, {"Period ", q.Period}, {"", q.URL}, {"", q.Box}} {
		if part.text != "" {
			b.WriteString(", " + part.word + part.text)
		}
	}
	if q.Line > 0 {
		fmt.Fprintf(&b, ", line %d", q.Line)
	}
	b.WriteString(": " + q.Text)
	return b.String()
}

// Text is the report for people.
func (r *Report) Text() string {
	var b strings.Builder
	kind := r.Kind
	if r.Live {
		kind += ", live"
	}
	fmt.Fprintf(&b, "%s\n%s\n\n", r.URL, kind)
	for _, rendition := range r.Renditions {
		fmt.Fprintf(&b, "%s\n  %s, %s listed, %d probed, %d decrypted, of which %d proven", rendition.Name, plural(rendition.Periods, "key period"),
			plural(rendition.Listed, "segment"), rendition.Probed, rendition.Decrypted, rendition.Proven)
		if len(rendition.Schemes) > 0 {
			b.WriteString("; " + strings.Join(rendition.Schemes, ", "))
		} else {
			b.WriteString("; clear")
		}
		if rendition.Problems > 0 {
			b.WriteString("; " + plural(rendition.Problems, "problem"))
		}
		b.WriteByte('\n')
	}
	fmt.Fprintf(&b, "\n%s obtained, %s tried for clear media", plural(r.Keys, "key"), plural(r.LeaksTried, "address"))
	if r.Reloads > 0 {
		fmt.Fprintf(&b, ", %s of the manifest", plural(r.Reloads, "reload"))
	}
	b.WriteByte('\n')
	for _, license := range r.Licenses {
		fmt.Fprintf(&b, "license of %s: %s\n", license.System, strings.TrimSpace(license.URL+" "+license.Answer))
	}
	for _, note := range r.Notes {
		fmt.Fprintf(&b, "note: %s\n", note)
	}
	for _, problem := range r.Problems {
		fmt.Fprintf(&b, "PROBLEM %s\n", problem)
	}
	switch {
	case r.OK:
		b.WriteString("\nok\n")
	default:
		fmt.Fprintf(&b, "\n%s\n", plural(len(r.Problems)+r.More, "problem"))
	}
	return b.String()
}

// visible keeps what others wrote from ending a line or speaking to a terminal.
func visible(text string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return unicode.ReplacementChar
		}
		return r
	}, text)
}

func plural(n int, thing string) string {
	switch {
	case n == 1:
		return "1 " + thing
	case strings.HasSuffix(thing, "s"):
		return fmt.Sprintf("%d %ses", n, thing)
	default:
		return fmt.Sprintf("%d %ss", n, thing)
	}
}
