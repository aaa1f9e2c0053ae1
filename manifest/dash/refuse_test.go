package dash_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/caddy-drm/caddy-drm/address"
	"github.com/caddy-drm/caddy-drm/drm"
	"github.com/caddy-drm/caddy-drm/manifest/dash"
)

const (
	goodTemplate = `<SegmentTemplate duration="2" initialization="i.mp4" media="$Number$.m4s"/>`
	goodRep      = `<Representation id="v1" bandwidth="100"/>`
	inSet        = "MPD/Period[0]/AdaptationSet[0]"
	inRep        = inSet + "/Representation[0]"
)

// goodVideo is a Period that Rewrite accepts, so that a refusal is for what a test adds.
func goodVideo() string { return video(goodTemplate + goodRep) }

func segments(init, media string) string {
	return `<SegmentTemplate duration="2" initialization="` + init + `" media="` + media + `"/>`
}

// refusal is a document, and where and why it is refused.
type refusal struct {
	mpd  string
	want error
	path string
	line int
}

func TestRefusals(t *testing.T) {
	tests := map[string]refusal{
		"empty":                     {"", dash.ErrMalformed, "", 1},
		"text only":                 {"secret", dash.ErrMalformed, "", 1},
		"HTML error page":           {"<html><body>502</body></html>", dash.ErrNamespace, "html", 1},
		"MPD without namespace":     {`<MPD/>`, dash.ErrNamespace, "MPD", 1},
		"MPD of another":            {`<MPD xmlns="urn:mpeg:DASH:schema:MPD:2011"/>`, dash.ErrNamespace, "MPD", 1},
		"prefix of another":         {`<m:MPD xmlns="urn:mpeg:dash:schema:mpd:2011" xmlns:m="urn:x"/>`, dash.ErrNamespace, "MPD", 1},
		"undeclared prefix":         {`<m:MPD xmlns="urn:mpeg:dash:schema:mpd:2011"/>`, dash.ErrMalformed, "", 1},
		"cut off":                   {head + goodVideo(), dash.ErrMalformed, "", 1},
		"wrong end tag":             {head + "\n<Period></AdaptationSet></Period>" + tail, dash.ErrMalformed, "", 2},
		"end tag with prefix":       {head + "<Period></x:Period>" + tail, dash.ErrMalformed, "", 1},
		"two roots":                 {head + goodVideo() + tail + head + tail, dash.ErrMalformed, "", 1},
		"text behind the root":      {head + goodVideo() + tail + "secret", dash.ErrMalformed, "", 1},
		"CDATA behind the root":     {head + goodVideo() + tail + "<![CDATA[]]>", dash.ErrMalformed, "", 1},
		"attribute twice":           {head + `<Period id="1" id="2"/>` + tail, dash.ErrMalformed, "", 1},
		"attribute twice by URI":    {head + `<Period xmlns:a="urn:u" xmlns:b="urn:u" a:x="1" b:x="2"/>` + tail, dash.ErrMalformed, "", 1},
		"two colons":                {head + `<a:b:c xmlns:a="urn:u"/>` + tail, dash.ErrMalformed, "", 1},
		"unquoted attribute":        {head + `<Period id=1/>` + tail, dash.ErrMalformed, "", 1},
		"undeclared entity":         {head + "\n\n" + `<Period id="&secret;"/>` + tail, dash.ErrMalformed, "", 3},
		"DOCTYPE":                   {"<!DOCTYPE MPD>" + head + goodVideo() + tail, dash.ErrForbidden, "", 1},
		"entity bomb":               {"\n" + `<!DOCTYPE MPD [<!ENTITY a "aa"><!ENTITY b "&a;&a;">]>` + head + goodVideo() + tail, dash.ErrForbidden, "", 2},
		"external entity":           {`<!DOCTYPE MPD [<!ENTITY a SYSTEM "file:///etc/passwd">]>` + head + tail, dash.ErrForbidden, "", 1},
		"ENTITY inside":             {head + `<!ENTITY a "b">` + goodVideo() + tail, dash.ErrForbidden, "", 1},
		"stylesheet":                {`<?xml-stylesheet href="https://x.example/secret"?>` + head + goodVideo() + tail, dash.ErrForbidden, "", 1},
		"late XML declaration":      {"\n" + `<?xml version="1.0"?>` + head + goodVideo() + tail, dash.ErrForbidden, "", 2},
		"Latin-1":                   {`<?xml version="1.0" encoding="ISO-8859-1"?>` + head + goodVideo() + tail, dash.ErrMalformed, "", 1},
		"UTF-16":                    {"\xff\xfe<\x00M\x00P\x00D\x00", dash.ErrMalformed, "", 1},
		"not UTF-8":                 {head + "<Period>\xc3\x28</Period>" + tail, dash.ErrMalformed, "", 1},
		"64 deep is the end":        {head + strings.Repeat("<a>", 64) + strings.Repeat("</a>", 64) + tail, dash.ErrLimit, "", 1},
		"too many attributes":       {head + "<Period" + manyAttributes(101) + "/>" + tail, dash.ErrLimit, "", 1},
		"too many namespaces":       {head + "<Period" + manyNamespaces(60) + "><a" + manyNamespaces(60) + "/></Period>" + tail, dash.ErrLimit, "", 1},
		"too many elements":         {head + strings.Repeat("<S/>", 200_000) + tail, dash.ErrLimit, "", 1},
		"too many bytes":            {head + strings.Repeat(" ", 16<<20) + tail, dash.ErrLimit, "", 1},
		"too many tracks":           {head + video(goodTemplate+strings.Repeat(goodRep, 20_001)) + tail, dash.ErrLimit, "MPD/Period[0]/AdaptationSet[0]/Representation[20000]", 1},
		"nothing at all":            {head + tail, dash.ErrNothingSealed, "MPD", 1},
		"nothing but thumbnails":    {head + `<Period><AdaptationSet contentType="image">` + goodTemplate + goodRep + `</AdaptationSet></Period>` + tail, dash.ErrNothingSealed, "MPD", 1},
		"remote Period":             {head + `<Period xmlns:l="http://www.w3.org/1999/xlink" l:href="https://x.example/secret"/>` + tail, dash.ErrXlink, "MPD/Period[0]", 1},
		"remote set":                {head + "<Period/>\n<Period>" + `<AdaptationSet xmlns:xlink="http://www.w3.org/1999/xlink" xlink:href="x"/></Period>` + tail, dash.ErrXlink, "MPD/Period[1]/AdaptationSet[0]", 2},
		"protected set":             {head + video(`<ContentProtection schemeIdUri="x"/>`+goodTemplate+goodRep) + tail, dash.ErrAlreadyProtected, inSet + "/ContentProtection[0]", 1},
		"protected track":           {head + video(goodTemplate+`<Representation id="1"><ContentProtection/></Representation>`) + tail, dash.ErrAlreadyProtected, inRep + "/ContentProtection[0]", 1},
		"protected behind an Event": {head + `<Period><EventStream><Event><a/></Event></EventStream><ContentProtection/></Period>` + goodVideo() + tail, dash.ErrAlreadyProtected, "MPD/Period[0]/ContentProtection[0]", 1},
		"protected MPD":             {head + `<ContentProtection refId="a"/>` + goodVideo() + tail, dash.ErrAlreadyProtected, "MPD/ContentProtection[0]", 1},
		"protected preselection":    {head + `<Period><Preselection><ContentProtection/></Preselection></Period>` + goodVideo() + tail, dash.ErrAlreadyProtected, "MPD/Period[0]/Preselection[0]/ContentProtection[0]", 1},
		"foreign BaseURL":           {head + `<BaseURL>https://secret.example/</BaseURL>` + goodVideo() + tail, address.ErrForeign, "MPD/BaseURL[0]", 1},
		"foreign BaseURL, CDATA":    {head + `<BaseURL><![CDATA[https://secret]]><!-- x -->.example/</BaseURL>` + goodVideo() + tail, address.ErrForeign, "MPD/BaseURL[0]", 1},
		"file URL":                  {head + `<BaseURL>file:///secret/</BaseURL>` + goodVideo() + tail, address.ErrForeign, "MPD/BaseURL[0]", 1},
		"origin's other tree":       {head + `<BaseURL>https://origin.example/secret/</BaseURL>` + goodVideo() + tail, address.ErrForeign, "MPD/BaseURL[0]", 1},
		"climbs out of origin":      {head + `<BaseURL>https://origin.example/clear/../secret/</BaseURL>` + goodVideo() + tail, address.ErrForeign, "MPD/BaseURL[0]", 1},
		"user in BaseURL":           {head + `<BaseURL>https://u:secret@origin.example/clear/</BaseURL>` + goodVideo() + tail, address.ErrReference, "MPD/BaseURL[0]", 1},
		"sealed already":            {head + `<BaseURL>~secret/</BaseURL>` + goodVideo() + tail, address.ErrReference, "MPD/BaseURL[0]", 1},
		"escaped climb":             {head + `<BaseURL>%2e%2e/secret/</BaseURL>` + goodVideo() + tail, address.ErrReference, "MPD/BaseURL[0]", 1},
		"line break in BaseURL":     {head + "<BaseURL>a&#10;secret/</BaseURL>" + goodVideo() + tail, address.ErrReference, "MPD/BaseURL[0]", 1},
		"BaseURL with a range":      {head + `<BaseURL byteRange="$base$?r=$first$">a/</BaseURL>` + goodVideo() + tail, dash.ErrUnsupported, "MPD/BaseURL[0]", 1},
		"misplaced BaseURL":         {head + `<Metrics><BaseURL>a/</BaseURL></Metrics>` + goodVideo() + tail, dash.ErrStructure, "MPD/Metrics[0]/BaseURL[0]", 1},
		"misplaced Period":          {head + `<Period><Period/></Period>` + goodVideo() + tail, dash.ErrStructure, "MPD/Period[0]/Period[0]", 1},
		"MPD in MPD":                {head + `<MPD/>` + goodVideo() + tail, dash.ErrStructure, "MPD/MPD[0]", 1},
		"BaseURL of another":        {head + `<x:BaseURL xmlns:x="urn:x">https://secret.example/</x:BaseURL>` + goodVideo() + tail, dash.ErrNamespace, "MPD/BaseURL[0]", 1},
		"steering of another":       {head + `<x:ContentSteering xmlns:x="urn:x">https://secret.example/</x:ContentSteering>` + goodVideo() + tail, dash.ErrNamespace, "MPD/ContentSteering[0]", 1},
		"set without namespace":     {head + `<Period><AdaptationSet xmlns=""/></Period>` + goodVideo() + tail, dash.ErrNamespace, "MPD/Period[0]/AdaptationSet[0]", 1},
		"RepresentationIndex":       {head + video(`<SegmentTemplate><RepresentationIndex/></SegmentTemplate>`) + tail, dash.ErrUnsupported, inSet + "/SegmentTemplate[0]/RepresentationIndex[0]", 1},
		"bitstreamSwitching":        {head + video(`<SegmentTemplate bitstreamSwitching="x"/>`) + tail, dash.ErrUnsupported, inSet + "/SegmentTemplate[0]", 1},
		"ImportedMPD":               {head + `<Period><ImportedMPD>x</ImportedMPD></Period>` + tail, dash.ErrUnsupported, "MPD/Period[0]/ImportedMPD[0]", 1},
		"two templates":             {head + video(goodTemplate+goodTemplate+goodRep) + tail, dash.ErrStructure, inSet + "/SegmentTemplate[1]", 1},
		"no id":                     {head + video(goodTemplate+`<Representation/>`) + tail, dash.ErrStructure, inRep, 1},
		"width is no number":        {head + video(goodTemplate+`<Representation id="1" width="secret"/>`) + tail, dash.ErrStructure, inRep, 1},
		"single file":               {head + video(`<Representation id="1"><BaseURL>v.mp4</BaseURL></Representation>`) + tail, dash.ErrUnsupported, inRep, 1},
		"file and segments":         {head + video(goodRep+`<Representation id="1">`+goodTemplate+`</Representation>`) + tail, dash.ErrUnsupported, inSet, 1},
		"no media":                  {head + video(`<Representation id="1"><SegmentTemplate initialization="https://secret.example/"/></Representation>`) + tail, dash.ErrStructure, inRep, 1},
		"sidecar is a directory":    {head + `<Period><AdaptationSet mimeType="text/vtt"><Representation id="1"><BaseURL>x/</BaseURL></Representation></AdaptationSet></Period>` + tail, dash.ErrStructure, inRep, 1},
		"sidecar without BaseURL":   {head + `<Period><AdaptationSet mimeType="text/vtt"><Representation id="1"/></AdaptationSet></Period>` + tail, dash.ErrStructure, inRep, 1},
		"no initialization":         {head + video(`<SegmentTemplate duration="2" media="$Number$"/>`+goodRep) + tail, dash.ErrUnsupported, inRep, 1},
		"two initializations":       {head + video(`<SegmentTemplate duration="2" media="$Number$" initialization="a"><Initialization sourceURL="b"/></SegmentTemplate>`+goodRep) + tail, dash.ErrUnsupported, inSet + "/SegmentTemplate[0]/Initialization[0]", 1},
		"index alone":               {head + video(`<SegmentTemplate index="x" media="$Number$" initialization="a"/>`+goodRep) + tail, dash.ErrUnsupported, inRep, 1},
		"foreign media":             {head + video(segments("i.mp4", "https://secret.example/$Number$")+goodRep) + tail, address.ErrForeign, inRep, 1},
		"foreign initialization":    {head + video(segments("https://secret.example/i", "$Number$")+goodRep) + tail, address.ErrForeign, inRep, 1},
		"foreign sourceURL":         {head + video(`<SegmentTemplate duration="2" media="$Number$"><Initialization sourceURL="https://secret.example/"/></SegmentTemplate>`+goodRep) + tail, address.ErrForeign, inRep, 1},
		"sourceURL with a $":        {head + video(`<SegmentTemplate duration="2" media="$Number$"><Initialization sourceURL="$RepresentationID$"/></SegmentTemplate>`+goodRep) + tail, dash.ErrUnsupported, inSet + "/SegmentTemplate[0]/Initialization[0]", 1},
		"SubNumber":                 {head + video(segments("i", "$Number$-$SubNumber$")+goodRep) + tail, address.ErrTemplate, inRep, 1},
		"escaped $":                 {head + video(segments("i", "$$-$Number$")+goodRep) + tail, address.ErrTemplate, inRep, 1},
		"percent-escaped $":         {head + video(segments("i", "%24Number%24")+goodRep) + tail, address.ErrTemplate, inRep, 1},
		"unpaired $":                {head + video(segments("i", "$Number")+goodRep) + tail, address.ErrTemplate, inRep, 1},
		"number in the init":        {head + video(segments("i-$Number$", "$Number$")+goodRep) + tail, address.ErrTemplate, inRep, 1},
		"number in the query":       {head + video(segments("i", "m?secret=$Number$")+goodRep) + tail, address.ErrTemplate, inRep, 1},
		"query with an unpaired $": {
			head + video(segments("i", "$Number$?secret=$Number")+goodRep) + tail, address.ErrTemplate, inRep, 1,
		},
		"fragment behind a query": {head + video(segments("i", "$Number$?secret#x")+goodRep) + tail, address.ErrReference, inRep, 1},
		"query only":              {head + video(segments("i", "?secret=$Number$")+goodRep) + tail, address.ErrTemplate, inRep, 1},
		"empty media":             {head + video(segments("i", "")+goodRep) + tail, address.ErrTemplate, inRep, 1},
		"media is a directory":    {head + video(segments("i", "a/")+goodRep) + tail, address.ErrTemplate, inRep, 1},
		"bandwidth missing":       {head + video(segments("i", "$Bandwidth$/$Number$")+`<Representation id="1"/>`) + tail, address.ErrTemplate, inRep, 1},
		"id with a question mark": {head + video(segments("i", "$RepresentationID$/$Number$")+`<Representation id="a?b"/>`) + tail, address.ErrTemplate, inRep, 1},
		"audio left clear":        {head + `<Period><AdaptationSet contentType="text" mimeType="audio/mp4">` + goodTemplate + goodRep + `</AdaptationSet></Period>` + tail, dash.ErrClear, inRep, 1},
		"unknown left clear":      {head + `<Period><AdaptationSet contentType="text">` + goodTemplate + goodRep + `</AdaptationSet></Period>` + tail, dash.ErrClear, inRep, 1},
	}
	for name, test := range tests {
		t.Run(name, test.check)
	}
}

func (test refusal) check(t *testing.T) {
	out, err := dash.Rewrite(t.Context(), []byte(test.mpd), options(newGateway()))
	if out != nil {
		t.Errorf("a result with the error: %s", out)
	}
	if !errors.Is(err, test.want) {
		t.Fatalf("got %v, want %v", err, test.want)
	}
	var syntax *dash.SyntaxError
	if !errors.As(err, &syntax) {
		t.Fatalf("%T is no SyntaxError", err)
	}
	if syntax.Path != test.path || syntax.Line != test.line {
		t.Errorf("at %q line %d, want %q line %d", syntax.Path, syntax.Line, test.path, test.line)
	}
	if strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), "example") {
		t.Errorf("the error quotes the document: %v", err)
	}
}

func TestGoodDocumentOfTheRefusals(t *testing.T) {
	if _, err := dash.Rewrite(t.Context(), []byte(head+goodVideo()+tail), options(newGateway())); err != nil {
		t.Fatal(err)
	}
}

func manyAttributes(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, ` a%d=""`, i)
	}
	return b.String()
}

func manyNamespaces(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, ` xmlns:a%d="urn:%d"`, i, i)
	}
	return b.String()
}

func TestEmptyLiveDocumentIsAccepted(t *testing.T) {
	mpd := `<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="dynamic"/>`
	out, err := dash.Rewrite(t.Context(), []byte(mpd), options(newGateway()))
	if err != nil || string(out) != mpd {
		t.Errorf("%s, %v", out, err)
	}
}

func TestMisuse(t *testing.T) {
	base := address.NewBase(testPath, nil)
	for name, o := range map[string]dash.Options{
		"no protector":         {Base: base, From: testPath},
		"another document":     {Base: base, From: "/vod/other.mpd", Protector: newGateway()},
		"path with a prefix":   {Base: base, From: "/site" + testPath, Protector: newGateway()},
		"path without a slash": {Base: base, From: "m.mpd", Protector: newGateway()},
		"empty":                {},
	} {
		t.Run(name, func(t *testing.T) {
			if out, err := dash.Rewrite(t.Context(), []byte(head+goodVideo()+tail), o); !errors.Is(err, dash.ErrOptions) || out != nil {
				t.Errorf("%q, %v", out, err)
			}
		})
	}
}

// fixed is a Protector with one answer.
type fixed struct {
	dash.Protection
	sidecar []string
}

func (f fixed) AdaptationSet(context.Context, dash.AdaptationSet) (dash.Protection, error) {
	return f.Protection, nil
}

func (f fixed) Sidecar(context.Context, address.Target, string) ([]string, error) {
	return f.sidecar, nil
}

func (f fixed) Thumbnails(context.Context, address.Template) ([]string, error) {
	return f.sidecar, nil
}

// sealedAs is the answer for one Representation whose URLs get elements.
func sealedAs(elements ...string) []dash.TrackProtection {
	return []dash.TrackProtection{{Elements: elements}}
}

func TestContradictoryProtection(t *testing.T) {
	seal := sealedAs("~seal")
	good := dash.Protection{Scheme: drm.SchemeCenc, KID: testKID, Tracks: seal}
	subtitles := `<Period><AdaptationSet mimeType="text/vtt"><Representation id="1"><BaseURL>x.vtt</BaseURL></Representation></AdaptationSet></Period>`
	tests := map[string]struct {
		fixed
		want error
	}{
		"good":         {fixed{good, []string{"~s.a", "~b"}}, nil},
		"no elements":  {fixed{dash.Protection{Scheme: drm.SchemeCenc, KID: testKID}, nil}, dash.ErrOptions},
		"too many":     {fixed{dash.Protection{Scheme: drm.SchemeCenc, KID: testKID, Tracks: append(sealedAs("~a"), sealedAs("~b")...)}, nil}, dash.ErrOptions},
		"session only": {fixed{dash.Protection{Scheme: drm.SchemeCenc, KID: testKID, Tracks: sealedAs("~s.a")}, nil}, dash.ErrOptions},
		"empty seal":   {fixed{dash.Protection{Scheme: drm.SchemeCenc, KID: testKID, Tracks: sealedAs("~")}, nil}, dash.ErrOptions},
		"slash in an element": {
			fixed{dash.Protection{Scheme: drm.SchemeCenc, KID: testKID, Tracks: sealedAs("~a/..")}, nil}, dash.ErrOptions,
		},
		"identifier in an element": {
			fixed{dash.Protection{Scheme: drm.SchemeCenc, KID: testKID, Tracks: sealedAs("~$Time$")}, nil}, dash.ErrOptions,
		},
		"unknown scheme": {fixed{dash.Protection{Scheme: 9, KID: testKID, Tracks: seal}, nil}, dash.ErrOptions},
		"no KID":         {fixed{dash.Protection{Scheme: drm.SchemeCenc, Tracks: seal}, nil}, dash.ErrOptions},
		"clear video":    {fixed{dash.Protection{Tracks: seal}, nil}, dash.ErrClear},
		"sidecar":        {fixed{good, []string{"x"}}, dash.ErrOptions},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			o := dash.Options{Base: address.NewBase(testPath, nil), From: testPath, Protector: test.fixed}
			out, err := dash.Rewrite(t.Context(), []byte(head+goodVideo()+subtitles+tail), o)
			if !errors.Is(err, test.want) || (err == nil) != (out != nil) {
				t.Errorf("%s, %v", out, err)
			}
		})
	}
}

func TestErrorsOfTheProtector(t *testing.T) {
	g := newGateway()
	g.err = errors.New("no key")
	for name, mpd := range map[string]string{
		"segments": goodVideo(),
		"sidecar":  `<Period><AdaptationSet mimeType="text/vtt"><Representation id="1"><BaseURL>x</BaseURL></Representation></AdaptationSet></Period>`,
	} {
		t.Run(name, func(t *testing.T) {
			out, err := dash.Rewrite(t.Context(), []byte(head+mpd+tail), options(g))
			if !errors.Is(err, g.err) || out != nil || !strings.Contains(err.Error(), inSet) {
				t.Errorf("%s, %v", out, err)
			}
		})
	}
}

func TestCancellation(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if out, err := dash.Rewrite(ctx, []byte(head+goodVideo()+tail), options(newGateway())); !errors.Is(err, context.Canceled) || out != nil {
		t.Errorf("%s, %v", out, err)
	}
}
