package e2e_test

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/quic-go/quic-go/http3"

	"github.com/caddy-drm/caddy-drm/internal/testtools"
)

// secureGateway is a gateway that speaks HTTP/1.1, HTTP/2 and HTTP/3, beside a site in clear text, from which manifests come.
func secureGateway(t *testing.T, cache, origin string) (address, secure string) {
	t.Helper()
	ports, err := testtools.FreePorts(2)
	if err != nil {
		t.Fatal(err)
	}
	site := ` {
	%s
	drm {
		secret {env.DRM_SECRET}
		tenant test
		license_server clearkey
		asset /*
	}
	reverse_proxy ` + origin + `
}
`
	newGateway(t, `{
	skip_install_trust
	auto_https disable_redirects
	drm {
		segment_cache `+cache+`
	}
}
`+localhost(ports[0])+fmt.Sprintf(site, "")+"https://localhost:"+strconv.Itoa(ports[1])+fmt.Sprintf(site, "tls internal"))
	return localhost(ports[0]), "https://localhost:" + strconv.Itoa(ports[1])
}

// protocols are clients of one protocol each.
func protocols(t *testing.T) map[string]*http.Client {
	t.Helper()
	trust := func() *tls.Config { return &tls.Config{InsecureSkipVerify: true} }
	h3 := &http3.Transport{TLSClientConfig: trust(), DisableCompression: true}
	t.Cleanup(func() { _ = h3.Close() }) // nothing is left to send
	return map[string]*http.Client{
		"HTTP/1.1": {Transport: &http.Transport{
			TLSClientConfig: trust(), DisableCompression: true, TLSNextProto: map[string]func(string, *tls.Conn) http.RoundTripper{},
		}},
		"HTTP/2.0": {Transport: &http.Transport{TLSClientConfig: trust(), DisableCompression: true, ForceAttemptHTTP2: true}},
		"HTTP/3.0": {Transport: h3},
	}
}

// askBy sends a request by one protocol.
func askBy(t *testing.T, by *http.Client, protocol, method, target string, header http.Header) answer {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, target, nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, values := range header {
		request.Header[name] = values
	}
	response, err := by.Do(request)
	if err != nil {
		t.Fatalf("%s: %v", protocol, err)
	}
	defer response.Body.Close()
	data, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatalf("%s: %v", protocol, err)
	}
	if response.Proto != protocol {
		t.Fatalf("%s was spoken, want %s", response.Proto, protocol)
	}
	return answer{url: target, status: response.StatusCode, header: response.Header, body: data}
}

// partial is a request that does not want, or may not get, the whole segment.
type partial struct {
	name   string
	method string
	header http.Header
	status int
	ranges [][2]int // of the whole body, what a 206 has to hold
}

// partials are the requests for a segment of n bytes with the given ETag.
func partials(n int, etag, clearETag string) []partial {
	get, one := http.MethodGet, func(name, value string) http.Header { return http.Header{name: {value}} }
	two := func(value, ifRange string) http.Header { return http.Header{"Range": {value}, "If-Range": {ifRange}} }
	return []partial{
		{"all", get, nil, 200, nil},
		{"HEAD", http.MethodHead, nil, 200, nil},
		{"first byte", get, one("Range", "bytes=0-0"), 206, [][2]int{{0, 1}}},
		{"inside of a box header", get, one("Range", "bytes=3-9"), 206, [][2]int{{3, 10}}},
		{"inside of a cipher block", get, one("Range", "bytes=3001-5555"), 206, [][2]int{{3001, 5556}}},
		{"suffix", get, one("Range", "bytes=-500"), 206, [][2]int{{n - 500, n}}},
		{"suffix longer than all", get, one("Range", "bytes=-99999999"), 206, [][2]int{{0, n}}},
		{"open end", get, one("Range", "bytes=1001-"), 206, [][2]int{{1001, n}}},
		{"end beyond", get, one("Range", "bytes=5-99999999"), 206, [][2]int{{5, n}}},
		{"several", get, one("Range", "bytes=0-9, 1000-1999, -7"), 206, [][2]int{{0, 10}, {1000, 2000}, {n - 7, n}}},
		{"too many", get, one("Range", "bytes=0-0"+strings.Repeat(",2-2", 2000)), 200, nil},
		{"two fields", get, http.Header{"Range": {"bytes=0-9", "bytes=20-29"}}, 200, nil},
		{"unsatisfiable", get, one("Range", "bytes=99999999-"), 416, nil},
		{"overflow", get, one("Range", "bytes=99999999999999999999-"), 416, nil},
		{"backwards", get, one("Range", "bytes=9-5"), 416, nil},
		{"If-None-Match", get, one("If-None-Match", etag), 304, nil},
		{"If-None-Match, weak", get, one("If-None-Match", "W/"+etag), 304, nil},
		{"If-None-Match, any", get, one("If-None-Match", "*"), 304, nil},
		{"If-None-Match, other", get, one("If-None-Match", `"other"`), 200, nil},
		{"If-None-Match, the origin's", get, one("If-None-Match", clearETag), 200, nil},
		{"If-Match", get, one("If-Match", etag), 200, nil},
		{"If-Match, other", get, one("If-Match", `"other"`), 412, nil},
		{"If-Match, the origin's", get, one("If-Match", clearETag), 412, nil},
		{"If-Range", get, two("bytes=100-199", etag), 206, [][2]int{{100, 200}}},
		{"If-Range, other", get, two("bytes=100-199", `"other"`), 200, nil},
		{"If-Range, the origin's", get, two("bytes=100-199", clearETag), 200, nil},
		{"If-Range, weak", get, two("bytes=100-199", "W/"+etag), 200, nil},
		{"If-Range, by date", get, two("bytes=100-199", "Wed, 21 Oct 2015 07:28:00 GMT"), 200, nil},
		{"If-Modified-Since", get, one("If-Modified-Since", "Wed, 21 Oct 2035 07:28:00 GMT"), 200, nil},
	}
}

// check compares an answer with the whole segment.
func (p partial) check(t *testing.T, a answer, whole []byte, etag string) {
	t.Helper()
	if a.status != p.status {
		t.Errorf("%s: %s, want %d", p.name, a, p.status)
		return
	}
	if got := a.header.Get("ETag"); got != etag && a.status != 416 {
		t.Errorf("%s: ETag %s, want %s", p.name, got, etag)
	}
	var want []byte
	switch {
	case p.method == http.MethodHead:
		if got := a.header.Get("Content-Length"); got != strconv.Itoa(len(whole)) {
			t.Errorf("%s: Content-Length %q, want %d", p.name, got, len(whole))
		}
	case a.status == 200:
		want = whole
	case a.status == 206 && len(p.ranges) == 1:
		r := p.ranges[0]
		want = whole[r[0]:r[1]]
		if got, want := a.header.Get("Content-Range"), fmt.Sprintf("bytes %d-%d/%d", r[0], r[1]-1, len(whole)); got != want {
			t.Errorf("%s: Content-Range %q, want %q", p.name, got, want)
		}
	case a.status == 206:
		p.checkMultipart(t, a, whole)
		return
	case a.status == 416:
		if got, want := a.header.Get("Content-Range"), fmt.Sprintf("bytes */%d", len(whole)); got != want && strings.Contains(p.name, "un") {
			t.Errorf("%s: Content-Range %q, want %q", p.name, got, want)
		}
		return // the body is a message
	}
	if !bytes.Equal(a.body, want) {
		t.Errorf("%s: %s, want %d bytes of the whole", p.name, a, len(want))
	}
}

func (p partial) checkMultipart(t *testing.T, a answer, whole []byte) {
	t.Helper()
	kind, params, err := mime.ParseMediaType(a.header.Get("Content-Type"))
	if err != nil || kind != "multipart/byteranges" {
		t.Errorf("%s: Content-Type %q", p.name, a.header.Get("Content-Type"))
		return
	}
	parts := multipart.NewReader(bytes.NewReader(a.body), params["boundary"])
	for _, r := range p.ranges {
		part, err := parts.NextPart()
		if err != nil {
			t.Errorf("%s: %v", p.name, err)
			return
		}
		data, err := io.ReadAll(part)
		if err != nil || !bytes.Equal(data, whole[r[0]:r[1]]) {
			t.Errorf("%s: a part of %d bytes, want %d of the whole: %v", p.name, len(data), r[1]-r[0], err)
		}
	}
}

// Whatever is asked of a segment, by whatever protocol, of whichever process, with and without a cache, whether it is the first
// request for it or not: there is one body, one ETag, and each part is a part of that body.
func TestRangesAreOfOneBody(t *testing.T) {
	long(t)
	store := newChunkedOrigin(t)
	ts := newTransportStream(t)
	const segments = 90 // so that each request is for one that nobody has asked for before
	for n := range segments {
		store.put(fmt.Sprintf("/ts/seg_%d.ts", n+1), ts)
		store.put(fmt.Sprintf("/mp4/video/360p/seg_%d.m4s", n+1), clearSegment(t, "video/360p", n%liveLast+1))
	}
	video, audio := newChunkedTrack(t, "video/360p"), newChunkedTrack(t, "audio/en")
	store.put("/mp4/manifest.mpd", []byte(strings.Replace(simpleMPD("video/360p", "audio/en"), "PT40S", fmt.Sprintf("PT%dS", 2*segments), 1)))
	store.put("/mp4/video/360p/init.mp4", video.init)
	store.put("/mp4/audio/en/init.mp4", audio.init)
	store.put("/ts/master.m3u8", []byte(transportPlaylist(segments)))
	cached, secure := secureGateway(t, "64MiB", store.host())
	uncached, _ := secureGateway(t, "off", store.host())
	clients := protocols(t)
	tracks, _ := dashTracks(t, cached+"/mp4/manifest.mpd?drm=cenc")
	bare := parsePlaylist(t, cached+"/ts/master.m3u8", cached+"/ts/master.m3u8", mustGet(t, cached+"/ts/master.m3u8?drm=cenc").body)
	for kind, targets := range map[string][]string{"MP4": tracks[0].segments, "TS": bare.segments} {
		next := 0
		for protocol, by := range clients {
			t.Run(kind+" "+protocol, func(t *testing.T) {
				for i := range partials(0, "", "") {
					target := targets[next]
					next++
					reference := mustGet(t, strings.Replace(target, cached, uncached, 1))
					etag := reference.header.Get("ETag")
					p := partials(len(reference.body), etag, store.clearTag(cleanPath(t, target)))[i]
					p.check(t, askBy(t, by, protocol, p.method, strings.Replace(target, cached, secure, 1), p.header), reference.body, etag)
					p.check(t, askWith(t, p.method, target, "", "", p.header), reference.body, etag)
					p.check(t, askWith(t, p.method, strings.Replace(target, cached, uncached, 1), "", "", p.header), reference.body, etag)
				}
			})
		}
	}
}

// What the origin sends without a length has, once it is there, one body and one ETag as well.
func TestRangesOfWhatCameWithoutALength(t *testing.T) {
	long(t)
	video := newChunkedTrack(t, "video/360p")
	origin := newChunkedOrigin(t)
	origin.put("/live/manifest.mpd", []byte(simpleMPD("video/360p", "audio/en")))
	origin.putTrack("live", "video/360p", video)
	origin.putTrack("live", "audio/en", newChunkedTrack(t, "audio/en"))
	for n := range video.segments {
		origin.grow(fmt.Sprintf("/live/video/360p/seg_%d.m4s", n+1), video.segments[n]).write(0)
	}
	cached, _ := chunkGateway(t, origin, "", "")
	uncached, _ := chunkGateway(t, origin, "segment_cache off", "")
	tracks, _ := dashTracks(t, cached+"/live/manifest.mpd?drm=cenc")
	for i, p := range []partial{
		{"HEAD", http.MethodHead, nil, 200, nil},
		{"one", http.MethodGet, http.Header{"Range": {"bytes=1000-2999"}}, 206, [][2]int{{1000, 3000}}},
		{"suffix", http.MethodGet, http.Header{"Range": {"bytes=-77"}}, 206, nil},
	} {
		target := tracks[0].segments[i]
		elsewhere := strings.Replace(target, cached, uncached, 1)
		whole := mustGet(t, elsewhere)
		if p.name == "suffix" {
			p.ranges = [][2]int{{len(whole.body) - 77, len(whole.body)}}
		}
		etag := ask(t, http.MethodHead, elsewhere, "", "").header.Get("ETag")
		if etag == "" {
			t.Errorf("%s: no ETag", p.name)
		}
		for name, address := range map[string]string{"first, cached": target, "cached": target, "not cached": elsewhere} {
			t.Run(p.name+" "+name, func(t *testing.T) {
				p.check(t, askWith(t, p.method, address, "", "", p.header), whole.body, etag)
			})
		}
	}
}
