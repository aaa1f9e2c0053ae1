package web

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

// FuzzHandler sends any path and any conditional or negotiating fields: the answer is one of the page's files, its 304,
// a redirect within the folder, or a refusal, and always carries the policy.
func FuzzHandler(f *testing.F) {
	f.Add("/", "gzip", "*", "/")
	f.Add("/../handler.go", "*;q=0, gzip;q=", `W/"x", "y`, "/a/..")
	f.Add("", ";;q=1,,", ",", "//evil.example/x")
	f.Add("", "gzip;q=1;q=0", "\x00", "http://evil.example/a:b")
	h := Handler(testConfig())
	f.Fuzz(func(t *testing.T, path, encoding, match, requestURI string) {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, &http.Request{
			Method: http.MethodGet, URL: &url.URL{Path: path}, RequestURI: requestURI,
			Header: http.Header{"Accept-Encoding": {encoding}, "If-None-Match": {match}},
		})
		res := w.Result()
		switch res.StatusCode {
		case http.StatusOK, http.StatusNotModified, http.StatusNotFound:
		case http.StatusPermanentRedirect:
			to := res.Header.Get("Location")
			if element, ok := strings.CutPrefix(to, "./"); !ok || strings.Count(element, "/") != 1 || strings.ContainsAny(to, "\\\r\n?#") {
				t.Errorf("redirected to %q", to)
			}
		default:
			t.Errorf("status %d", res.StatusCode)
		}
		if res.Header.Get("Content-Security-Policy") != contentSecurityPolicy {
			t.Error("no policy")
		}
	})
}
