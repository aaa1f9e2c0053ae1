package player

import (
	"net/http"
	"net/url"
	"path"
	"strings"
	"sync"

	"github.com/chromedp/cdproto/network"
)

// Kind is what a request was for, told from its method and path.
type Kind string

// The kinds of requests. License means any POST, and any GET whose path has an element that starts with "license" or
// "key" (a raw key of HLS).
const (
	Manifest Kind = "manifest" // .mpd, .m3u8
	Segment  Kind = "segment"  // .m4s, .mp4, .cmfv, .cmfa, .ts, .aac, .webm; init segments too
	Text     Kind = "text"     // .vtt, .ttml
	License  Kind = "license"
	Other    Kind = "other"
)

// Request is one request of the page, as the browser saw it.
type Request struct {
	Kind   Kind
	Method string
	URL    string
	// Status is the HTTP status; 0 means that no response came, and Failure says why ("net::ERR_ABORTED" after a seek).
	Status  int
	Failure string
	// Header holds the response header, names in lower case.
	Header map[string]string
}

// requestLog collects the requests of one page from browser events, which arrive on the browser's goroutine.
type requestLog struct {
	mu    sync.Mutex
	order []*Request
	byID  map[network.RequestID]*Request
}

func newRequestLog() *requestLog { return &requestLog{byID: map[network.RequestID]*Request{}} }

func (l *requestLog) observe(event any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch e := event.(type) {
	case *network.EventRequestWillBeSent:
		if before := l.byID[e.RequestID]; before != nil && e.RedirectResponse != nil {
			before.respond(e.RedirectResponse)
		}
		if isOfPage(e.Request.URL) {
			return
		}
		r := &Request{Kind: kindOf(e.Request.Method, e.Request.URL), Method: e.Request.Method, URL: e.Request.URL}
		l.order = append(l.order, r)
		l.byID[e.RequestID] = r
	case *network.EventResponseReceived:
		if r := l.byID[e.RequestID]; r != nil {
			r.respond(e.Response)
		}
	case *network.EventLoadingFailed:
		if r := l.byID[e.RequestID]; r != nil {
			r.Failure = e.ErrorText
		}
	}
}

func (r *Request) respond(response *network.Response) {
	r.Status = int(response.Status)
	r.Header = map[string]string{}
	for name, value := range response.Headers {
		if s, ok := value.(string); ok {
			r.Header[strings.ToLower(name)] = s
		}
	}
}

// snapshot returns a copy of all requests so far, in the order they were sent.
func (l *requestLog) snapshot() []Request {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := make([]Request, len(l.order))
	for i, r := range l.order {
		all[i] = *r
	}
	return all
}

// isOfPage reports whether the harness itself answers the request, or no server does.
func isOfPage(rawURL string) bool {
	u, err := url.Parse(rawURL)
	return err == nil && (strings.HasPrefix(u.Path, pagePath) || u.Path == "/favicon.ico" || (u.Scheme != "http" && u.Scheme != "https"))
}

func kindOf(method, rawURL string) Kind {
	if method == http.MethodPost {
		return License
	}
	u, err := url.Parse(rawURL)
	if err != nil {
		return Other
	}
	switch path.Ext(u.Path) {
	case ".mpd", ".m3u8":
		return Manifest
	case ".m4s", ".mp4", ".cmfv", ".cmfa", ".ts", ".aac", ".webm":
		return Segment
	case ".vtt", ".ttml":
		return Text
	}
	for _, element := range strings.Split(u.Path, "/") {
		if strings.HasPrefix(element, "license") || strings.HasPrefix(element, "key") {
			return License
		}
	}
	return Other
}
