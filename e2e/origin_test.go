package e2e_test

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/caddy-drm/caddy-drm/drm"
	"github.com/caddy-drm/caddy-drm/e2e/player"
	"github.com/caddy-drm/caddy-drm/internal/testtools"
)

// objectStore is an origin with the habits of object stores: bodies without a length, manifests compressed although nobody
// asked for it, ETags that are weak, missing, or different each time, errors in XML, and header fields of its own. The
// first element of a path names any copy of the demo title.
type objectStore struct {
	*httptest.Server
	requests atomic.Int64
	mu       sync.Mutex
	faults   map[string]http.HandlerFunc // by path
}

func newObjectStore(t *testing.T) *objectStore {
	t.Helper()
	s := &objectStore{faults: map[string]http.HandlerFunc{}}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	return s
}

// fail lets a handler answer for one path, until it is nil again.
func (s *objectStore) fail(path string, with http.HandlerFunc) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults[path] = with
}

func (s *objectStore) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	n := s.requests.Add(1)
	header := w.Header()
	header.Set("X-Amz-Request-Id", "testRequestID")
	header.Set("Set-Cookie", "store=1")
	header.Set("Link", "<http://store.invalid/clear>; rel=alternate")
	s.mu.Lock()
	fault := s.faults[r.URL.Path]
	s.mu.Unlock()
	if fault != nil {
		fault(w, r)
		return
	}
	data, err := demoObject(r.URL.Path)
	if err != nil {
		xmlError(http.StatusNotFound, "NoSuchKey")(w, r)
		return
	}
	switch ext := path.Ext(r.URL.Path); {
	case ext == ".mpd" || ext == ".m3u8":
		header.Set("Content-Encoding", "gzip")
		header.Set("ETag", fmt.Sprintf(`"%d"`, n)) // another one each time
		data = gzipped(data)
	case strings.Contains(r.URL.Path, "/audio/"):
		header.Set("ETag", fmt.Sprintf(`"%d"`, n))
	case strings.Contains(r.URL.Path, "/360p/"):
		header.Set("ETag", fmt.Sprintf(`W/"%d"`, len(data)))
	}
	header.Set("Content-Type", "binary/octet-stream")
	chunked(w, data)
}

// demoObject reads what the path names below its first element.
func demoObject(object string) ([]byte, error) {
	_, below, _ := strings.Cut(strings.TrimPrefix(object, "/"), "/")
	file, err := testtools.Testdata("demo", path.Clean("/"+below))
	if err != nil {
		return nil, err
	}
	return os.ReadFile(file)
}

func gzipped(data []byte) []byte {
	var b bytes.Buffer
	zw := gzip.NewWriter(&b)
	_, _ = zw.Write(data) // into memory
	_ = zw.Close()
	return b.Bytes()
}

// chunked sends a body in two pieces without a length.
func chunked(w http.ResponseWriter, data []byte) {
	_, _ = w.Write(data[:len(data)/2]) // the test sees what arrived
	_ = http.NewResponseController(w).Flush()
	_, _ = w.Write(data[len(data)/2:])
}

func xmlError(status int, code string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/xml")
		w.WriteHeader(status)
		_, _ = fmt.Fprintf(w, "<?xml version=\"1.0\"?><Error><Code>%s</Code><Message>no</Message></Error>", code)
	}
}

// storeGateway puts a gateway in front of the store and returns its address. It keeps no segments, so that each request is
// one to the store.
func storeGateway(t *testing.T, store *objectStore) string {
	t.Helper()
	port, err := testtools.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	newGateway(t, `{
	drm {
		segment_cache off
	}
}

`+localhost(port)+` {
	drm {
		license_server clearkey
		asset /*
	}
	reverse_proxy `+strings.TrimPrefix(store.URL, "http://")+`
}
`)
	return localhost(port)
}

func TestObjectStoreIsProtected(t *testing.T) {
	long(t)
	store := newObjectStore(t)
	address := storeGateway(t, store)
	for _, scheme := range drm.Schemes {
		t.Run(scheme.String(), func(t *testing.T) {
			tracks, _ := dashTracks(t, fmt.Sprintf("%s/demo/manifest.mpd?drm=%s", address, scheme))
			titles[0].checkTracks(t, tracks)
			for _, tr := range tracks {
				checkDecrypts(t, titles[0], scheme, tr)
				checkStoreHeaders(t, tr)
			}
		})
	}
	t.Run("plays", func(t *testing.T) {
		result := checkPlays(t, titles[0], player.Options{Player: player.HlsJS, URL: address + "/demo/master.m3u8?drm=cbcs&keyformat=clearkey"})
		if len(result.Warnings) > 0 {
			t.Logf("warnings: %q", result.Warnings)
		}
	})
}

// checkStoreHeaders checks that segments whose length nobody knew leave chunk by chunk, without a length and an ETag, that a
// range of one has both, and that nothing of the store's is among the headers.
func checkStoreHeaders(t *testing.T, tr track) {
	t.Helper()
	first, again := mustGet(t, tr.segments[2]), mustGet(t, tr.segments[2])
	if !bytes.Equal(first.body, again.body) {
		t.Errorf("%s is protected differently each time", tr.folder)
	}
	if etag, length := first.header.Get("ETag"), first.header.Get("Content-Length"); etag != "" || length != "" {
		t.Errorf("%s: ETag %q, Content-Length %q; want none", tr.folder, etag, length)
	}
	part := askWith(t, http.MethodGet, tr.segments[2], "", "", http.Header{"Range": {"bytes=100-199"}})
	if part.status != http.StatusPartialContent || !bytes.Equal(part.body, first.body[100:200]) || !strings.HasPrefix(part.header.Get("ETag"), `"`) ||
		part.header.Get("Content-Range") != fmt.Sprintf("bytes 100-199/%d", len(first.body)) {
		t.Errorf("%s: a range is %s, ETag %q, %q", tr.folder, part, part.header.Get("ETag"), part.header.Get("Content-Range"))
	}
	checkNoStoreHeader(t, first)
	checkNoStoreHeader(t, part)
}

func checkNoStoreHeader(t *testing.T, a answer) {
	t.Helper()
	for _, name := range []string{"X-Amz-Request-Id", "Set-Cookie", "Link", "Content-Encoding", "Location"} {
		if value := a.header.Get(name); value != "" {
			t.Errorf("%s carries the origin's %s: %s", a, name, value)
		}
	}
}

// fault is what an origin does wrong with one object, and how the gateway has to answer for it.
type fault struct {
	name   string
	with   http.HandlerFunc
	status int // 0: as if nothing were wrong
	reason string
}

func faults() []fault {
	whole := func(r *http.Request) []byte {
		data, err := demoObject(r.URL.Path)
		if err != nil {
			panic(err) // the test asks for what is there
		}
		return data
	}
	return []fault{
		{"missing", xmlError(http.StatusNotFound, "NoSuchKey"), http.StatusNotFound, "not_found"},
		{"forbidden for missing", xmlError(http.StatusForbidden, "AccessDenied"), http.StatusBadGateway, "origin_failed"},
		{"slow down", xmlError(http.StatusServiceUnavailable, "SlowDown"), http.StatusServiceUnavailable, "origin_unavailable"},
		{"broken", xmlError(http.StatusInternalServerError, "InternalError"), http.StatusBadGateway, "origin_failed"},
		{"redirect", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/elsewhere"+r.URL.Path, http.StatusFound)
		}, http.StatusBadGateway, "origin_failed"},
		{"unasked range", func(w http.ResponseWriter, r *http.Request) {
			data := whole(r)
			w.Header().Set("Content-Range", fmt.Sprintf("bytes 0-%d/%d", len(data)-1, len(data)))
			w.WriteHeader(http.StatusPartialContent)
			_, _ = w.Write(data)
		}, http.StatusBadGateway, "origin_failed"},
		{"cut off before its length", func(w http.ResponseWriter, r *http.Request) {
			data := whole(r)
			w.Header().Set("Content-Length", strconv.Itoa(len(data)))
			_, _ = w.Write(data[:len(data)/2])
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}, http.StatusBadGateway, "origin_failed"},
		{"cut off between chunks", func(w http.ResponseWriter, r *http.Request) {
			data := whole(r)
			_, _ = w.Write(data[:len(data)/2])
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}, http.StatusBadGateway, "origin_failed"},
		{"half, as if it were whole", func(w http.ResponseWriter, r *http.Request) {
			data := whole(r)
			_, _ = w.Write(data[:len(data)/2])
		}, http.StatusBadGateway, "malformed"},
		{"error page with status 200", func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write([]byte("<!doctype html><title>Error</title><p>NoSuchKey"))
		}, http.StatusBadGateway, "malformed"},
		{"empty", func(http.ResponseWriter, *http.Request) {}, http.StatusBadGateway, "malformed"},
		{"unknown coding", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Encoding", "zstd")
			_, _ = w.Write(whole(r))
		}, http.StatusBadGateway, "origin_failed"},
		{"compressed", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			chunked(w, gzipped(whole(r)))
		}, 0, ""},
	}
}

// A segment or a manifest that the origin does not give whole is refused, without a word of the origin's; and when the
// origin has recovered, so has the gateway.
func TestOriginFaultsAreRefused(t *testing.T) {
	long(t)
	store := newObjectStore(t)
	address := storeGateway(t, store)
	for i, f := range faults() {
		copyName := fmt.Sprintf("copy-%d", i) // a title of its own, so that nothing is cached
		manifest := fmt.Sprintf("%s/%s/manifest.mpd?drm=cenc", address, copyName)
		tracks, _ := dashTracks(t, manifest)
		for kind, c := range map[string]struct{ object, url, reason string }{
			"segment":  {"/" + copyName + "/video/360p/seg_3.m4s", tracks[0].segments[2], "media_malformed"},
			"manifest": {"/" + copyName + "/manifest.mpd", manifest, "manifest_malformed"},
		} {
			t.Run(f.name+" "+kind, func(t *testing.T) {
				want := mustGet(t, c.url)
				store.fail(c.object, f.with)
				got := get(t, c.url)
				store.fail(c.object, nil)
				checkNoStoreHeader(t, got)
				switch {
				case f.status == 0 && !bytes.Equal(got.body, want.body):
					t.Errorf("%s; want the same as ever", got)
				case f.status != 0:
					reason := f.reason
					if reason == "malformed" {
						reason = c.reason
					}
					checkRefusal(t, got, f.status, reason)
				}
				if again := get(t, c.url); again.status != http.StatusOK || !bytes.Equal(again.body, want.body) {
					t.Errorf("after the fault: %s", again)
				}
			})
		}
	}
}

// An init segment that cannot be had makes the manifest fail as a whole: a player must not get half of a title.
func TestMissingInitFailsTheManifest(t *testing.T) {
	long(t)
	store := newObjectStore(t)
	address := storeGateway(t, store)
	for i, with := range []http.HandlerFunc{xmlError(http.StatusNotFound, "NoSuchKey"), xmlError(http.StatusForbidden, "AccessDenied")} {
		name := fmt.Sprintf("title-%d", i)
		store.fail("/"+name+"/audio/en/init.mp4", with)
		checkRefusal(t, get(t, fmt.Sprintf("%s/%s/manifest.mpd", address, name)), http.StatusBadGateway, "init_unavailable")
		store.fail("/"+name+"/audio/en/init.mp4", nil)
		mustGet(t, fmt.Sprintf("%s/%s/manifest.mpd", address, name))
	}
}

// A segment that the origin has lost costs the player that segment: elsewhere the frames are right.
func TestPlayerSurvivesAMissingSegment(t *testing.T) {
	long(t)
	store := newObjectStore(t)
	address := storeGateway(t, store)
	store.fail("/demo/video/360p/seg_9.m4s", xmlError(http.StatusNotFound, "NoSuchKey"))
	s := mustPlay(t, player.Options{Player: player.HlsJS, URL: address + "/demo/master.m3u8?drm=cenc&keyformat=clearkey"})
	checkFrames(t, s, titles[0].seeks...)
	if a := get(t, address+"/demo/video/360p/seg_9.m4s"); a.status == http.StatusOK {
		t.Errorf("without a seal: %s", a)
	}
}
