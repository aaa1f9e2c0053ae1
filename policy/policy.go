package policy

import (
	"context"
	"sync"
	"time"

	"github.com/caddy-drm/caddy-drm/geo"
	"github.com/caddy-drm/caddy-drm/token"
)

// Use is what a request wants of an asset.
type Use uint8

// The uses. The zero value is a manifest.
const (
	UseManifest Use = iota
	UseMedia
	UseLicense
	UseSidecar
)

// String returns the word of logs and explanations.
func (u Use) String() string {
	return [...]string{UseManifest: "manifest", UseMedia: "media", UseLicense: "license", UseSidecar: "sidecar"}[u]
}

// Asset is what is asked for.
type Asset struct {
	// Name is the asset's: the directory whose content shares keys and rights.
	Name string
	// Path is the clean path of the reference itself, not of the manifest that led to it: a free title's playlist must not open
	// a premium title's segments.
	Path string
	// Use is what the request wants.
	Use Use
	// Public is true for what every viewer is given alike, from a shared cache: nobody knows who asks. Only the rules that hold
	// for everybody are judged: path, revocation of titles, rights.
	Public bool
}

// asks reports whether a rule has a say about the asset. One that is about viewers has none where they are not known.
func (a Asset) asks(rule string) bool {
	return !a.Public || rule == "path" || rule == "revocation" || rule == "rights"
}

// Viewer is who asks, as the server resolved it.
type Viewer struct {
	// Request is what tokens may be bound to: address, host, method and so on. Now, Path, Country, Subdivision and ASN are filled in
	// by Decide.
	Request token.Request
	// Place is what is known of the address; unknown in whatever no database says, or if the look-up failed.
	Place geo.Place
	// Tokens are all access tokens of the request, one per place that carries one. See token.Single.
	Tokens []string
	// Found are the credentials of kinds that find their own, each with the verifier that it is for. See token.Pick.
	Found []token.Credential
	// Playback is the one that a session gets which this request may start; all zero if it starts none that is told apart.
	Playback [8]byte
	// BeginsNothing is set for a request that belongs to no playback: it counts as no stream.
	BeginsNothing bool
	// Agent is the User-Agent, and Expand returns what a placeholder stands for. Nil: every placeholder is empty.
	Agent  string
	Expand func(placeholder string) string
	// Session is the session token, or empty. Where there is one it decides, and Tokens are not looked at.
	Session string
}

// Policy is what holds for a group of assets. The zero Policy admits everybody. It is not changed by use and is safe for
// concurrent use.
type Policy struct {
	Tokens  Tokens
	Binding Binding
	// Revocations say what has been revoked; nil: nothing is.
	Revocations Revocations
	Geo         geo.Rule
	Rights      Rights
	// Limits are judged in their order. What an earlier one has let through counts there, also if a later one refuses it.
	Limits []Limits
	// Streams bounds what is watched at the same time; nil: nothing does.
	Streams Streams
}

// stages are the rules in the order in which they are judged. The order is a security property: who is not authenticated
// learns nothing about countries, and only what all rules before it admit counts against a limit.
var stages = [...]struct {
	name  string
	judge func(*Policy, *question)
}{
	{"path", (*Policy).judgePath},
	{"token", (*Policy).judgeToken},
	{"binding", (*Policy).judgeBinding},
	{"revocation", (*Policy).judgeRevocation},
	{"geo", (*Policy).judgePlace},
	{"rights", (*Policy).judgeRights},
	{"requests", (*Policy).judgeRequests},
	{"streams", (*Policy).judgeStreams},
	{"replay", (*Policy).judgeReplay},
}

// Decide judges one request. The first refusal is the decision. ctx is handed to the token verifier.
func (p *Policy) Decide(ctx context.Context, now time.Time, asset Asset, viewer Viewer) Decision {
	q := questions.Get().(*question)
	defer func() {
		*q = question{} // nothing of a viewer outlives the request
		questions.Put(q)
	}()
	*q = newQuestion(ctx, now, asset, viewer)
	for _, stage := range stages {
		if !asset.asks(stage.name) {
			continue
		}
		if stage.judge(p, q); q.decision.Reason != "" {
			return q.decision
		}
	}
	return q.admit()
}

// questions are used again: one is a kilobyte, and the stages, which are called by their table, keep it off the stack.
var questions = sync.Pool{New: func() any { return new(question) }}

// Explain judges as Decide does, and says of every rule what it looked at and how it came out, also of those behind the first
// refusal. It counts against no limit.
func (p *Policy) Explain(ctx context.Context, now time.Time, asset Asset, viewer Viewer) (Decision, []Step) {
	q := newQuestion(ctx, now, asset, viewer)
	q.explaining = true
	steps := make([]Step, 0, len(stages))
	var refused *Decision
	for _, stage := range stages {
		q.decision.Reason, q.input = "", ""
		if asset.asks(stage.name) {
			stage.judge(p, &q)
		} else {
			q.input = "not asked: every viewer is given the same"
		}
		steps = append(steps, Step{Rule: stage.name, Input: q.input, Refused: q.decision.Reason, Outcome: q.decision.Rule})
		if q.decision.Reason != "" && refused == nil {
			refused = new(q.decision)
		}
		q.decision.Rule = ""
	}
	if refused != nil {
		return *refused, steps
	}
	q.decision.Reason = ""
	return q.admit(), steps
}

// Step is what one rule said, for an operator. It holds no token.
type Step struct {
	// Rule is the name of the rule.
	Rule string
	// Input is what the rule looked at, and Outcome how it came out, both in words.
	Input, Outcome string
	// Refused is the reason of a refusal; empty where the rule passed or does not apply.
	Refused Reason
}

// question is one request on its way through the stages.
type question struct {
	ctx      context.Context
	now      time.Time
	asset    Asset
	viewer   Viewer
	decision Decision
	// explaining asks the stages for their input in words, and not to count.
	explaining bool
	input      string
	// country is where the viewer is judged to be: at home, for who travels within the rule's union.
	country geo.Country
}

func newQuestion(ctx context.Context, now time.Time, asset Asset, viewer Viewer) question {
	place := &viewer.Place
	viewer.Request.Now, viewer.Request.Path, viewer.Request.Asset, viewer.Request.Country = now, asset.Path, asset.Name, ""
	if place.Country.IsKnown() {
		viewer.Request.Country = place.Country.String()
	}
	viewer.Request.Subdivision, viewer.Request.ASN = string(place.Subdivision()), place.ASN
	if !place.Addr.IsValid() {
		place.Addr = viewer.Request.Addr // a rule on addresses needs no database
	}
	return question{ctx: ctx, now: now, asset: asset, viewer: viewer, country: place.Country, decision: Decision{Country: place.Country}}
}

// refuse ends the question.
func (q *question) refuse(reason Reason, rule string) {
	q.decision.Reason, q.decision.Rule = reason, rule
}

// until lowers the instant at which what was decided has to be asked again.
func (q *question) until(end time.Time) {
	if !end.IsZero() && (q.decision.Until.IsZero() || end.Before(q.decision.Until)) {
		q.decision.Until = end
	}
}

func (q *question) admit() Decision {
	q.decision.Allowed, q.decision.Reason, q.decision.Rule = true, ReasonAllowed, "all rules passed"
	return q.decision
}

func (p *Policy) judgePath(q *question) {
	if q.explaining {
		q.input = q.asset.Path
	}
	if !(token.Claims{}).AllowsPath(q.asset.Path) {
		q.refuse(ReasonPathInvalid, "path: not clean")
	}
}
