package caddymodule

import (
	"encoding/json"
	"errors"
	"net/http"

	"github.com/caddyserver/caddy/v2"
)

func init() {
	caddy.RegisterModule(new(AdminAPI))
}

// AdminAPI serves the routes below /drm/ of Caddy's admin endpoint.
type AdminAPI struct {
	ctx caddy.Context
}

// CaddyModule returns the module's registration.
func (*AdminAPI) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "admin.api.drm", New: func() caddy.Module { return new(AdminAPI) }}
}

// Provision keeps the context. The app may be provisioned later.
func (a *AdminAPI) Provision(ctx caddy.Context) error {
	a.ctx = ctx
	return nil
}

// Routes implements caddy.AdminRouter.
func (a *AdminAPI) Routes() []caddy.AdminRoute {
	return []caddy.AdminRoute{
		{Pattern: "/drm/check", Handler: caddy.AdminHandlerFunc(a.serveCheck)},
		{Pattern: "/drm/rekeys", Handler: caddy.AdminHandlerFunc(a.rekeys)},
		{Pattern: "/drm/revocations", Handler: caddy.AdminHandlerFunc(a.revocations)},
		{Pattern: "/drm/revocations/", Handler: caddy.AdminHandlerFunc(a.revocation)},
	}
}

// app returns the app of the configuration that runs.
func (a *AdminAPI) app() (*App, error) {
	loaded, err := a.ctx.AppIfConfigured("drm")
	if err != nil {
		return nil, caddy.APIError{HTTPStatus: http.StatusNotFound, Err: errors.New("the configuration has no drm app and no drm directive")}
	}
	app, _ := loaded.(*App)
	return app, nil
}

// maxAdminBody bounds what a request may hold.
const maxAdminBody = 1 << 20

// readJSON reads the body of a request. A member that nobody knows is an error: it may be a misspelled restriction.
func readJSON(w http.ResponseWriter, r *http.Request, into any) error {
	decoder := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxAdminBody))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(into); err != nil {
		return caddy.APIError{HTTPStatus: http.StatusBadRequest, Err: err}
	}
	return nil
}

func writeJSON(w http.ResponseWriter, status int, body any) error {
	text, err := json.Marshal(body)
	if err != nil {
		return caddy.APIError{HTTPStatus: http.StatusInternalServerError, Err: err}
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", cacheNoStore)
	w.WriteHeader(status)
	_, err = w.Write(append(text, '\n'))
	return err
}

// Interface guards
var (
	_ caddy.AdminRouter = (*AdminAPI)(nil)
	_ caddy.Provisioner = (*AdminAPI)(nil)
)
