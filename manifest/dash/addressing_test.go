package dash_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/caddy-drm/caddy-drm/address"
	"github.com/caddy-drm/caddy-drm/drm"
	"github.com/caddy-drm/caddy-drm/manifest/dash"
)

// numbering is a Protector that leaves clear what it may, so that results hold nothing but addresses. The seals of a list
// say what they are for.
type numbering struct{ *dash.Timeline }

func (n numbering) AdaptationSet(_ context.Context, set dash.AdaptationSet) (dash.Protection, error) {
	var p dash.Protection
	for range set.Representations {
		p.Tracks = append(p.Tracks, dash.TrackProtection{
			Elements: []string{"~s.x", "~seal"},
			Timeline: n.Timeline,
			Segment: func(part dash.Resource) ([]string, error) {
				return []string{fmt.Sprintf("~%s.%d.%d", part.Path.Base(), part.Range.Offset, part.Range.Length)}, nil
			},
		})
	}
	return p, nil
}

func (numbering) Sidecar(context.Context, address.Target, string) ([]string, error) {
	return []string{"~side"}, nil
}

func (numbering) Thumbnails(context.Context, address.Template) ([]string, error) {
	return []string{"~side"}, nil
}

// text is a Period with a text track, which may stay clear.
func text(inside string) string {
	return `<Period><AdaptationSet mimeType="application/mp4">` + inside + `</AdaptationSet></Period>`
}

func rep(inside string) string { return `<Representation id="1">` + inside + `</Representation>` }

func TestWhatIsWrittenForAnIndex(t *testing.T) {
	const (
		file     = `<BaseURL>f.mp4</BaseURL>`
		fileInit = `initialization="~s.x/~seal/f.mp4" media="~s.x/~seal/~n.$Number$/f.mp4"`
		times    = `<SegmentTimeline><S t="500" d="2000" r="1"/><S d="1500"/><S t="7000" d="1500" r="1"/></SegmentTimeline>`
		segments = `startNumber="1" ` + fileInit + `>` + times + `</SegmentTemplate>`
	)
	tests := map[string]struct{ mpd, want string }{
		"plain": {
			text(rep(file + `<SegmentBase indexRange="10-20"><Initialization range="0-9"/></SegmentBase>`)),
			text(rep(`<SegmentTemplate timescale="1000" ` + segments)),
		},
		"self-closed and indented": {
			text("\n <Representation id='1'>\n  " + file + "\n  <SegmentBase indexRange=' 10-20 '/>\n </Representation>\n"),
			text("\n <Representation id='1'>\n  <SegmentTemplate timescale=\"1000\" " + segments + "\n </Representation>\n"),
		},
		"inherited, no element of its own": {
			`<Period><SegmentBase timescale="10" presentationTimeOffset="3"/><AdaptationSet mimeType="application/mp4"><BaseURL>f.mp4</BaseURL>` +
				`<SegmentBase indexRange="10-20"/><Representation id="1"/></AdaptationSet></Period>`,
			text(rep(`<SegmentTemplate timescale="1000" presentationTimeOffset="300" ` + segments)),
		},
		"times of the element in seconds": {
			text(rep(file + `<SegmentBase indexRange="10-20" presentationTimeOffset="2" presentationDuration="60"/>`)),
			text(rep(`<SegmentTemplate timescale="1000" presentationTimeOffset="2000" presentationDuration="60000" ` + segments)),
		},
		"times to the nearest tick": {
			text(rep(file + `<SegmentBase indexRange="10-20" timescale="90000" presentationTimeOffset="135" presentationDuration="134"/>`)),
			text(rep(`<SegmentTemplate timescale="1000" presentationTimeOffset="2" presentationDuration="1" ` + segments)),
		},
		"availability": {
			text(rep(`<BaseURL availabilityTimeOffset="INF">f.mp4</BaseURL><SegmentBase indexRange="10-20" availabilityTimeOffset="1.5" availabilityTimeComplete='false' timeShiftBufferDepth="PT1&#34;S"/>`)),
			text(rep(`<BaseURL availabilityTimeOffset="INF">./</BaseURL><SegmentTemplate timescale="1000" availabilityTimeOffset="1.5" availabilityTimeComplete="false" timeShiftBufferDepth="PT1&quot;S" ` + segments)),
		},
		"dollars and a query": {
			text(rep(`<BaseURL>$Number$/a$b.mp4?c=$Time$&amp;d</BaseURL><SegmentBase indexRange="10-20"/>`)),
			text(rep(`<SegmentTemplate timescale="1000" startNumber="1" initialization="$$Number$$/~s.x/~seal/a$$b.mp4?c=$$Time$$&amp;d" ` +
				`media="$$Number$$/~s.x/~seal/~n.$Number$/a$$b.mp4?c=$$Time$$&amp;d">` + times + `</SegmentTemplate>`)),
		},
		"another tree and a colon": {
			text(rep(`<BaseURL>/x/a:b.mp4</BaseURL><SegmentBase indexRange="10-20"/>`)),
			text(rep(`<SegmentTemplate timescale="1000" startNumber="1" initialization="../../x/~s.x/~seal/a:b.mp4" media="../../x/~s.x/~seal/~n.$Number$/a:b.mp4">` +
				times + `</SegmentTemplate>`)),
		},
		"strays inside": {
			text(rep(file + `<SegmentBase indexRange="10-20"><PatchLocation/><UTCTiming schemeIdUri="urn:mpeg:dash:utc:http-iso:2014" value="/x"/></SegmentBase>`)),
			text(rep(`<SegmentTemplate timescale="1000" ` + segments)),
		},
		"a file that plays at once, beside": {
			text(rep(file+`<SegmentBase indexRange="10-20"/>`)) + `<Period><AdaptationSet mimeType="text/vtt">` + rep(`<BaseURL>s.vtt</BaseURL><SegmentBase presentationTimeOffset="1"/>`) + `</AdaptationSet></Period>`,
			text(rep(`<SegmentTemplate timescale="1000" `+segments)) + `<Period><AdaptationSet mimeType="text/vtt">` + rep(`<BaseURL>~side/s.vtt</BaseURL><SegmentBase presentationTimeOffset="1"/>`) + `</AdaptationSet></Period>`,
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			checkWritten(t, test.mpd, test.want)
		})
	}
}

func checkWritten(t *testing.T, mpd, want string) {
	t.Helper()
	o := dash.Options{Base: address.NewBase(testPath, testOrigins()), From: testPath, Protector: numbering{testTimeline}}
	out, err := dash.Rewrite(t.Context(), []byte(head+mpd+tail), o)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(head+want+tail, string(out)); diff != "" {
		t.Error(diff)
	}
}

func TestWhatIsWrittenForAList(t *testing.T) {
	const (
		initOf   = `<Initialization sourceURL="i.mp4"/>`
		sealInit = `<Initialization sourceURL="~i.mp4.0.0/i.mp4"/>`
		urls     = `<SegmentURL media="a"/><SegmentURL media="b"/><SegmentURL media="c"/>`
		sealURLs = `<SegmentURL media="~a.0.0/a"/><SegmentURL media="~b.0.0/b"/><SegmentURL media="~c.0.0/c"/>`
	)
	timeline := func(s string) string { return `<SegmentTimeline>` + s + `</SegmentTimeline>` }
	timed := func(s string) string {
		return text(rep(`<SegmentList timescale="10" duration="7">` + initOf + timeline(s) + urls + `</SegmentList>`))
	}
	timedWant := func(s string) string {
		return text(rep(`<SegmentList timescale="10">` + sealInit + timeline(s) + sealURLs + `</SegmentList>`))
	}
	tests := map[string]struct{ mpd, want string }{
		"files": {
			text(rep(`<SegmentList duration="2" startNumber="5" x="y">` + initOf + ` <!-- c --> ` + urls + `</SegmentList>`)),
			text(rep(`<SegmentList startNumber="5" duration="2">` + sealInit + sealURLs + `</SegmentList>`)),
		},
		"ranges": {
			text(rep(`<BaseURL>f.mp4?q</BaseURL><SegmentList><Initialization range="0-9"/><SegmentURL mediaRange="10-19" indexRange="10-12"/><SegmentURL mediaRange=" 20-20 " index="x"/><SegmentURL media="../g.mp4" mediaRange="1-2"/></SegmentList>`)),
			text(rep(`<SegmentList><Initialization sourceURL="~f.mp4.0.10/f.mp4?q"/><SegmentURL media="~f.mp4.10.10/f.mp4?q"/><SegmentURL media="~f.mp4.20.1/f.mp4?q"/><SegmentURL media="../~g.mp4.1.2/g.mp4"/></SegmentList>`)),
		},
		"inherited": {
			`<Period><SegmentList timescale="9" presentationTimeOffset="4">` + initOf + `<SegmentURL media="wrong"/></SegmentList><AdaptationSet mimeType="application/mp4"><SegmentList duration="3" timescale="10">` + urls + `</SegmentList>` +
				`<Representation id="1"/><Representation id="2"><SegmentList endNumber="9"/></Representation></AdaptationSet></Period>`,
			text(`<Representation id="1"><SegmentList timescale="10" presentationTimeOffset="4" duration="3">` + sealInit + sealURLs + `</SegmentList></Representation>` +
				`<Representation id="2"><SegmentList timescale="10" presentationTimeOffset="4" endNumber="9" duration="3">` + sealInit + sealURLs + `</SegmentList></Representation>`),
		},
		"repeats":                  {timed(`<S t="5" d="2" r="2"/>`), timedWant(`<S t="5" d="2"/><S d="2"/><S d="2"/>`)},
		"repeats to the end":       {timed(`<S d="2" r=" -1 "/>`), timedWant(`<S d="2"/><S d="2"/><S d="2"/>`)},
		"repeats to the next":      {timed(`<S t="1" d="2" r="-1"/><S t="4" d="9"/>`), timedWant(`<S t="1" d="2"/><S d="2"/><S t="4" d="9"/>`)},
		"repeats to the next, all": {timed(`<S t="1" d="2" r="-1"/><S t="5" d="9"/>`), timedWant(`<S t="1" d="2"/><S d="2"/><S t="5" d="9"/>`)},
		"repeats for ever":         {timed(`<S d="2"/><S d="3" r="2147483647"/><S d="secret"/>`), timedWant(`<S d="2"/><S d="3"/><S d="3"/>`)},
		"fewer than segments":      {timed(`<S t="&#55;" d="2"><x/></S>`), timedWant(`<S t="7" d="2"/>`)},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) { checkWritten(t, test.mpd, test.want) })
	}
}

func TestRefusedAddressing(t *testing.T) {
	indexed := func(attributes, inside string) string {
		return head + video(rep(`<BaseURL>f.mp4</BaseURL><SegmentBase `+attributes+`>`+inside+`</SegmentBase>`)) + tail
	}
	list := func(inside string) string {
		return head + video(rep(`<BaseURL>f.mp4</BaseURL><SegmentList duration="1">`+inside+`</SegmentList>`)) + tail
	}
	const (
		good     = `indexRange="10-20"`
		initOf   = `<Initialization range="0-9"/>`
		url      = `<SegmentURL mediaRange="10-20"/>`
		inList   = inRep + "/SegmentList[0]"
		atInit   = inList + "/Initialization[0]"
		atURL    = inList + "/SegmentURL[0]"
		timeline = inList + "/SegmentTimeline[0]"
	)
	listed := func(s string) string {
		return list(initOf + `<SegmentTimeline>` + s + `</SegmentTimeline>` + url + url)
	}
	tests := map[string]refusal{
		"a file without an index":    {head + video(rep(`<BaseURL>f.mp4</BaseURL>`)) + tail, dash.ErrUnsupported, inRep, 1},
		"no range of the index":      {head + video(rep(`<BaseURL>f.mp4</BaseURL><SegmentBase timescale="1"/>`)) + tail, dash.ErrUnsupported, inRep, 1},
		"no range, but an init":      {indexed("", initOf), dash.ErrUnsupported, inRep, 1},
		"no file":                    {head + video(rep(`<SegmentBase `+good+`/>`)) + tail, dash.ErrStructure, inRep, 1},
		"a directory":                {head + video(rep(`<BaseURL>secret/</BaseURL><SegmentBase `+good+`/>`)) + tail, dash.ErrStructure, inRep, 1},
		"foreign file":               {head + video(rep(`<BaseURL>https://secret.example/f.mp4</BaseURL><SegmentBase `+good+`/>`)) + tail, address.ErrForeign, inRep + "/BaseURL[0]", 1},
		"range backwards":            {indexed(`indexRange="5-3"`, ""), address.ErrRange, inRep, 1},
		"range empty":                {indexed(`indexRange=""`, ""), address.ErrRange, inRep, 1},
		"range open":                 {indexed(`indexRange="5-"`, ""), address.ErrRange, inRep, 1},
		"range of the end":           {indexed(`indexRange="-5"`, ""), address.ErrRange, inRep, 1},
		"two ranges":                 {indexed(`indexRange="1-2,4-5"`, ""), address.ErrRange, inRep, 1},
		"range with a unit":          {indexed(`indexRange="bytes=1-2"`, ""), address.ErrRange, inRep, 1},
		"range with signs":           {indexed(`indexRange="+1-+2"`, ""), address.ErrRange, inRep, 1},
		"range to 2^63":              {indexed(`indexRange="1-9223372036854775807"`, ""), address.ErrRange, inRep, 1},
		"range to 2^64-1":            {indexed(`indexRange="0-18446744073709551615"`, ""), address.ErrRange, inRep, 1},
		"range to 2^64":              {indexed(`indexRange="1-18446744073709551616"`, ""), address.ErrRange, inRep, 1},
		"range from 2^64-1":          {indexed(`indexRange="18446744073709551615-18446744073709551615"`, ""), address.ErrRange, inRep, 1},
		"nothing in front of it":     {indexed(`indexRange="0-20"`, ""), dash.ErrUnsupported, inRep, 1},
		"init range":                 {indexed(good, `<Initialization range="9-0"/>`), address.ErrRange, inRep + "/SegmentBase[0]/Initialization[0]", 1},
		"init of another file":       {indexed(good, `<Initialization sourceURL="secret.mp4"/>`), dash.ErrUnsupported, inRep, 1},
		"foreign init":               {indexed(good, `<Initialization sourceURL="https://secret.example/"/>`), address.ErrForeign, inRep + "/SegmentBase[0]/Initialization[0]", 1},
		"two inits":                  {indexed(good, initOf+initOf), dash.ErrStructure, inRep + "/SegmentBase[0]/Initialization[1]", 1},
		"RepresentationIndex":        {indexed(good, `<RepresentationIndex/>`), dash.ErrUnsupported, inRep + "/SegmentBase[0]/RepresentationIndex[0]", 1},
		"two indexes":                {head + video(rep(`<SegmentBase/><SegmentBase/>`)) + tail, dash.ErrStructure, inRep + "/SegmentBase[1]", 1},
		"offset is no number":        {indexed(good+` presentationTimeOffset="secret"`, ""), dash.ErrStructure, inRep, 1},
		"offset past 2^64":           {indexed(good+` presentationTimeOffset="18446744073709551615"`, ""), dash.ErrStructure, inRep, 1},
		"timescale 0":                {indexed(good+` timescale="0" presentationTimeOffset="1"`, ""), dash.ErrStructure, inRep, 1},
		"timescale past 2^32":        {indexed(good+` timescale="4294967296" presentationTimeOffset="1"`, ""), dash.ErrStructure, inRep, 1},
		"index under a template":     {head + video(goodTemplate+rep(`<SegmentBase `+good+`/>`)) + tail, dash.ErrStructure, inRep, 1},
		"list and template":          {head + video(rep(`<SegmentList/>`+goodTemplate)) + tail, dash.ErrStructure, inRep, 1},
		"list under an index":        {head + video(`<SegmentBase `+good+`/>`+rep(`<SegmentList/>`)) + tail, dash.ErrStructure, inRep, 1},
		"template under an index":    {head + `<Period><SegmentBase/><AdaptationSet mimeType="video/mp4">` + goodTemplate + goodRep + `</AdaptationSet></Period>` + tail, dash.ErrStructure, inRep, 1},
		"times above a sidecar":      {head + `<Period><AdaptationSet mimeType="text/vtt"><SegmentBase presentationTimeOffset="1"/>` + rep(`<BaseURL>x.vtt</BaseURL>`) + `</AdaptationSet></Period>` + tail, dash.ErrUnsupported, inRep, 1},
		"list without an init":       {list(url), dash.ErrUnsupported, inRep, 1},
		"list without segments":      {list(initOf), dash.ErrStructure, inRep, 1},
		"two lists":                  {head + video(`<SegmentList/><SegmentList/>`) + tail, dash.ErrStructure, inSet + "/SegmentList[1]", 1},
		"remote list":                {head + video(`<SegmentList xmlns:l="http://www.w3.org/1999/xlink" l:href="secret"/>`) + tail, dash.ErrXlink, inSet + "/SegmentList[0]", 1},
		"list of another":            {head + video(`<x:SegmentList xmlns:x="urn:x"/>`) + tail, dash.ErrNamespace, inSet + "/SegmentList[0]", 1},
		"segment outside":            {head + video(url) + tail, dash.ErrStructure, inSet + "/SegmentURL[0]", 1},
		"segment of a template":      {head + video(`<SegmentTemplate>`+url+`</SegmentTemplate>`) + tail, dash.ErrStructure, inSet + "/SegmentTemplate[0]/SegmentURL[0]", 1},
		"bitstream switching":        {list(initOf + `<BitstreamSwitching/>` + url), dash.ErrUnsupported, inList + "/BitstreamSwitching[0]", 1},
		"range of a listed init":     {list(`<Initialization range="5-3"/>` + url), address.ErrRange, atInit, 1},
		"range of a segment":         {list(initOf + `<SegmentURL mediaRange="5-3"/>`), address.ErrRange, atURL, 1},
		"foreign segment":            {list(initOf + url + "\n" + `<SegmentURL media="https://secret.example/"/>`), address.ErrForeign, inList + "/SegmentURL[1]", 2},
		"segment is a directory":     {list(initOf + `<SegmentURL media="secret/"/>`), dash.ErrStructure, atURL, 1},
		"segment is the init":        {list(initOf + `<SegmentURL mediaRange="0-9"/>`), dash.ErrStructure, atURL, 1},
		"segment with a fragment":    {list(initOf + `<SegmentURL media="a#secret"/>`), address.ErrReference, atURL, 1},
		"segment and init unnamed":   {head + video(rep(`<SegmentList><Initialization/><SegmentURL/></SegmentList>`)) + tail, dash.ErrStructure, inList + "/Initialization[0]", 1},
		"listed time: no duration":   {listed(`<S t="1"/>`), dash.ErrStructure, timeline + "/S[0]", 1},
		"listed time: duration 0":    {listed(`<S d="0"/>`), dash.ErrStructure, timeline + "/S[0]", 1},
		"listed time: no time":       {listed(`<S d="1"/><S t="secret" d="1"/>`), dash.ErrStructure, timeline + "/S[1]", 1},
		"listed time: no repeats":    {listed(`<S d="1" r="9999999999"/>`), dash.ErrStructure, timeline + "/S[0]", 1},
		"listed time: no end":        {listed(`<S d="1" r="-1"/><S d="1"/>`), dash.ErrStructure, timeline + "/S[0]", 1},
		"listed time: end in front":  {listed(`<S t="5" d="1" r="-1"/><S t="5" d="1"/>`), dash.ErrStructure, timeline + "/S[0]", 1},
		"listed time: next unread":   {listed(`<S t="5" d="1" r="-1"/><S t="5"/>`), dash.ErrStructure, timeline + "/S[1]", 1},
		"listed time: past 2^64":     {listed(`<S t="18446744073709551615" d="1"/>`), dash.ErrStructure, timeline + "/S[0]", 1},
		"listed time: sequence":      {listed(`<S d="1" k="2"/>`), dash.ErrUnsupported, timeline + "/S[0]", 1},
		"listed time: number":        {listed(`<S d="1" n="2"/>`), dash.ErrUnsupported, timeline + "/S[0]", 1},
		"thumbnails in a list alone": {head + `<Period><AdaptationSet mimeType="image/png">` + rep(`<SegmentList><SegmentURL media="https://x.example/"/></SegmentList>`) + `</AdaptationSet></Period>` + tail, dash.ErrNothingSealed, "MPD", 1},
	}
	for name, test := range tests {
		t.Run(name, test.check)
	}
}

func TestContradictoryTracks(t *testing.T) {
	indexed := video(rep(`<BaseURL>f.mp4</BaseURL><SegmentBase indexRange="10-20"/>`))
	list := video(rep(`<SegmentList duration="1"><Initialization sourceURL="i"/><SegmentURL media="a"/></SegmentList>`))
	timeline := func(timescale uint32, s ...dash.TimelineSegment) dash.TrackProtection {
		return dash.TrackProtection{Elements: []string{"~s"}, Timeline: &dash.Timeline{Timescale: timescale, Segments: s}}
	}
	segment := func(err error, elements ...string) dash.TrackProtection {
		return dash.TrackProtection{Segment: func(dash.Resource) ([]string, error) { return elements, err }}
	}
	errSegment := errors.New("not in the asset")
	tests := map[string]struct {
		mpd   string
		track dash.TrackProtection
		want  error
	}{
		"good index":            {indexed, timeline(1, dash.TimelineSegment{Time: 1, Duration: 2}, dash.TimelineSegment{Time: 3, Duration: 2}), nil},
		"good list":             {list, segment(nil, "~s.a", "~b"), nil},
		"no timeline":           {indexed, dash.TrackProtection{Elements: []string{"~s"}}, dash.ErrOptions},
		"no seal":               {indexed, dash.TrackProtection{Timeline: testTimeline}, dash.ErrOptions},
		"no timescale":          {indexed, timeline(0, dash.TimelineSegment{Duration: 1}), dash.ErrOptions},
		"no times":              {indexed, timeline(1), dash.ErrOptions},
		"no duration":           {indexed, timeline(1, dash.TimelineSegment{}), dash.ErrOptions},
		"times that overlap":    {indexed, timeline(1, dash.TimelineSegment{Duration: 2}, dash.TimelineSegment{Time: 1, Duration: 2}), dash.ErrOptions},
		"times past 2^64":       {indexed, timeline(1, dash.TimelineSegment{Time: 1<<64 - 1, Duration: 1}), dash.ErrOptions},
		"no seals of a list":    {list, dash.TrackProtection{Elements: []string{"~s"}}, dash.ErrOptions},
		"an empty seal":         {list, segment(nil), dash.ErrOptions},
		"not a seal":            {list, segment(nil, "x"), dash.ErrOptions},
		"an error of a segment": {list, segment(errSegment, "~s"), errSegment},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			p := fixed{Protection: dash.Protection{Scheme: drm.SchemeCenc, KID: testKID, Tracks: []dash.TrackProtection{test.track}}}
			o := dash.Options{Base: address.NewBase(testPath, nil), From: testPath, Protector: p}
			out, err := dash.Rewrite(t.Context(), []byte(head+test.mpd+tail), o)
			if !errors.Is(err, test.want) || (err == nil) != (out != nil) {
				t.Errorf("%s, %v", out, err)
			}
		})
	}
}
