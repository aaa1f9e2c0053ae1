package caddymodule

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/caddyserver/caddy/v2"
)

func init() {
	caddy.RegisterModule(new(AdminAPI))
}

// AdminAPI answers below /drm/ at Caddy's admin endpoint.
type AdminAPI struct {
	ctx caddy.Context
}

// CaddyModule returns the module's registration.
func (*AdminAPI) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "admin.api.drm", New: func() caddy.Module { return new(AdminAPI) }}
}

// Provision keeps the context of the configuration.
func (a *AdminAPI) Provision(ctx caddy.Context) error {
	a.ctx = ctx
	return nil
}

// Routes implements caddy.AdminRouter.
func (a *AdminAPI) Routes() []caddy.AdminRoute {
	return []caddy.AdminRoute{
		{Pattern: "/drm/check", Handler: caddy.AdminHandlerFunc(a.serveCheck)},
	}
}

// app returns the running app. It is looked for when somebody asks: this module may be provisioned first.
func (a *AdminAPI) app() (*App, error) {
	configured, err := a.ctx.AppIfConfigured("drm")
	if err != nil {
		return nil, caddy.APIError{HTTPStatus: http.StatusNotFound, Err: fmt.Errorf("no site of this configuration uses drm: %w", err)}
	}
	app, ok := configured.(*App)
	if !ok {
		return nil, caddy.APIError{HTTPStatus: http.StatusInternalServerError, Err: errors.New("the app drm is another one")}
	}
	return app, nil
}

// Interface guards
var (
	_ caddy.AdminRouter = (*AdminAPI)(nil)
	_ caddy.Provisioner = (*AdminAPI)(nil)
)
