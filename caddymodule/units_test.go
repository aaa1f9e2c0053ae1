package caddymodule

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-drm/caddy-drm/address"
	"github.com/caddy-drm/caddy-drm/drm"
	"github.com/caddy-drm/caddy-drm/inflight"
	"github.com/caddy-drm/caddy-drm/keysource"
	"github.com/caddy-drm/caddy-drm/licensing"
	"github.com/caddy-drm/caddy-drm/manifest/dash"
	"github.com/caddy-drm/caddy-drm/manifest/hls"
	"github.com/caddy-drm/caddy-drm/policy"
	"github.com/caddy-drm/caddy-drm/segcrypt"
)

// fetchFrom fetches through a handler, without a Caddy server.
func fetchFrom(t *testing.T, limit int64, answer func(w http.ResponseWriter, r *http.Request) error) (*clearResource, error) {
	t.Helper()
	client := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/a", nil)
	return origin{client: client, next: caddyhttp.HandlerFunc(answer)}.fetch(address.Resource{Path: "/vod/a b.mp4"}, fetchOptions{query: "x=1", limit: limit})
}

func TestRecorder(t *testing.T) {
	body := bytes.Repeat([]byte("0123456789"), 10)
	for name, test := range map[string]struct {
		answer func(w http.ResponseWriter)
		want   error // nil: the whole body
	}{
		"one write":               {func(w http.ResponseWriter) { _, _ = w.Write(body) }, nil},
		"many writes":             {func(w http.ResponseWriter) { _, _ = w.Write(body[:7]); _, _ = w.Write(body[7:]) }, nil},
		"ReadFrom":                {func(w http.ResponseWriter) { _, _ = w.(io.ReaderFrom).ReadFrom(bytes.NewReader(body)) }, nil},
		"ReadFrom behind a write": {func(w http.ResponseWriter) { _, _ = w.Write(body[:7]); _, _ = io.Copy(w, bytes.NewReader(body[7:])) }, nil},
		"an announced length": {func(w http.ResponseWriter) {
			w.Header().Set("Content-Length", "100")
			_, _ = io.Copy(w, bytes.NewReader(body))
		}, nil},
		"early hints in front": {func(w http.ResponseWriter) { w.WriteHeader(103); w.WriteHeader(200); _, _ = w.Write(body) }, nil},
		"gzip": {func(w http.ResponseWriter) {
			w.Header().Set("Content-Encoding", "gzip")
			_, _ = w.Write(gzipped(t, body))
		}, nil},
		"x-gzip": {func(w http.ResponseWriter) {
			w.Header().Set("Content-Encoding", "X-GZIP")
			_, _ = w.Write(gzipped(t, body))
		}, nil},
		"a shorter body":           {func(w http.ResponseWriter) { w.Header().Set("Content-Length", "100"); _, _ = w.Write(body[:99]) }, errOriginTruncated},
		"a longer body":            {func(w http.ResponseWriter) { w.Header().Set("Content-Length", "99"); _, _ = w.Write(body) }, errOriginTruncated},
		"a length that is none":    {func(w http.ResponseWriter) { w.Header().Set("Content-Length", "-1"); _, _ = w.Write(body) }, errOriginTruncated},
		"a length above the limit": {func(w http.ResponseWriter) { w.Header().Set("Content-Length", "99999999999"); w.WriteHeader(200) }, errOriginTooLarge},
		"a write above the limit":  {func(w http.ResponseWriter) { _, _ = w.Write(make([]byte, 101)) }, errOriginTooLarge},
		"writes above the limit":   {func(w http.ResponseWriter) { _, _ = w.Write(body); _, _ = w.Write(body[:1]) }, errOriginTooLarge},
		"ReadFrom above the limit": {func(w http.ResponseWriter) { _, _ = w.(io.ReaderFrom).ReadFrom(bytes.NewReader(make([]byte, 101))) }, errOriginTooLarge},
		"gzip above the limit": {func(w http.ResponseWriter) {
			w.Header().Set("Content-Encoding", "gzip")
			_, _ = w.Write(gzipped(t, make([]byte, 101)))
		}, errOriginTooLarge},
		"a coding that is not ours":   {func(w http.ResponseWriter) { w.Header().Set("Content-Encoding", "zstd"); _, _ = w.Write(body) }, errOriginEncoding},
		"no answer":                   {func(http.ResponseWriter) {}, errOriginStatus},
		"a part":                      {func(w http.ResponseWriter) { w.WriteHeader(206); _, _ = w.Write(body) }, errOriginStatus},
		"a failure with a body":       {func(w http.ResponseWriter) { w.WriteHeader(500); _, _ = io.Copy(w, bytes.NewReader(body)) }, errOriginStatus},
		"a body that broke off":       {func(w http.ResponseWriter) { _, _ = w.Write(body); panic(http.ErrAbortHandler) }, errOriginTruncated},
		"a later status is of no use": {func(w http.ResponseWriter) { w.WriteHeader(404); w.WriteHeader(200); _, _ = w.Write(body) }, errOriginStatus},
	} {
		t.Run(name, func(t *testing.T) {
			res, err := fetchFrom(t, 100, func(w http.ResponseWriter, _ *http.Request) error { test.answer(w); return nil })
			var fromOrigin *originError
			switch {
			case test.want == nil && (err != nil || !bytes.Equal(res.body, body)):
				t.Errorf("%v", err)
			case test.want != nil && (!errors.Is(err, test.want) || !errors.As(err, &fromOrigin) || res != nil):
				t.Errorf("error %v, want %v", err, test.want)
			}
			if res != nil {
				res.release()
			}
		})
	}
}

func TestFetchReportsHandlerErrors(t *testing.T) {
	for status, want := range map[int]int{404: 404, 403: 502, 503: 503, 502: 502} {
		_, err := fetchFrom(t, 100, func(http.ResponseWriter, *http.Request) error { return caddyhttp.Error(status, errors.New("x")) })
		if got := answerFor(fmt.Errorf("reading: %w", err)); got.status != want {
			t.Errorf("%d from a handler is %d, want %d", status, got.status, want)
		}
	}
	if _, err := fetchFrom(t, 100, func(http.ResponseWriter, *http.Request) error { return errors.New("no route") }); answerFor(err).status != 502 {
		t.Error("an error without a status is not 502")
	}
}

func TestFetchAsksForTheWholeClearResource(t *testing.T) {
	res, err := fetchFrom(t, 100, func(w http.ResponseWriter, r *http.Request) error {
		if r.Method != http.MethodGet || r.URL.EscapedPath() != "/vod/a%20b.mp4" || r.URL.RawQuery != "x=1" || r.RequestURI != "/vod/a%20b.mp4?x=1" ||
			len(r.Header) != 1 || r.Header.Get("Accept-Encoding") != "identity" {
			t.Errorf("%s %s %v", r.Method, r.RequestURI, r.Header)
		}
		_, err := w.Write([]byte("x"))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	res.release()
	if res.body != nil {
		t.Error("a released body can be read")
	}
}

func TestPathPattern(t *testing.T) {
	for _, test := range []struct {
		pattern, path, directory string // directory is empty where the pattern does not match
		matches                  bool
	}{
		{"/vod/*", "/vod/a/x.mpd", "/vod/a/", true},
		{"/vod/*", "/vod/a/b/x.mpd", "/vod/a/", true},
		{"/vod/*/", "/vod/a/x.mpd", "/vod/a/", true},
		{"/vod/*", "/vod/a", "", true},
		{"/vod/*", "/vod/a/", "/vod/a/", true},
		{"/vod/*", "/vod/", "", false},
		{"/vod/*", "/vodka/a/x.mpd", "", false},
		{"/vod/*", "/live/a/x.mpd", "", false},
		{"/vod/a*", "/vod/ab/x.mpd", "/vod/ab/", true},
		{"/vod/a*", "/vod/b/x.mpd", "", false},
		{"/*/*", "/x/y/z.mpd", "/x/y/", true},
		{"/*", "/x/y/z.mpd", "/x/", true},
		{"/audio", "/audio/a.mp4", "/audio/", true},
		{"/audio", "/audio", "", true},
		{"/audio", "/audiobook/a.mp4", "", false},
		{"/audio", "/x/audio/a.mp4", "", false},
	} {
		pattern, err := parsePathPattern(test.pattern)
		if err != nil {
			t.Errorf("%s: %v", test.pattern, err)
			continue
		}
		if got, _ := pattern.directory(address.Path(test.path)); string(got) != test.directory {
			t.Errorf("%s.directory(%s) = %q, want %q", test.pattern, test.path, got, test.directory)
		}
		if got := pattern.matches(address.Path(test.path)); got != test.matches {
			t.Errorf("%s.matches(%s) = %v", test.pattern, test.path, got)
		}
	}
	for _, bad := range []string{"", "/", "//", "vod", "/vod//x", "/../x", "/./x", "/vod/[", `/vod/\`} {
		if _, err := parsePathPattern(bad); err == nil {
			t.Errorf("%q is taken for a pattern", bad)
		}
	}
}

func TestSidecarType(t *testing.T) {
	for _, test := range []struct {
		ext, body, want string // want is empty for what is refused
	}{
		{".vtt", "WEBVTT\n\n", "text/vtt; charset=utf-8"},
		{".vtt", "\xef\xbb\xbfWEBVTT\n", "text/vtt; charset=utf-8"},
		{".webvtt", "WEBVTT", "text/vtt; charset=utf-8"},
		{".ttml", "<?xml version=\"1.0\"?><tt/>", "application/ttml+xml"},
		{".xml", "<?xml version=\"1.0\"?>\n<!-- by -->\n<tt xmlns=\"http://www.w3.org/ns/ttml\">", "application/ttml+xml"},
		{".xml", "\xef\xbb\xbf<t:tt xmlns:t=\"http://www.w3.org/ns/ttml\">", "application/ttml+xml"},
		{".xml", "<?xml version=\"1.0\"?><MPD/>", ""},
		{".xml", "<?xml version=\"1.0\"?><rights><tt>", ""},
		{".xml", "\x00\x00\x00\x18styp<tt ", ""},
		{".srt", "1\r\n00:00:01,000 --> 00:00:02,500\r\nText", "application/x-subrip"},
		{".srt", "\xef\xbb\xbf1\n00:00:01,000 --> 00:00:02,500\nText", "application/x-subrip"},
		{".srt", "1\nText", ""},
		{".srt", "\x00\x00\x00\x18styp1\n00:00:01,000 --> 00:00:02,500", ""},
		{".dfxp", "<tt xmlns=\"\"/>", "application/ttml+xml"},
		{".jpg", "\xff\xd8\xff\xe0", "image/jpeg"},
		{".png", "\x89PNG\r\n\x1a\n", "image/png"},
		{".webp", "RIFF\x00\x00\x00\x00WEBPVP8 ", "image/webp"},
		{".webp", "RIFF\x00\x00\x00\x00WAVEfmt ", ""}, // sound
		{".webp", "RIFF\x00\x00\x00\x00AVI LIST", ""}, // pictures that move
		{".vtt", "", ""},
		{".vtt", "\x00\x00\x00\x18ftypcmfc", ""},
		{".vtt", " WEBVTT", ""},
		{".jpg", "\x00\x00\x00\x18styp", ""},
		{".jpg", "\x47\x40\x00\x10", ""}, // a transport stream
		{".ttml", "\x00\x00\x00\x18styp", ""},
		{".mp4", "WEBVTT", ""},
		{".m4s", "WEBVTT", ""},
		{"", "WEBVTT", ""},
	} {
		got, ok := sidecarType(test.ext, []byte(test.body))
		if got != test.want || ok != (test.want != "") {
			t.Errorf("sidecarType(%q, %q) = %q, %v", test.ext, test.body, got, ok)
		}
	}
}

func TestMaskURI(t *testing.T) {
	for uri, want := range map[string]string{
		"/demo/manifest.mpd":                             "/demo/manifest.mpd",
		"/demo/manifest.mpd?token=abc":                   "/demo/manifest.mpd?token=REDACTED",
		"/demo/manifest.mpd?drm=cenc&t=abc&x=y":          "/demo/manifest.mpd?drm=cenc&t=REDACTED&x=REDACTED",
		"/demo/manifest.mpd?abc":                         "/demo/manifest.mpd?REDACTED",
		"/demo/manifest.mpd?a=1&abc":                     "/demo/manifest.mpd?a=REDACTED&REDACTED",
		"/demo/manifest.mpd?token=a=b==":                 "/demo/manifest.mpd?token=REDACTED",
		"/~s.SESSION/demo/~SEAL/seg_1.m4s":               "/~s.REDACTED/demo/~SEAL/seg_1.m4s",
		"/%7Es.SESSION/demo/seg.m4s":                     "/~s.REDACTED/demo/seg.m4s",
		"/%7es.SESSION?token=x":                          "/~s.REDACTED?token=REDACTED",
		"/%7E%73.SESSION/demo/seg.m4s":                   "/~s.REDACTED/demo/seg.m4s",
		"/~s%2eSESSION/demo/seg.m4s":                     "/~s.REDACTED/demo/seg.m4s",
		"/demo/.drm/~s.SESSION/key/SEAL/00?kid=1&drm=2":  "/demo/.drm/~s.REDACTED/key/SEAL/00?kid=1&drm=2",
		"http://a/demo?token=x":                          "http://a/demo?token=REDACTED",
		"/bcdn_token=abc&expires=1/demo/x.mpd":           "/bcdn_token=REDACTED/demo/x.mpd",
		"/members/auth%3Dabc/demo/x.mpd?":                "/members/auth=REDACTED/demo/x.mpd?",
		"/v1." + strings.Repeat("a", 50) + "/demo/x.mpd": "/REDACTED/demo/x.mpd",
		"": "",
	} {
		if got := maskURI(uri); got != want {
			t.Errorf("maskURI(%q) = %q, want %q", uri, got, want)
		}
	}
}

func TestTenantOfHost(t *testing.T) {
	for host, want := range map[string]string{
		"media.example.com": "media.example.com", "Media.Example.COM": "media.example.com", "media.example.com.": "media.example.com",
		"media.example.com:80": "media.example.com", "media.example.com.:80": "media.example.com", "media.example.com:8080": "media.example.com:8080",
		"media.example.com:443": "media.example.com:443", "[::1]:80": "::1", "[::1]:8080": "[::1]:8080", "": "host-unknown",
		strings.Repeat("a", 15<<10): "host-unknown",
	} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
		r.Host = host
		if got := tenantOfHost(r); got != want {
			t.Errorf("tenantOfHost(%q) = %q, want %q", host, got, want)
		}
	}
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "https://media.example.com:443/", nil)
	if got := tenantOfHost(r); got != "media.example.com" {
		t.Errorf("over TLS: %q", got)
	}
}

func TestAppleClients(t *testing.T) {
	for agent, want := range map[string]bool{
		"AppleCoreMedia/1.0.0.21F90 (iPhone; U; CPU OS 17_5 like Mac OS X; en_us)":                                                                true,
		"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Safari/605.1.15":                   true,
		"Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Mobile/15E148 Safari/604.1": true,
		"AppleTV11,1/16.1": true,
		"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36":                  false,
		"Mozilla/5.0 (Linux; Android 9; TV) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 Chrome/83.0 Mobile Safari/537.36": false,
		"Mozilla/5.0 (Linux; U; Android 4.0) AppleWebKit/534.30 (KHTML, like Gecko) Version/4.0 Mobile Safari/534.30":            false,
		"Mozilla/5.0 (Windows NT 10.0; rv:127.0) Gecko/20100101 Firefox/127.0":                                                   false,
		"": false,
	} {
		if got := isAppleClient(agent); got != want {
			t.Errorf("isAppleClient(%q) = %v", agent, got)
		}
	}
}

// TestChooseScheme: configuration, then the query, then the client.
func TestChooseScheme(t *testing.T) {
	for _, test := range []struct{ configured, query, agent, want string }{
		{"auto", "", "", "cenc"},
		{"auto", "", "AppleCoreMedia/1.0", "cbcs"},
		{"auto", "?drm=cenc", "AppleCoreMedia/1.0", "cenc"},
		{"auto", "?drm=cbcs", "", "cbcs"},
		{"auto", "?drm=", "", "cenc"},
		{"auto", "?drm=none", "", ""},
		{"auto", "?drm=CENC", "", ""},
		{"cenc", "?drm=cbcs", "AppleCoreMedia/1.0", "cenc"},
		{"cbcs", "?drm=none", "", "cbcs"},
	} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/a.mpd"+test.query, nil)
		r.Header.Set("User-Agent", test.agent)
		q := &request{Handler: &Handler{Scheme: test.configured}, r: r}
		got, err := q.chooseScheme(q.onThisSite(drm.Group{}))
		if (test.want == "") != (err != nil) || err == nil && got.String() != test.want {
			t.Errorf("%+v: %v, %v", test, got, err)
		}
	}
}

// TestFailuresHaveRows: each reason of a policy and each sentinel has an answer of its own.
func TestFailuresHaveRows(t *testing.T) {
	want := map[policy.Reason]int{
		policy.ReasonPathInvalid: 403, policy.ReasonTokenMissing: 401, policy.ReasonTokenAmbiguous: 401, policy.ReasonTokenInvalid: 401,
		policy.ReasonTokenExpired: 401, policy.ReasonTokenNotYetValid: 401, policy.ReasonTokenScope: 403, policy.ReasonTokenUnverifiable: 503,
		policy.ReasonTokenRequest: 403, policy.ReasonTokenAddress: 403, policy.ReasonTokenReplayed: 401, policy.ReasonTokenUnsupported: 401,
		policy.ReasonCountryDenied: 403, policy.ReasonCountryUnknown: 403, policy.ReasonRateLimited: 429,
		policy.ReasonNetworkDenied: 403, policy.ReasonNetworkUnknown: 403,
		policy.ReasonRightsUnavailable: 503, policy.ReasonRightsUnlisted: 403, policy.ReasonRightsTerritory: 403, policy.ReasonRightsNotStarted: 403,
		policy.ReasonRightsEnded: 403, policy.ReasonRightsPlan: 403, policy.ReasonRightsPurchase: 403, policy.ReasonRightsBlackout: 403,
		policy.ReasonRevoked: 403, policy.ReasonStateUnavailable: 503, policy.ReasonStreamLimit: 429, policy.ReasonStreamKicked: 429,
		policy.ReasonNotEntitled: 403, policy.ReasonEntitlementUnknown: 503, policy.ReasonSessionBinding: 401,
	}
	for _, reason := range policy.Reasons {
		if reason == policy.ReasonAllowed {
			continue
		}
		got, listed := refusals[reason]
		if !listed {
			got = http.StatusForbidden
		}
		if got != want[reason] {
			t.Errorf("%s: %d, want %d", reason, got, want[reason])
		}
	}
	for err, status := range map[error]int{
		errNotOurs: 404, errInitReplaced: 404, errMethod: 405, errQuery: 400, errTooEarly: 425, errTokenTwice: 401, errPullAuth: 403, errBody: 400, errInitUnavailable: 502,
		errMixedSet: 502, errOutOfAsset: 502, errSidecar: 502, errOriginPanic: 502,
		licensing.ErrMalformed: 400, licensing.ErrUnsupportedType: 403, licensing.ErrNoKeys: 403,
		keysource.ErrUnknownKey: 500, keysource.ErrUnavailable: 503,
		segcrypt.ErrAlreadyProtected: 502, segcrypt.ErrUnsupportedSampleEntry: 502, hls.ErrAlreadyProtected: 502, hls.ErrNotPlaylist: 502,
		hls.ErrTooLarge: 502, dash.ErrAlreadyProtected: 502, inflight.ErrBusy: 503, inflight.ErrTooLarge: 502, errNotMedia: 502,
		errNotProtected: 502, errMixedProtection: 502, hls.ErrMixedProtection: 502, dash.ErrMixedProtection: 502,
		errSchemeOfHLS: 502, errBareSegment: 502, errInitElsewhere: 502, errIFrameSampleAES: 502,
	} {
		a := answerFor(fmt.Errorf("doing: %w", err))
		if a.status != status {
			t.Errorf("%v: %d, want %d", err, a.status, status)
		}
		if a.reason == "" || a.reason == "not_protectable" && !errors.Is(err, errOriginPanic) {
			t.Errorf("%v: reason %q", err, a.reason)
		}
	}
	for _, err := range []error{
		&segcrypt.FormatError{Path: "moof", Err: segcrypt.ErrTrackMismatch}, &dash.SyntaxError{Err: dash.ErrXlink}, &hls.SyntaxError{Err: hls.ErrUnsupported},
	} {
		if a := answerFor(err); a.status != 502 || !strings.HasSuffix(a.reason, "_malformed") || !a.detail {
			t.Errorf("%T: %+v", err, a)
		}
	}
}

// What a handler behind the gateway says in its error may hold an address of the origin; a viewer never reads it.
func TestErrorsOfTheOriginAreNotShown(t *testing.T) {
	err := fmt.Errorf("%w: %w", errInitUnavailable, &originError{err: errors.New("dial https://origin.internal/?signature=x")})
	if a := answerFor(err); a.status != 502 || a.reason != "init_unavailable" || a.detail {
		t.Errorf("%+v", a)
	}
	if a := answerFor(&originError{err: errors.New("x")}); a.detail {
		t.Errorf("%+v", a)
	}
}

// TestWholeSegmentWithoutRoom: AES-128 pads, and a body of unknown length may fill its buffer to the last byte.
func TestWholeSegmentWithoutRoom(t *testing.T) {
	body := []byte("WEBVTT\n\n00:00.000 --> 00:01.000\nHello, room\n")
	key, err := drm.NewContentKey(drm.KID{1}, bytes.Repeat([]byte{2}, 16), make([]byte, 16))
	if err != nil {
		t.Fatal(err)
	}
	app := &App{memory: memory{inFlight: inflight.NewBudget(1 << 20)}}
	q := &request{seal: address.Seal{Scheme: drm.SchemeAES128, Sequence: 7}}
	var want []byte
	for _, room := range []int{32, 16, 3, 0} {
		clear := &clearResource{body: append(make([]byte, 0, len(body)+room), body...)}
		seg, contentType, err := q.protect(&media{key: key}, clear, app.claim(t.Context()))
		if err != nil {
			t.Fatal(err)
		}
		got := seg.AppendTo(nil)
		if want == nil {
			want = got
		}
		if !bytes.Equal(got, want) || len(got) != 48 || seg.Size() != 48 || contentType != "text/vtt; charset=utf-8" {
			t.Errorf("room for %d: %x, %s", room, got, contentType)
		}
		seg.Release()
	}
}

// TestLiteralOfPattern: the prefix that a session is given for what is shared holds nothing else.
func TestLiteralOfPattern(t *testing.T) {
	for text, want := range map[string]string{
		"/audio": "/audio", "/audio/*": "/audio", "/a/b/*/*": "/a/b", "/*": "", "/vod/*/audio": "", "/audio/en*": "", "/audio/[ab]": "",
	} {
		pattern, err := parsePathPattern(text)
		if err != nil {
			t.Fatal(err)
		}
		if got := pattern.literal(); got != want {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
}
