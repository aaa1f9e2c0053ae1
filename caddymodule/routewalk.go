package caddymodule

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/rewrite"
)

// serverFor returns the server of a configuration that a URL leads to: one that listens at its port, or else, where a proxy stands in
// front, the only one that there is.
func serverFor(app *caddyhttp.App, u *url.URL) (string, *caddyhttp.Server, error) {
	port, err := strconv.ParseUint(u.Port(), 10, 16)
	if err != nil {
		port = map[string]uint64{"http": 80, "https": 443}[u.Scheme]
	}
	names := make([]string, 0, len(app.Servers))
	for name, server := range app.Servers {
		for _, listen := range server.Listen {
			addr, err := caddy.ParseNetworkAddress(listen)
			if err == nil && uint(port) >= addr.StartPort && uint(port) <= addr.EndPort {
				return name, server, nil
			}
		}
		names = append(names, name)
	}
	if len(names) == 1 {
		return names[0], app.Servers[names[0]], nil
	}
	slices.Sort(names)
	return "", nil, fmt.Errorf("no server listens at port %d; there are %q", port, names)
}

// routeWalk follows a request through routes to a drm handler, without serving it: matchers and rewrites are applied, all other
// handlers are passed by.
type routeWalk struct {
	repl   *caddy.Replacer
	groups map[string]bool
	passed []string
}

// errNoSite is a URL whose requests never come to a drm handler.
var errNoSite = errors.New("no drm directive answers this URL")

// find returns the handler that the request comes to, and the request as it comes there.
func (w *routeWalk) find(routes caddyhttp.RouteList, r *http.Request) (*Handler, *http.Request, error) {
	handler, ended, err := w.follow(routes, r)
	switch {
	case err != nil:
		return nil, nil, err
	case handler == nil && ended != "":
		return nil, nil, fmt.Errorf("%w: %s answers before", errNoSite, ended)
	case handler == nil:
		return nil, nil, errNoSite
	}
	return handler, r, nil
}

// follow walks routes in order. ended names what answers by itself, or says that a route is the last.
func (w *routeWalk) follow(routes caddyhttp.RouteList, r *http.Request) (handler *Handler, ended string, err error) {
	for _, route := range routes {
		if route.Group != "" && w.groups[route.Group] {
			continue
		}
		matches, err := route.MatcherSets.AnyMatchWithError(r)
		if err != nil {
			return nil, "", fmt.Errorf("matching a route: %w", err)
		}
		if !matches {
			continue
		}
		if route.Group != "" {
			w.groups[route.Group] = true
		}
		for _, h := range route.Handlers {
			if handler, ended, err = w.enter(h, r); handler != nil || ended != "" || err != nil {
				return handler, ended, err
			}
		}
		if route.Terminal {
			return nil, "a route without drm", nil
		}
	}
	return nil, "", nil
}

// answering are handlers behind which nothing comes.
var answering = []caddy.ModuleID{
	"http.handlers.static_response", "http.handlers.file_server", "http.handlers.reverse_proxy", "http.handlers.error",
	"http.handlers.acme_server", "http.handlers.metrics",
}

func (w *routeWalk) enter(h caddyhttp.MiddlewareHandler, r *http.Request) (*Handler, string, error) {
	switch h := h.(type) {
	case *Handler:
		return h, "", nil
	case *caddyhttp.Subroute:
		return w.follow(h.Routes, r)
	case *rewrite.Rewrite:
		h.Rewrite(r, w.repl)
		return nil, "", nil
	case *caddyhttp.VarsMiddleware:
		return nil, "", h.ServeHTTP(nil, r, caddyhttp.HandlerFunc(func(http.ResponseWriter, *http.Request) error { return nil }))
	}
	module, ok := h.(caddy.Module)
	if !ok {
		return nil, "", nil
	}
	id := module.CaddyModule().ID
	if slices.Contains(answering, id) {
		return nil, id.Name(), nil
	}
	w.passed = append(w.passed, id.Name())
	return nil, "", nil
}
