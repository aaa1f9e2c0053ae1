package rights

import (
	"strings"
	"testing"
)

const odrlOffer = `{
	"@context": "http://www.w3.org/ns/odrl.jsonld",
	"@type": "Offer",
	"uid": "https://rights.example.com/offer/7",
	"assigner": "https://studio.example.com/",
	"conflict": "prohibit",
	"permission": [{
		"target": "https://media.example.com/vod/summer/",
		"action": "play",
		"constraint": [
			{"leftOperand": "dateTime", "operator": "gteq", "rightOperand": {"@value": "2026-11-20T00:00:00+01:00", "@type": "xsd:dateTime"}},
			{"leftOperand": "dateTime", "operator": "lt", "rightOperand": "2026-11-27T20:15:00+01:00"},
			{"leftOperand": "spatial", "operator": "isAnyOf", "rightOperand": ["AT", {"@id": "urn:iso:std:iso:3166:DE"}]},
			{"leftOperand": "odrl:product", "operator": {"@id": "odrl:isAnyOf"}, "rightOperand": ["basic", "premium"]}
		]
	}, {
		"target": {"uid": "/vod/summer/"},
		"action": [{"@id": "http://www.w3.org/ns/odrl/2/stream"}, "display"],
		"constraint": {"and": {"@list": [
			{"or": [
				{"leftOperand": "dateTime", "operator": "lteq", "rightOperand": "2026-12-01T00:00:00Z"},
				{"leftOperand": "dateTime", "operator": "gt", "rightOperand": "2027-01-01T00:00:00Z"}
			]},
			{"leftOperand": "spatial", "operator": "neq", "rightOperand": "US"}
		]}}
	}],
	"prohibition": {
		"target": "/vod/summer/", "action": "use",
		"constraint": [{"leftOperand": "spatial", "operator": "isPartOf", "rightOperand": "EU"},
			{"leftOperand": "dateTime", "operator": "gteq", "rightOperand": "2026-11-25T00:00:00Z"},
			{"leftOperand": "dateTime", "operator": "lt", "rightOperand": "2026-11-26T00:00:00Z"}]
	}
}`

const odrlAgreement = `[{"@context": ["https://www.w3.org/ns/odrl.jsonld"], "@type": "Agreement", "target": ["/a/", "/b/"], "action": "use", "permission": [{}]}]`

func TestImportODRL(t *testing.T) {
	for _, test := range []struct{ from, want string }{
		{odrlOffer, `titles:
  - path: "/vod/summer/"
    windows:
      - model: subscription
        plans: ["basic", "premium"]
        territories: ["AT", "DE"]
        start: 2026-11-20T00:00:00+01:00
        end: 2026-11-27T20:15:00+01:00
      - model: free
        territories: "world"
        excluded: "US"
        end: 2026-12-01T00:00:00.000000001Z
      - model: free
        territories: "world"
        excluded: "US"
        start: 2027-01-01T00:00:00.000000001Z
blackouts:
  - path: "/vod/summer/"
    from: 2026-11-25T00:00:00Z
    to: 2026-11-26T00:00:00Z
    territories: "EU"
`},
		{odrlAgreement, `titles:
  - path: "/a/"
    windows:
      - model: free
        territories: "world"
  - path: "/b/"
    windows:
      - model: free
        territories: "world"
`},
	} {
		c, err := ImportODRL([]byte(test.from))
		if err != nil {
			t.Fatal(err)
		}
		written := string(c.AppendYAML(nil))
		if written != test.want {
			t.Errorf("got\n%s\nwant\n%s", written, test.want)
		}
		mustParse(t, written)
	}
}

// What ODRL can say and this cannot enforce is refused; it is never left out.
func TestODRLThatIsNotUnderstoodIsRefused(t *testing.T) {
	const whole = `{"@context": "http://www.w3.org/ns/odrl.jsonld", "@type": "Set", "permission": [{"target": "/a/", "action": "play"}]}`
	if _, err := ImportODRL([]byte(whole)); err != nil {
		t.Fatal(err)
	}
	constraint := func(text string) [2]string {
		return [2]string{`"action": "play"`, `"action": "play", "constraint": [` + text + `]`}
	}
	for rule, test := range map[string]struct {
		edit [2]string
		want string
	}{
		"no context":              {[2]string{`"@context": "http://www.w3.org/ns/odrl.jsonld", `, ""}, "want @context"},
		"another context":         {[2]string{"odrl.jsonld", "other.jsonld"}, "@context: want http"},
		"two contexts":            {[2]string{`"http://www.w3.org/ns/odrl.jsonld"`, `["http://www.w3.org/ns/odrl.jsonld", {"play": "x"}]`}, "@context: want"},
		"no type":                 {[2]string{`"@type": "Set", `, ""}, "want @type"},
		"another type":            {[2]string{"Set", "Ticket"}, "want Set or Offer or Agreement"},
		"a profile":               {[2]string{`"@type"`, `"profile": "http://example.com/p", "@type"`}, `unknown field "profile"`},
		"an obligation":           {[2]string{`"@type"`, `"obligation": [], "@type"`}, `unknown field "obligation"`},
		"a conflict of its own":   {[2]string{`"@type"`, `"conflict": "perm", "@type"`}, "conflict: want prohibit"},
		"prohibitions by default": {[2]string{"permission", "prohibition"}, `want "conflict": "prohibit"`},
		"no rule":                 {[2]string{`, "permission": [{"target": "/a/", "action": "play"}]`, ""}, "want a permission"},
		"no target":               {[2]string{`"target": "/a/", `, ""}, "want target"},
		"a target that is a name": {[2]string{"/a/", "urn:title:7"}, "want the URL of the title"},
		"a target with a query":   {[2]string{"/a/", "https://x/a?b"}, "want the URL of the title"},
		"a pattern":               {[2]string{"/a/", "/*/"}, "want the URL of the title"},
		"no action":               {[2]string{`, "action": "play"`, ""}, "want action"},
		"another action":          {[2]string{`"play"`, `["play", "print"]`}, `action "print"`},
		"a refinement":            {[2]string{`"play"`, `{"@id": "odrl:play", "refinement": []}`}, `unknown field "refinement"`},
		"a duty":                  {[2]string{`"action"`, `"duty": [{"action": "compensate"}], "action"`}, `unknown field "duty"`},
		"an assignee":             {[2]string{`"action"`, `"assignee": "https://x/", "action"`}, `unknown field "assignee"`},
		"a count":                 {constraint(`{"leftOperand": "count", "operator": "lteq", "rightOperand": 5}`), "count: how often"},
		"a device":                {constraint(`{"leftOperand": "systemDevice", "operator": "eq", "rightOperand": "x"}`), `leftOperand "systemDevice"`},
		"a unit":                  {constraint(`{"leftOperand": "dateTime", "operator": "lt", "rightOperand": "2026-01-01T00:00:00Z", "unit": "x"}`), `unknown field "unit"`},
		"a status":                {constraint(`{"leftOperand": "dateTime", "operator": "lt", "rightOperandReference": "x"}`), `unknown field "rightOperandReference"`},
		"at an instant":           {constraint(`{"leftOperand": "dateTime", "operator": "eq", "rightOperand": "2026-01-01T00:00:00Z"}`), `dateTime "eq"`},
		"no zone":                 {constraint(`{"leftOperand": "dateTime", "operator": "lt", "rightOperand": "2026-01-01T00:00:00"}`), "a time with its zone"},
		"a date":                  {constraint(`{"leftOperand": "dateTime", "operator": "lt", "rightOperand": {"@value": "2026-01-01", "@type": "xsd:date"}}`), "want the type xsd:dateTime"},
		"a place by name":         {constraint(`{"leftOperand": "spatial", "operator": "eq", "rightOperand": "https://www.wikidata.org/wiki/Q40"}`), "territories: country"},
		"two places for one":      {constraint(`{"leftOperand": "spatial", "operator": "eq", "rightOperand": ["AT", "DE"]}`), "is about one operand"},
		"a place that has parts":  {constraint(`{"leftOperand": "spatial", "operator": "hasPart", "rightOperand": "AT"}`), `spatial "hasPart"`},
		"nobody":                  {constraint(`{"leftOperand": "recipient", "operator": "neq", "rightOperand": "basic"}`), `recipient "neq"`},
		"two places at once": {constraint(`{"leftOperand": "spatial", "operator": "eq", "rightOperand": "AT"},
			{"leftOperand": "spatial", "operator": "eq", "rightOperand": "DE"}`), "two constraints on the same place"},
		"exclusive or": {constraint(`{"xone": []}`), `unknown field "xone"`},
		"a sequence":   {constraint(`{"andSequence": []}`), `unknown field "andSequence"`},
		"and beside or": {constraint(`{"and": [{"leftOperand": "spatial", "operator": "eq", "rightOperand": "AT"}],
			"or": [{"leftOperand": "spatial", "operator": "eq", "rightOperand": "AT"}]}`), `unknown field "or"`},
		"an empty or": {constraint(`{"or": []}`), "want a list of one or more"},
		"an end before its start": {constraint(`{"leftOperand": "dateTime", "operator": "gteq", "rightOperand": "2026-02-01T00:00:00Z"},
			{"leftOperand": "dateTime", "operator": "lt", "rightOperand": "2026-01-01T00:00:00Z"}`), "impossible"},
		"a long word": {constraint(`{"leftOperand": "product", "operator": "eq", "rightOperand": "` + strings.Repeat("x", 65) + `"}`), "at most 64 bytes"},
	} {
		t.Run(rule, func(t *testing.T) {
			text := strings.Replace(whole, test.edit[0], test.edit[1], 1)
			if c, err := ImportODRL([]byte(text)); c != nil || err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
}

func TestTheLastInstantStaysOne(t *testing.T) {
	c, err := ImportODRL([]byte(`{"@context": "http://www.w3.org/ns/odrl.jsonld", "@type": "Set", "permission": [{"target": "/a/", "action": "play", "constraint":
		{"leftOperand": "dateTime", "operator": "lteq", "rightOperand": "9999-12-31T23:59:59.999999999Z"}}]}`))
	if err != nil {
		t.Fatal(err)
	}
	mustParse(t, string(c.AppendYAML(nil)))
}

func TestODRLDoesNotMultiplyWithoutBound(t *testing.T) {
	or := `{"or": [` + strings.Repeat(`{"leftOperand": "dateTime", "operator": "lt", "rightOperand": "2026-01-01T00:00:00Z"},`, 9)
	or = strings.TrimSuffix(or, ",") + `]}`
	text := `{"@context": "http://www.w3.org/ns/odrl.jsonld", "@type": "Set", "permission": [{"target": "/a/", "action": "play", "constraint": [` +
		strings.TrimSuffix(strings.Repeat(or+",", 30), ",") + `]}]}`
	if _, err := ImportODRL([]byte(text)); err == nil || !strings.Contains(err.Error(), "more than 64 combinations") {
		t.Errorf("got %v", err)
	}
}
