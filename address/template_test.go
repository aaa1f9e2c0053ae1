package address

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestParseTemplateRefuses(t *testing.T) {
	for name, text := range map[string]string{
		"empty text":               "",
		"a relative path":          "seg_$Number$.m4s",
		"an unpaired $":            "/seg_$Number.m4s",
		"an unpaired $ at the end": "/seg_$Number$.m4s$",
		"an escaped $":             "/seg_$$.m4s",
		"$RepresentationID$, which is filled in early": "/$RepresentationID$/$Number$.m4s",
		"$Bandwidth$, which is filled in early":        "/$Bandwidth$/$Number$.m4s",
		"$SubNumber$":                                  "/$Number$_$SubNumber$.m4s",
		"an identifier in lower case":                  "/$number$.m4s",
		"an identifier with a space":                   "/$Number $.m4s",
		"a format without width":                       "/$Number%d$.m4s",
		"a format padded with spaces":                  "/$Number%5d$.m4s",
		"a width of zero":                              "/$Number%00d$.m4s",
		"a width over twenty":                          "/$Number%021d$.m4s",
		"a width that overflows":                       "/$Number%099999999999999999999d$.m4s",
		"a sign in the width":                          "/$Number%0+5d$.m4s",
		"a hexadecimal format":                         "/$Number%05x$.m4s",
		"a format without its d":                       "/$Number%05$.m4s",
		"an empty format":                              "/$Number%$.m4s",
		"two formats":                                  "/$Number%05d%05d$.m4s",
		"adjacent identifiers":                         "/$Number$$Time$.m4s",
		"identifiers with only digits between":         "/$Number$1$Time$.m4s",
		"identifiers with more digits between":         "/$Time$007$Time$.m4s",
		"an empty element":                             "/a//$Number$.m4s",
		"a dot element":                                "/a/./$Number$.m4s",
		"a dot-dot element":                            "/a/../$Number$.m4s",
		"a reserved element":                           "/~a/$Number$.m4s",
		"an identifier in a reserved element":          "/~$Number$/a.m4s",
		"an endpoint":                                  "/.drm/$Number$.m4s",
		"a trailing dot":                               "/a/$Number$.",
		"a backslash":                                  `/a\$Number$.m4s`,
		"a line feed":                                  "/a\n$Number$.m4s",
		"a zero byte":                                  "/a\x00$Number$.m4s",
		"text that is not UTF-8":                       "/a\xff$Number$.m4s",
		"digits that would complete an escape":         "/a%$Number$.m4s",
		"a digit that would complete an escape":        "/a%4$Number$.m4s",
		"a path over the limit":                        "/" + strings.Repeat("a", maxPath) + "$Number$",
	} {
		t.Run(name, func(t *testing.T) {
			got, err := ParseTemplate(text)
			if !errors.Is(err, ErrTemplate) || !got.IsZero() || got.String() != "" {
				t.Errorf("ParseTemplate(%q) = %+v, %v; want ErrTemplate", text, got, err)
			}
		})
	}
}

func TestMatch(t *testing.T) {
	number := func(n uint64) *Position { return &Position{Number: n, HasNumber: true} }
	time := func(n uint64) *Position { return &Position{Time: n, HasTime: true} }
	both := func(n, m uint64) *Position { return &Position{Number: n, Time: m, HasNumber: true, HasTime: true} }
	for name, test := range map[string]struct {
		template string
		path     Path
		want     *Position // nil: no match
	}{
		"a number":                                   {"/s_$Number$.m4s", "/s_7.m4s", number(7)},
		"zero is a number":                           {"/s_$Number$.m4s", "/s_0.m4s", number(0)},
		"the largest number":                         {"/s_$Number$.m4s", "/s_18446744073709551615.m4s", number(1<<64 - 1)},
		"one more than the largest":                  {"/s_$Number$.m4s", "/s_18446744073709551616.m4s", nil},
		"a leading zero is an alias":                 {"/s_$Number$.m4s", "/s_07.m4s", nil},
		"two zeros are an alias of zero":             {"/s_$Number$.m4s", "/s_00.m4s", nil},
		"no digits":                                  {"/s_$Number$.m4s", "/s_.m4s", nil},
		"a sign":                                     {"/s_$Number$.m4s", "/s_+7.m4s", nil},
		"a minus sign":                               {"/s_$Number$.m4s", "/s_-7.m4s", nil},
		"hexadecimal":                                {"/s_$Number$.m4s", "/s_0x7.m4s", nil},
		"an underscore":                              {"/s_$Number$.m4s", "/s_1_0.m4s", nil},
		"digits beyond ASCII":                        {"/s_$Number$.m4s", "/s_٧.m4s", nil},
		"a space":                                    {"/s_$Number$.m4s", "/s_ 7.m4s", nil},
		"more behind":                                {"/s_$Number$.m4s", "/s_7.m4s.bak", nil},
		"more in front":                              {"/s_$Number$.m4s", "/x/s_7.m4s", nil},
		"another extension":                          {"/s_$Number$.m4s", "/s_7.mp4", nil},
		"another letter case":                        {"/s_$Number$.m4s", "/S_7.m4s", nil},
		"the template itself":                        {"/s_$Number$.m4s", "/s_$Number$.m4s", nil},
		"a time":                                     {"/s_$Time$.m4s", "/s_900000.m4s", time(900000)},
		"width pads with zeros":                      {"/s_$Number%05d$.m4s", "/s_00007.m4s", number(7)},
		"fewer digits than the width":                {"/s_$Number%05d$.m4s", "/s_0007.m4s", nil},
		"a zero more than the width":                 {"/s_$Number%05d$.m4s", "/s_000007.m4s", nil},
		"more digits than the width":                 {"/s_$Number%05d$.m4s", "/s_1234567.m4s", number(1234567)},
		"zeros fill the width":                       {"/s_$Number%05d$.m4s", "/s_00000.m4s", number(0)},
		"a width of one is no width":                 {"/s_$Number%01d$.m4s", "/s_7.m4s", number(7)},
		"the largest width":                          {"/s_$Number%020d$.m4s", "/s_00000000000000000007.m4s", number(7)},
		"number and time":                            {"/$Number$/$Time$.m4s", "/7/900.m4s", both(7, 900)},
		"time and number with widths":                {"/$Time%06d$-$Number%03d$", "/000900-007", both(7, 900)},
		"the same twice agrees":                      {"/$Number$/s_$Number$.m4s", "/7/s_7.m4s", number(7)},
		"the same twice disagrees":                   {"/$Number$/s_$Number$.m4s", "/7/s_8.m4s", nil},
		"time twice disagrees":                       {"/$Time$/s_$Time$.m4s", "/7/s_8.m4s", nil},
		"the same twice at two widths":               {"/$Number%03d$/s_$Number$.m4s", "/007/s_7.m4s", number(7)},
		"a literal that begins with a digit":         {"/s_$Number$4k.m4s", "/s_124k.m4s", number(12)},
		"its digit is not there":                     {"/s_$Number$4k.m4s", "/s_125k.m4s", nil},
		"only its digit is there":                    {"/s_$Number$4k.m4s", "/s_4k.m4s", nil},
		"a literal of digits at the end":             {"/s_$Number$00", "/s_700", number(7)},
		"zeros before a literal of zeros":            {"/s_$Number$00", "/s_0700", nil},
		"a literal that begins with digits, between": {"/s_$Number$08x$Time$.m4s", "/s_108x900.m4s", both(1, 900)},
		"no identifiers: the path itself":            {"/a/init.mp4", "/a/init.mp4", &Position{}},
		"no identifiers: another path":               {"/a/init.mp4", "/a/init.mp5", nil},
		"no identifiers: more behind":                {"/a/init.mp4", "/a/init.mp4x", nil},
		"a letter beyond ASCII":                      {"/é/$Number$.m4s", "/é/7.m4s", number(7)},
	} {
		t.Run(name, func(t *testing.T) {
			tmpl, err := ParseTemplate(test.template)
			if err != nil {
				t.Fatal(err)
			}
			got, ok := tmpl.Match(test.path)
			want := Position{}
			if test.want != nil {
				want = *test.want
			}
			if ok != (test.want != nil) || got != want {
				t.Errorf("%q, %q: %+v, %v; want %+v", test.template, test.path, got, ok, test.want)
			}
			if ok && (got.HasNumber != tmpl.HasNumber() || got.HasTime != tmpl.HasTime()) {
				t.Errorf("HasNumber %v, HasTime %v", tmpl.HasNumber(), tmpl.HasTime())
			}
		})
	}
	if _, ok := (Template{}).Match(""); ok {
		t.Error("the zero Template matches")
	}
}

// drawTemplate draws the text of a template and the function that fills it in, which shares no code with the package.
func drawTemplate(t *rapid.T) (text string, fill func(number, time uint64) string) {
	type part struct {
		literal, name string
		width         int
	}
	literal := rapid.StringMatching(`[a-z0-9_.é/ -]{0,6}[a-z_é-]`)
	parts := []part{{literal: "/v" + rapid.StringMatching(`[0-9a-z]{0,4}`).Draw(t, "front")}}
	for range rapid.IntRange(0, 3).Draw(t, "identifiers") {
		parts = append(parts, part{
			name:  rapid.SampledFrom([]string{"Number", "Time"}).Draw(t, "identifier"),
			width: rapid.IntRange(0, 20).Draw(t, "width"),
		})
		parts = append(parts, part{literal: literal.Filter(func(s string) bool {
			_, err := ParsePath(escapePath("/x" + s))
			return err == nil && !strings.Contains(s, "/.")
		}).Draw(t, "literal")})
	}
	if last := &parts[len(parts)-1]; len(parts) > 1 && rapid.Bool().Draw(t, "digits at the end") {
		last.literal = rapid.StringMatching(`[0-9]{0,4}`).Draw(t, "digits")
	}
	for _, p := range parts {
		switch {
		case p.name == "":
			text += p.literal
		case p.width == 0:
			text += "$" + p.name + "$"
		default:
			text += "$" + p.name + "%0" + strconv.Itoa(p.width) + "d$"
		}
	}
	return text, func(number, time uint64) string {
		path := ""
		for _, p := range parts {
			digits := strconv.FormatUint(number, 10)
			if p.name == "Time" {
				digits = strconv.FormatUint(time, 10)
			}
			switch {
			case p.name == "":
				path += p.literal
			default:
				path += strings.Repeat("0", max(0, p.width-len(digits))) + digits
			}
		}
		return path
	}
}

// fillIdentifiers does with the text of a manifest what a player does.
func fillIdentifiers(text string, number, time uint64) string {
	pieces := strings.Split(text, "$")
	for i := 1; i < len(pieces); i += 2 {
		name, format, ok := strings.Cut(pieces[i], "%")
		if !ok {
			format = "d"
		}
		value := map[string]uint64{"Number": number, "Time": time}[name]
		pieces[i] = fmt.Sprintf("%"+format, value)
	}
	return strings.Join(pieces, "")
}

func TestMatchHoldsForWhatIsGenerated(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text, fill := drawTemplate(t)
		tmpl, err := ParseTemplate(text)
		if err != nil {
			t.Fatalf("ParseTemplate(%q): %v", text, err)
		}
		number, time := rapid.Uint64().Draw(t, "number"), rapid.Uint64().Draw(t, "time")
		path := fill(number, time)
		pos, ok := tmpl.Match(Path(path))
		if !ok || pos.HasNumber && pos.Number != number || pos.HasTime && pos.Time != time {
			t.Fatalf("%q does not match %q: %+v, %v", text, path, pos, ok)
		}
		// And for nothing else: one edit away lies either another segment, which generates that very path, or no match.
		at := rapid.IntRange(1, len(path)).Draw(t, "at")
		edit := rapid.SampledFrom([]string{"0", "1", "9", "", "a", "/", "."}).Draw(t, "edit")
		cut := min(len(path), at+rapid.IntRange(0, 1).Draw(t, "cut"))
		edited := path[:at] + edit + path[cut:]
		if pos, ok := tmpl.Match(Path(edited)); ok && fill(pos.Number, pos.Time) != edited {
			t.Fatalf("%q matches %q, which it writes as %q", text, edited, fill(pos.Number, pos.Time))
		}
	})
}

func TestResolveTemplate(t *testing.T) {
	values := TemplateValues{RepresentationID: "v1", Bandwidth: "800000"}
	for name, test := range map[string]struct {
		ref    string
		values TemplateValues
		want   string
		target Target
	}{
		"a number":                           {"$Number$.m4s", values, "/vod/demo/$Number$.m4s", Target{}},
		"id and bandwidth are filled in":     {"$RepresentationID$/$Bandwidth$/$Time$.m4s", values, "/vod/demo/v1/800000/$Time$.m4s", Target{}},
		"bandwidth takes a width":            {"$Bandwidth%08d$/$Time$.m4s", values, "/vod/demo/00800000/$Time$.m4s", Target{}},
		"a width is kept":                    {"s_$Number%05d$.m4s", values, "/vod/demo/s_$Number%05d$.m4s", Target{}},
		"both identifiers keep their order":  {"$Time$/$Number$.m4s", values, "/vod/demo/$Time$/$Number$.m4s", Target{}},
		"digits beside identifiers":          {"0$Number$1x$Time$2", values, "/vod/demo/0$Number$1x$Time$2", Target{}},
		"a template that climbs":             {"../x/$Number$.m4s", values, "/vod/x/$Number$.m4s", Target{}},
		"a known origin":                     {"https://origin.example/media/$Number$.m4s", values, "/$Number$.m4s", Target{}},
		"a query is kept":                    {"$Number$.m4s?q=1", values, "/vod/demo/$Number$.m4s", Target{RawQuery: "q=1"}},
		"no identifier: one resource":        {"init.mp4", values, "/vod/demo/init.mp4", Target{Path: "/vod/demo/init.mp4"}},
		"only an id: one resource":           {"$RepresentationID$.mp4", values, "/vod/demo/v1.mp4", Target{Path: "/vod/demo/v1.mp4"}},
		"an id with a slash is two elements": {"$RepresentationID$/i.mp4", TemplateValues{RepresentationID: "a/b"}, "/vod/demo/a/b/i.mp4", Target{Path: "/vod/demo/a/b/i.mp4"}},
		"an id with a space":                 {"$RepresentationID$.mp4", TemplateValues{RepresentationID: "a b"}, "/vod/demo/a b.mp4", Target{Path: "/vod/demo/a b.mp4"}},
		"an id with quotes and brackets":     {"$RepresentationID$.mp4", TemplateValues{RepresentationID: `"<'>&`}, `/vod/demo/"<'>&.mp4`, Target{Path: `/vod/demo/"<'>&.mp4`}},
		"an id with a colon":                 {"$RepresentationID$.mp4", TemplateValues{RepresentationID: "v:1"}, "", Target{}},
		"an id with a colon behind a dot":    {"./$RepresentationID$.mp4", TemplateValues{RepresentationID: "v:1"}, "/vod/demo/v:1.mp4", Target{Path: "/vod/demo/v:1.mp4"}},
		"an id beyond ASCII":                 {"$RepresentationID$.mp4", TemplateValues{RepresentationID: "日é"}, "/vod/demo/日é.mp4", Target{Path: "/vod/demo/日é.mp4"}},
		"an id that is used twice":           {"$RepresentationID$/$RepresentationID$.mp4", values, "/vod/demo/v1/v1.mp4", Target{Path: "/vod/demo/v1/v1.mp4"}},
		"an id that climbs goes up":          {"a/$RepresentationID$.mp4", TemplateValues{RepresentationID: "../b"}, "/vod/demo/b.mp4", Target{Path: "/vod/demo/b.mp4"}},
	} {
		t.Run(name, func(t *testing.T) {
			got, target, err := testBase(t).ResolveTemplate(test.ref, test.values)
			if test.want == "" {
				if err == nil {
					t.Fatalf("got %q", got)
				}
				return
			}
			if err != nil || got.String() != test.want || target != test.target {
				t.Fatalf("ResolveTemplate(%q) = %q, %+v, %v; want %q, %+v", test.ref, got, target, err, test.want, test.target)
			}
		})
	}
}

func TestResolveTemplateRefuses(t *testing.T) {
	id := func(s string) TemplateValues { return TemplateValues{RepresentationID: s, Bandwidth: "1"} }
	for name, test := range map[string]struct {
		ref    string
		values TemplateValues
		want   error
	}{
		"an unpaired $":                        {"$Number.m4s", id("v"), ErrTemplate},
		"an escaped $":                         {"a$$.m4s", id("v"), ErrTemplate},
		"$SubNumber$":                          {"$SubNumber$.m4s", id("v"), ErrTemplate},
		"an unknown identifier":                {"$Quality$.m4s", id("v"), ErrTemplate},
		"the marker of an identifier":          {"$0$.m4s", id("v"), ErrTemplate},
		"a $ spelled as an escape":             {"%24Number%24.m4s", id("v"), ErrTemplate},
		"a marker spelled as an escape":        {"%240%24.m4s?n=$Number$", id("v"), ErrTemplate},
		"an identifier in the query":           {"a.m4s?n=$Number$", id("v"), ErrTemplate},
		"an identifier in path and query":      {"$Time$.m4s?n=$Number$", id("v"), ErrTemplate},
		"an identifier that ../ takes away":    {"$Number$/../$Time$.m4s", id("v"), ErrTemplate},
		"an identifier in front of the host":   {"//$Number$.example/a.m4s", id("v"), ErrForeign},
		"adjacent identifiers":                 {"$Number$$Time$.m4s", id("v"), ErrTemplate},
		"only digits between identifiers":      {"$Number$1$Time$.m4s", id("v"), ErrTemplate},
		"no id":                                {"$RepresentationID$.m4s", TemplateValues{}, ErrTemplate},
		"an id with an identifier":             {"$RepresentationID$.m4s", id("$Number$"), ErrTemplate},
		"an id with an escape":                 {"$RepresentationID$.m4s", id("%2e%2e"), ErrTemplate},
		"an id with a query":                   {"$RepresentationID$.m4s", id("a?b"), ErrTemplate},
		"an id with a fragment":                {"$RepresentationID$.m4s", id("a#b"), ErrTemplate},
		"an id with a format":                  {"$RepresentationID%05d$.m4s", id("v"), ErrTemplate},
		"an id with a backslash":               {"$RepresentationID$.m4s", id(`..\a`), ErrReference},
		"an id with a line feed":               {"$RepresentationID$.m4s", id("a\nb"), ErrReference},
		"an id with a seal":                    {"$RepresentationID$/a.m4s", id("~S"), ErrReference},
		"an id with an endpoint":               {"$RepresentationID$/a.m4s", id(".drm"), ErrReference},
		"an id that is a host":                 {"$RepresentationID$/a.m4s", id("//evil.example"), ErrForeign},
		"an id that is a host, behind a slash": {"/$RepresentationID$/a.m4s", id("/evil.example"), ErrForeign},
		"no bandwidth":                         {"$Bandwidth$.m4s", TemplateValues{RepresentationID: "v"}, ErrTemplate},
		"a bandwidth that climbs":              {"$Bandwidth$.m4s", TemplateValues{Bandwidth: "../1"}, ErrTemplate},
		"a bandwidth with an identifier":       {"$Bandwidth$.m4s", TemplateValues{Bandwidth: "$Number$"}, ErrTemplate},
		"a bandwidth with a sign":              {"$Bandwidth$.m4s", TemplateValues{Bandwidth: "+1"}, ErrTemplate},
		"another host":                         {"http://evil.example/$Number$.m4s", id("v"), ErrForeign},
		"a seal":                               {"~S/$Number$.m4s", id("v"), ErrReference},
		"a number in a reserved element":       {"~$Number$/a.m4s", id("v"), ErrReference},
		"an escaped slash":                     {"a%2f$Number$.m4s", id("v"), ErrReference},
		"a percent sign before digits":         {"a%25$Number$.m4s", id("v"), ErrTemplate},
	} {
		t.Run(name, func(t *testing.T) {
			got, target, err := testBase(t).ResolveTemplate(test.ref, test.values)
			if !errors.Is(err, test.want) || !got.IsZero() || target != (Target{}) {
				t.Errorf("ResolveTemplate(%q) = %q, %+v, %v; want %v", test.ref, got, target, err, test.want)
			}
		})
	}
	for _, manifest := range []Path{"/vod/$Number$/m.mpd", "/vod/$0$/m.mpd", "/vod/$/m.mpd"} {
		for _, ref := range []string{"$Number$.m4s", "x?n=$Number$"} {
			if got, _, err := NewBase(manifest, nil).ResolveTemplate(ref, id("v")); !errors.Is(err, ErrTemplate) {
				t.Errorf("a $ in %q: %q, %v", manifest, got, err)
			}
		}
	}
}

func FuzzParseTemplate(f *testing.F) {
	for _, seed := range []string{
		"/s_$Number$.m4s", "/$Time%05d$/$Number$.m4s", "/$Number$1$Time$", "/$$", "/a%$Number$", "/~$Number$", "/$Number%020d$", "/x",
	} {
		f.Add(seed, uint64(7), uint64(900), "/s_7.m4s")
	}
	f.Fuzz(func(t *testing.T, text string, number, time uint64, other string) {
		tmpl, err := ParseTemplate(text)
		if err != nil {
			if !tmpl.IsZero() || !errors.Is(err, ErrTemplate) {
				t.Fatalf("ParseTemplate(%q) = %+v, %v", text, tmpl, err)
			}
			return
		}
		if tmpl.String() != text {
			t.Fatalf("ParseTemplate(%q) writes %q", text, tmpl)
		}
		path := fillIdentifiers(text, number, time)
		pos, ok := tmpl.Match(Path(path))
		if !ok || pos.HasNumber && pos.Number != number || pos.HasTime && pos.Time != time {
			t.Fatalf("%q does not match %q: %+v", text, path, pos)
		}
		if p, err := ParsePath(escapePath(path)); len(escapePath(path)) <= maxPath && (err != nil || string(p) != path) {
			t.Fatalf("%q generates %q, which is no clean path: %v", text, path, err)
		}
		if pos, ok := tmpl.Match(Path(other)); ok && fillIdentifiers(text, pos.Number, pos.Time) != other {
			t.Fatalf("%q matches the alias %q", text, other)
		}
	})
}
