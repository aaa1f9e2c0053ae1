package cat

import (
	"crypto/sha256"
	"crypto/sha512"
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/fxamacker/cbor/v2"

	"github.com/caddy-drm/caddy-drm/token"
)

type m = map[int64]any

func net4(a, b, c, d byte) netip.Addr { return netip.AddrFrom4([4]byte{a, b, c, d}) }

func net(p string) any { return Network(netip.MustParsePrefix(p)) }

func digest256(s string) []byte { d := sha256.Sum256([]byte(s)); return d[:] }

func digest512(s string) []byte { d := sha512.Sum512_256([]byte(s)); return d[:] }

// TestDemands: each claim holds for what it says, for nothing else, and what cannot be understood is refused.
func TestDemands(t *testing.T) {
	v := newVerifier(t, Config{})
	for name, test := range map[string]struct {
		claims map[int64]any
		edit   func(*token.Request)
		want   error // nil: it holds
	}{
		"no demand":                              {with(), nil, nil},
		"a method":                               {with(Method, []string{"HEAD", "GET"}), nil, nil},
		"another method":                         {with(Method, []string{"HEAD"}), nil, token.ErrRequest},
		"a method in another case":               {with(Method, []string{"get"}), nil, token.ErrRequest},
		"no method at all":                       {with(Method, []string{}), nil, token.ErrMalformed},
		"methods that are no list":               {with(Method, "GET"), nil, token.ErrMalformed},
		"a protocol":                             {with(ALPN, []any{[]byte("h2"), []byte("h3")}), nil, nil},
		"another protocol":                       {with(ALPN, []any{[]byte("h3")}), nil, token.ErrRequest},
		"a protocol as text":                     {with(ALPN, []any{"h2"}), nil, token.ErrMalformed},
		"a protocol, and no TLS":                 {with(ALPN, []any{[]byte("h2")}), func(r *token.Request) { r.ALPN = "" }, token.ErrRequest},
		"an empty protocol, and no TLS":          {with(ALPN, []any{[]byte("")}), func(r *token.Request) { r.ALPN = "" }, token.ErrMalformed},
		"a network":                              {with(NetworkIP, []any{net("192.0.2.0/24")}), nil, nil},
		"another network":                        {with(NetworkIP, []any{net("198.51.100.0/24")}), nil, token.ErrAddress},
		"an address in the open":                 {with(NetworkIP, []any{net("192.0.2.7/32")}), nil, token.ErrMalformed},
		"a long prefix in the open":              {with(NetworkIP, []any{net("192.0.2.0/25")}), nil, token.ErrMalformed},
		"a household in the open":                {with(NetworkIP, []any{net("2001:db8::/64")}), nil, token.ErrMalformed},
		"IPv6":                                   {with(NetworkIP, []any{net("2001:db8::/32")}), func(r *token.Request) { r.Addr = netip.MustParseAddr("2001:db8::1") }, nil},
		"no address":                             {with(NetworkIP, []any{net("0.0.0.0/0")}), func(r *token.Request) { r.Addr = netip.Addr{} }, token.ErrAddress},
		"an autonomous system":                   {with(NetworkIP, []any{64500}), nil, nil},
		"another autonomous system":              {with(NetworkIP, []any{64501}), nil, token.ErrAddress},
		"an unknown autonomous system":           {with(NetworkIP, []any{64500}), func(r *token.Request) { r.ASN = 0 }, token.ErrAddress},
		"autonomous system zero":                 {with(NetworkIP, []any{0}), func(r *token.Request) { r.ASN = 0 }, token.ErrMalformed},
		"no network at all":                      {with(NetworkIP, []any{}), nil, token.ErrMalformed},
		"a network as text":                      {with(NetworkIP, []any{"192.0.2.0/24"}), nil, token.ErrMalformed},
		"the form of an interface":               {with(NetworkIP, []any{cbor.Tag{Number: 52, Content: []any{[]byte{192, 0, 2, 7}, 24}}}), nil, token.ErrMalformed},
		"bits behind the prefix":                 {with(NetworkIP, []any{cbor.Tag{Number: 52, Content: []any{24, []byte{192, 0, 2, 7}}}}), nil, token.ErrMalformed},
		"a prefix with its zeros":                {with(NetworkIP, []any{cbor.Tag{Number: 52, Content: []any{24, []byte{192, 0, 2, 0}}}}), nil, nil},
		"a prefix too long":                      {with(NetworkIP, []any{cbor.Tag{Number: 52, Content: []any{33, []byte{192, 0, 2}}}}), nil, token.ErrMalformed},
		"a negative prefix":                      {with(NetworkIP, []any{cbor.Tag{Number: 52, Content: []any{-1, []byte{}}}}), nil, token.ErrMalformed},
		"IPv4 under the tag of IPv6":             {with(NetworkIP, []any{cbor.Tag{Number: 54, Content: []byte{192, 0, 2, 7}}}), nil, token.ErrMalformed},
		"a header":                               {with(Header, map[string]any{"x-device": m{0: "tv"}}), nil, nil},
		"a header of another value":              {with(Header, map[string]any{"X-Device": m{0: "phone"}}), nil, token.ErrRequest},
		"a header that is not there":             {with(Header, map[string]any{"X-Other": m{1: ""}}), nil, token.ErrRequest},
		"a header twice":                         {with(Header, map[string]any{"X-List": m{0: "a, b"}}), nil, nil},
		"one of a header twice":                  {with(Header, map[string]any{"X-List": m{0: "a"}}), nil, token.ErrRequest},
		"a header named twice":                   {with(Header, map[string]any{"X-Device": m{0: "tv"}, "x-device": m{0: "tv"}}), nil, token.ErrMalformed},
		"a header with a line break":             {with(Header, map[string]any{"X-Device\n": m{0: "tv"}}), nil, token.ErrMalformed},
		"no headers to match by":                 {with(Header, map[string]any{"X-Device": m{0: "tv"}}), func(r *token.Request) { r.Header = nil }, token.ErrRequest},
		"a subdivision":                          {with(GeoISO3166, []any{"DE", "AT-4"}), nil, nil},
		"another subdivision":                    {with(GeoISO3166, []any{"DE", "AT-9"}), nil, token.ErrCountry},
		"a subdivision of an unknown place":      {with(GeoISO3166, []any{"AT-4"}), func(r *token.Request) { r.Subdivision = "" }, token.ErrCountryUnknown},
		"a subdivision elsewhere":                {with(GeoISO3166, []any{"US-CA"}), func(r *token.Request) { r.Subdivision = "" }, token.ErrCountry},
		"a subdivision, and no country known":    {with(GeoISO3166, []any{"AT-4"}), func(r *token.Request) { r.Country, r.Subdivision = "", "" }, token.ErrCountryUnknown},
		"EU, which is no country":                {with(GeoISO3166, []any{"EU"}), nil, token.ErrCountry},
		"a country that is none":                 {with(GeoISO3166, []any{"Austria"}), nil, token.ErrMalformed},
		"no country at all":                      {with(GeoISO3166, []any{}), nil, token.ErrMalformed},
		"version 1":                              {with(Version, 1), nil, nil},
		"version 2":                              {with(Version, 2), nil, token.ErrUnsupported},
		"version 1 as text":                      {with(Version, "1"), nil, token.ErrUnsupported},
		"replay that is none of the three":       {with(Replay, 3), nil, token.ErrMalformed},
		"replay as text":                         {with(Replay, "1"), nil, token.ErrMalformed},
		"what is informational":                  {with(IssuedAt, testNow.Unix()+9999, IfData, "x", Subject, "s"), nil, nil},
		"expired":                                {m{Expires: testNow.Unix()}, nil, token.ErrExpired},
		"one second left":                        {m{Expires: testNow.Unix() + 1}, nil, nil},
		"half a second left":                     {m{Expires: float64(testNow.Unix()) + .5}, nil, nil},
		"not yet":                                {with(NotBefore, testNow.Unix()+1), nil, token.ErrNotYetValid},
		"from now on":                            {with(NotBefore, testNow.Unix()), nil, nil},
		"no exp":                                 {m{Subject: "s"}, nil, token.ErrMalformed},
		"exp as text":                            {m{Expires: "1900000000"}, nil, token.ErrMalformed},
		"exp in milliseconds":                    {m{Expires: testNow.UnixMilli() * 1000}, nil, token.ErrMalformed},
		"a negative exp":                         {m{Expires: -1}, nil, token.ErrMalformed},
		"an audience, and none is ours":          {with(Audience, "somebody"), nil, token.ErrAudience},
		"a subject that is no text":              {with(Subject, 7), nil, token.ErrMalformed},
		"an ID that is text":                     {with(ID, "id"), nil, token.ErrMalformed},
		"demands too long for a session":         {with(Method, []string{strings.Repeat("A", 500), "GET"}), nil, token.ErrUnsupported},
		"an answer that is no map":               {with(If, []any{}), nil, token.ErrMalformed},
		"a renewal that is no map":               {with(Renewal, 1), nil, token.ErrMalformed},
		"a renewal that asks for what we do not": {with(Renewal, m{0: 9}), nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			req := request()
			if test.edit != nil {
				test.edit(&req)
			}
			_, err := v.Verify(t.Context(), sealed(t, testKey(t), test.claims), req)
			if test.want == nil && err != nil || test.want != nil && !errors.Is(err, test.want) {
				t.Errorf("got %v, want %v", err, test.want)
			}
		})
	}
}

// TestURI covers every part and every way to match; the request is for https://media.example.com/members/demo/manifest.mpd?a=1&b=~%2F.
func TestURI(t *testing.T) {
	v := newVerifier(t, Config{})
	const path = "/members/demo/manifest.mpd"
	for name, test := range map[string]struct {
		parts any
		path  string // "": the one above
		want  error
	}{
		"scheme":                          {m{0: m{0: "HTTPS"}}, "", nil},
		"another scheme":                  {m{0: m{0: "http"}}, "", token.ErrScope},
		"host":                            {m{1: m{0: "Media.Example.com"}}, "", nil},
		"host by suffix":                  {m{1: m{2: ".example.com"}}, "", nil},
		"another host":                    {m{1: m{0: "example.com"}}, "", token.ErrScope},
		"host by its digest":              {m{1: m{-1: digest256("media.example.com")}}, "", nil},
		"port":                            {m{2: m{0: "443"}}, "", nil},
		"the default port left out":       {m{2: m{0: ""}}, "", nil},
		"another port":                    {m{2: m{0: "8443"}}, "", token.ErrScope},
		"port as a number":                {m{2: m{0: 443}}, "", token.ErrMalformed},
		"path":                            {m{3: m{0: path}}, "", nil},
		"path of a neighbor":              {m{3: m{0: "/members/demo/manifest.mp"}}, "", token.ErrScope},
		"path by prefix":                  {m{3: m{1: "/members/"}}, "", nil},
		"path by another prefix":          {m{3: m{1: "/demo/"}}, "", token.ErrScope},
		"path by suffix":                  {m{3: m{2: "/manifest.mpd"}}, "", nil},
		"path by what it contains":        {m{3: m{3: "demo/man"}}, "", nil},
		"path by regular expression":      {m{3: m{4: "/members/[a-z]+/.*\\.mpd"}}, "", nil},
		"as an array":                     {m{3: m{4: []any{"/members/(demo|free)/.*", "demo"}}}, "", nil},
		"another capture":                 {m{3: m{4: []any{"/members/(demo|free)/.*", "free"}}}, "", token.ErrScope},
		"a capture that may be anything":  {m{3: m{4: []any{"/(members)/(demo|free)/.*", nil, "demo"}}}, "", nil},
		"more captures than groups":       {m{3: m{4: []any{"/members/.*", "x"}}}, "", token.ErrMalformed},
		"only a part of the path":         {m{3: m{4: "/members/"}}, "", token.ErrScope},
		"the second alternative is whole": {m{3: m{4: "x|/members/.*"}}, "", nil},
		"classes of Perl":                 {m{3: m{4: "/\\d+"}}, "", token.ErrMalformed},
		"groups of Perl":                  {m{3: m{4: "(?i)/MEMBERS/.*"}}, "", token.ErrMalformed},
		"parentheses that cheat":          {m{3: m{4: "x)|(.*"}}, "", token.ErrMalformed},
		"too much to compile":             {m{3: m{4: "((a{30}){30}){3}"}}, "", token.ErrMalformed},
		"no regular expression":           {m{3: m{4: []any{}}}, "", token.ErrMalformed},
		"path by SHA-256":                 {m{3: m{-1: digest256(path)}}, "", nil},
		"path by SHA-512/256":             {m{3: m{-2: digest512(path)}}, "", nil},
		"the other digest":                {m{3: m{-2: digest256(path)}}, "", token.ErrScope},
		"a digest in hexadecimal":         {m{3: m{-1: "00"}}, "", token.ErrMalformed},
		"a short digest":                  {m{3: m{-1: []byte{1}}}, "", token.ErrMalformed},
		"two ways, both hold":             {m{3: m{1: "/members/", 2: ".mpd"}}, "", nil},
		"two ways, one holds":             {m{3: m{1: "/members/", 2: ".m3u8"}}, "", token.ErrScope},
		"two parts, one holds":            {m{3: m{1: "/members/"}, 1: m{0: "other"}}, "", token.ErrScope},
		"query":                           {m{4: m{0: "a=1&b=~%2f"}}, "", nil},
		"query with its question mark":    {m{4: m{0: "?a=1&b=~%2F"}}, "", nil},
		"query by prefix":                 {m{4: m{1: "a=1"}}, "", nil},
		"parent path":                     {m{5: m{0: "/members/demo"}}, "", nil},
		"parent path with a slash":        {m{5: m{0: "/members/demo/"}}, "", token.ErrScope},
		"filename":                        {m{6: m{0: "manifest.mpd"}}, "", nil},
		"stem":                            {m{7: m{0: "manifest"}}, "", nil},
		"stem up to the last dot":         {m{7: m{0: "a.b"}}, "/x/a.b.mpd", nil},
		"extension":                       {m{8: m{0: ".mpd"}}, "", nil},
		"extension without its dot":       {m{8: m{0: "mpd"}}, "", token.ErrScope},
		"no extension":                    {m{8: m{0: ""}}, "/x/manifest", nil},
		"a path that has to be escaped":   {m{3: m{0: "/x/%C3%A9%20a"}}, "/x/é a", nil},
		"escapes in lower case":           {m{3: m{0: "/x/%c3%a9%20%61"}}, "/x/é a", nil},
		"a decoded literal":               {m{3: m{0: "/x/é a"}}, "/x/é a", nil},
		"an escaped slash":                {m{3: m{0: "/x%2fy"}}, "/x/y", token.ErrMalformed},
		"a broken escape":                 {m{3: m{0: "/x%2"}}, "", token.ErrMalformed},
		"a dot segment":                   {m{3: m{1: "/members/../"}}, "", token.ErrMalformed},
		"an escaped dot segment":          {m{3: m{1: "/members/%2e%2e/"}}, "", token.ErrMalformed},
		"a backslash":                     {m{3: m{1: "/members\\"}}, "", token.ErrMalformed},
		"an unknown part":                 {m{3: m{1: "/"}, 9: m{0: ""}}, "", token.ErrMalformed},
		"an unknown way":                  {m{3: m{1: "/", 5: "x"}}, "", token.ErrMalformed},
		"a part without a match":          {m{3: m{}}, "", token.ErrMalformed},
		"no part":                         {m{}, "", token.ErrMalformed},
		"a part that is text":             {m{3: "/members/"}, "", token.ErrMalformed},
	} {
		t.Run(name, func(t *testing.T) {
			req := request()
			if test.path != "" {
				req.PublicPath = test.path
			}
			_, err := v.Verify(t.Context(), sealed(t, testKey(t), with(URI, test.parts)), req)
			if test.want == nil && err != nil || test.want != nil && !errors.Is(err, test.want) {
				t.Errorf("got %v, want %v", err, test.want)
			}
		})
	}
}

// TestLineBreaksMatchNoPattern: to a POSIX expression a line break is another beginning.
func TestLineBreaksMatchNoPattern(t *testing.T) {
	v := newVerifier(t, Config{})
	raw := sealed(t, testKey(t), with(Header, map[string]any{"X-A": m{4: "good"}}))
	for value, want := range map[string]error{"good": nil, "bad\ngood": token.ErrRequest, "good\nbad": token.ErrRequest, "good\r": token.ErrRequest} {
		req := request()
		req.Header = func(string) []string { return []string{value} }
		if _, err := v.Verify(t.Context(), raw, req); !errors.Is(err, want) {
			t.Errorf("%q: %v", value, err)
		}
	}
}
