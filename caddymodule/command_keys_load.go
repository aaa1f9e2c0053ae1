package caddymodule

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/caddyserver/caddy/v2"
	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-drm/caddy-drm/address"
	"github.com/caddy-drm/caddy-drm/state"
)

// loadedKeys is a configuration that is provisioned and never started.
type loadedKeys struct {
	app      *App
	http     *caddyhttp.App
	handlers []*Handler
}

// loadKeys reads a configuration as `caddy validate` does, but for what is of no use here: logs, the admin endpoint, and the shared
// state, so that no store has to be reached.
func loadKeys(file, adapter string) (*loadedKeys, error) {
	text, name, err := readConfig(file, adapter)
	if err != nil {
		return nil, err
	}
	config, err := configForKeys(text)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", name, err)
	}
	if err := refuseToDraw(config); err != nil {
		return nil, err
	}
	ctx, err := caddy.ProvisionContext(config)
	if err != nil {
		return nil, err
	}
	loaded := new(loadedKeys)
	for appName, into := range map[string]func(any) bool{
		"http": func(app any) (ok bool) { loaded.http, ok = app.(*caddyhttp.App); return ok },
		"drm":  func(app any) (ok bool) { loaded.app, ok = app.(*App); return ok },
	} {
		app, err := ctx.AppIfConfigured(appName)
		if err != nil || !into(app) {
			return nil, fmt.Errorf("%s has no site with drm in it", name)
		}
	}
	for _, server := range loaded.http.Servers {
		loaded.handlers = append(loaded.handlers, drmHandlers(server.Routes)...)
	}
	return loaded, nil
}

func configForKeys(text []byte) (*caddy.Config, error) {
	config := new(caddy.Config)
	if err := caddy.StrictUnmarshalJSON(text, config); err != nil {
		return nil, err
	}
	config.Admin = &caddy.AdminConfig{Disabled: true}
	config.Logging = &caddy.Logging{Logs: map[string]*caddy.CustomLog{
		caddy.DefaultLoggerName: {BaseLog: caddy.BaseLog{WriterRaw: json.RawMessage(`{"output":"discard"}`)}},
	}}
	if raw, ok := config.AppsRaw["drm"]; ok {
		fields := make(map[string]json.RawMessage)
		if err := json.Unmarshal(raw, &fields); err != nil {
			return nil, err
		}
		delete(fields, "state")
		changed, err := json.Marshal(fields)
		if err != nil {
			return nil, err
		}
		config.AppsRaw["drm"] = changed
	}
	return config, nil
}

// close releases what the configuration holds.
func (l *loadedKeys) close() {
	for _, h := range l.handlers {
		_ = h.Cleanup() // returns no error
	}
	_ = l.app.Cleanup()
}

// drmHandlers lists the handlers of ours in routes.
func drmHandlers(routes caddyhttp.RouteList) (all []*Handler) {
	for _, route := range routes {
		for _, handler := range route.Handlers {
			switch handler := handler.(type) {
			case *Handler:
				all = append(all, handler)
			case *caddyhttp.Subroute:
				all = append(all, drmHandlers(handler.Routes)...)
			}
		}
	}
	return all
}

// titleSite is a title on its site.
type titleSite struct {
	handler *Handler
	tenant  string
	asset   address.Path
}

// names lists those that emergency re-keys may have for the site.
func (s titleSite) names() state.Site {
	host, prefix := s.tenant, ""
	if i := strings.IndexByte(host, '/'); i >= 0 {
		host, prefix = host[:i], host[i:]
	}
	viewers := s.handler.Tenant
	if viewers == "" {
		viewers = strings.Trim(hostName(host), "[]") + prefix // as viewersAt has it
	}
	return s.handler.names(s.tenant, viewers)
}

// site finds the site of a title.
func (l *loadedKeys) site(ctx context.Context, title, tenant string) (titleSite, error) {
	if strings.HasPrefix(title, "/") {
		return l.siteOfPath(title, tenant)
	}
	r, _, err := (CheckRequest{URL: title}).request(ctx)
	if err != nil {
		return titleSite{}, errors.New("want the absolute URL of a manifest, or its path")
	}
	_, server, err := serverFor(l.http, r.URL)
	if err != nil {
		return titleSite{}, err
	}
	repl := caddy.NewReplacer()
	r = caddyhttp.PrepareRequest(r, repl, noAnswer{}, server)
	walk := routeWalk{repl: repl, groups: make(map[string]bool)}
	handler, r, err := walk.find(server.Routes, r)
	if err != nil {
		return titleSite{}, err
	}
	if tenant == "" {
		tenant = handler.siteFor(r).tenant
	}
	return handler.titleAt(r.URL.EscapedPath(), tenant)
}

// siteOfPath finds the site of a path: that of the tenant, or the only one.
func (l *loadedKeys) siteOfPath(path, tenant string) (titleSite, error) {
	var found []*Handler
	for _, h := range l.handlers {
		if tenant == "" || h.Tenant == tenant || h.Tenant == "" {
			found = append(found, h)
		}
	}
	switch {
	case len(found) != 1:
		return titleSite{}, fmt.Errorf("%d sites may have that path: want the URL of the manifest", len(found))
	case tenant == "" && found[0].Tenant == "":
		return titleSite{}, errors.New("the site has no tenant of its own, and is known by its host: want the URL of the manifest, or --tenant")
	case tenant == "":
		tenant = found[0].Tenant
	}
	return found[0].titleAt(path, tenant)
}

// titleAt is the title that a path of the site belongs to.
func (h *Handler) titleAt(escaped, tenant string) (titleSite, error) {
	if u, err := url.Parse(escaped); err != nil || u.RawQuery != "" {
		return titleSite{}, errors.New("want a path without a query")
	}
	path, err := address.ParsePath(escaped)
	if err != nil {
		return titleSite{}, fmt.Errorf("the path of the title: %w", err)
	}
	return titleSite{handler: h, tenant: tenant, asset: h.assetOf(path)}, nil
}

// generationOf finds the generation of the keys.
func (o *keysOptions) generationOf(warnings io.Writer, site state.Site, r KeysReport) (uint32, error) {
	switch {
	case o.generation >= 0 && o.address != "":
		return 0, errors.New("want --generation or --address")
	case o.generation >= 0:
		return uint32(o.generation), nil
	case o.address == "":
		_, _ = fmt.Fprintln(warnings, "note: these are the keys before any emergency re-key; --address asks the running gateway whether there was one")
		return 0, nil
	}
	entries, err := askForRevocations(o.address)
	if err != nil {
		return 0, fmt.Errorf("asking for emergency re-keys: %w", err)
	}
	return countRekeys(entries, site, r), nil
}

// askForRevocations asks the admin endpoint of a gateway.
func askForRevocations(admin string) ([]state.Revocation, error) {
	admin, err := caddycmd.DetermineAdminAPIAddress(admin, nil, "", "")
	if err != nil {
		return nil, err
	}
	res, err := caddycmd.AdminAPIRequest(admin, http.MethodGet, "/drm/revocations", nil, nil)
	if err != nil {
		return nil, err
	}
	defer func() { _ = res.Body.Close() }()
	var answer struct {
		Fresh       bool
		Revocations []state.Revocation
	}
	if err := json.NewDecoder(io.LimitReader(res.Body, 64<<20)).Decode(&answer); err != nil {
		return nil, fmt.Errorf("reading the answer: %w", err)
	}
	if !answer.Fresh {
		return nil, errors.New("the gateway does not know the newest itself: its shared state is out")
	}
	return answer.Revocations, nil
}

// countRekeys counts those that concern a title, see state.Revocations.Generations.
func countRekeys(entries []state.Revocation, site state.Site, r KeysReport) (n uint32) {
	for _, entry := range entries {
		switch {
		case !entry.HoldsFor(site):
		case entry.Kind == state.RekeyGroup && r.Group != "" && entry.Value == r.Group:
			n++
		case entry.Kind == state.RekeyTitle && (entry.Value == "/" || strings.HasPrefix(r.Asset, strings.TrimSuffix(entry.Value, "/")+"/")):
			n++
		}
	}
	return n
}
