package caddymodule

import (
	"net/http"
	"slices"
	"strings"
)

// exposedHeaders are what a page may read of our answers: how much there is, and why there is nothing.
const exposedHeaders = "Content-Length, Content-Range, Date, ETag, Link, Retry-After, " + headerReason + ", " + headerOpens + ", " + headerAttribution

// allowCORS lets pages of allowed origins read the answer, whatever it is: a player that may not read a refusal can only
// report an unknown network error. Without a list every page may, but without the viewer's cookies.
func (q *request) allowCORS() {
	header := q.w.Header()
	for _, name := range []string{"Access-Control-Allow-Origin", "Access-Control-Allow-Credentials", "Access-Control-Expose-Headers"} {
		header.Del(name)
	}
	if len(q.CORSOrigins) == 0 {
		setFields(header, [][2]string{{"Access-Control-Allow-Origin", "*"}, {"Access-Control-Expose-Headers", exposedHeaders}})
		return
	}
	header.Add("Vary", "Origin")
	asking := q.r.Header.Get("Origin")
	if !slices.ContainsFunc(q.CORSOrigins, func(listed string) bool { return strings.EqualFold(listed, asking) }) {
		return
	}
	header.Set("Access-Control-Allow-Origin", asking)
	header.Set("Access-Control-Allow-Credentials", "true")
	header.Set("Access-Control-Expose-Headers", exposedHeaders)
}

// answerPreflight answers OPTIONS here and for every address: the origin never sees it, and no token is asked for,
// because a browser sends none. What is asked for is granted to whoever allowCORS let in; the request that follows is
// decided on its own.
func (q *request) answerPreflight() error {
	header := q.w.Header()
	if header.Get("Access-Control-Allow-Origin") != "" {
		header.Set("Access-Control-Allow-Methods", "GET, HEAD, POST, OPTIONS")
		header.Set("Access-Control-Allow-Headers", "Accept, Authorization, Cache-Control, Content-Type, If-None-Match, Pragma, Range, SOAPAction, "+
			"CMCD-Object, CMCD-Request, CMCD-Session, CMCD-Status"+q.tokenHeader())
		header.Set("Access-Control-Max-Age", "7200")
	}
	header.Set("Allow", "GET, HEAD, POST, OPTIONS")
	q.w.WriteHeader(http.StatusNoContent)
	return nil
}

// tokenHeader returns the configured header of access tokens, as a further list element.
func (q *request) tokenHeader() string {
	if q.Token == nil {
		return ""
	}
	for _, from := range q.Token.From {
		if from.In == tokenInHeader && !strings.EqualFold(from.Name, "Authorization") {
			return ", " + from.Name
		}
	}
	return ""
}
