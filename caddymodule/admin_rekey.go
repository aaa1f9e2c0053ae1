package caddymodule

import (
	"errors"
	"net/http"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-drm/caddy-drm/state"
)

// rekeyRequest is the body of a POST to /drm/rekeys: what gets new keys. One of Title and Group is wanted.
type rekeyRequest struct {
	// Title is a clean path, for all titles at it and below; Group is the name of a DRM group.
	Title  string `json:"title,omitempty"`
	Group  string `json:"group,omitempty"`
	Tenant string `json:"tenant,omitempty"`
	Note   string `json:"note,omitempty"`
}

func (r rekeyRequest) entry(now time.Time) (state.Revocation, error) {
	switch {
	case (r.Title == "") == (r.Group == ""):
		return state.Revocation{}, errors.New("want one of title and group")
	case r.Title != "":
		return state.NewRekey(state.RekeyTitle, r.Tenant, r.Title, r.Note, now)
	default:
		return state.NewRekey(state.RekeyGroup, r.Tenant, r.Group, r.Note, now)
	}
}

// rekeys gives titles new keys.
func (a *AdminAPI) rekeys(w http.ResponseWriter, r *http.Request) error {
	app, err := a.app()
	if err != nil {
		return err
	}
	if r.Method != http.MethodPost {
		return methodError("POST")
	}
	var asked rekeyRequest
	if err := readJSON(w, r, &asked); err != nil {
		return err
	}
	if _, known := app.groups[asked.Group]; asked.Group != "" && !known {
		return caddy.APIError{HTTPStatus: http.StatusNotFound, Err: errors.New("no DRM group has that name")}
	}
	entry, err := asked.entry(time.Now())
	if err != nil {
		return caddy.APIError{HTTPStatus: http.StatusBadRequest, Err: err}
	}
	if err := app.state.Revocations.Add(r.Context(), entry); err != nil {
		return stateError(err)
	}
	return writeJSON(w, http.StatusCreated, entry)
}

// isRekey reports whether an entry of the list gives new keys. Those stay: without one, old keys would come back.
func isRekey(list *state.Revocations, id string) bool {
	for _, entry := range list.List() {
		if entry.ID == id {
			return entry.IsRekey()
		}
	}
	return false
}
