package caddymodule

import (
	"errors"
	"fmt"
	"net/http"
	"sort"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-drm/caddy-drm/state"
)

// revocationRequest is the body of a POST to /drm/revocations: what is revoked, for whom and for how long.
type revocationRequest struct {
	Kind   state.RevocationKind `json:"kind"`
	Value  string               `json:"value"`
	Tenant string               `json:"tenant,omitempty"`
	// For is a duration such as "24h"; Expires is a time. One of them is wanted.
	For     string    `json:"for,omitempty"`
	Expires time.Time `json:"expires,omitzero"`
	Note    string    `json:"note,omitempty"`
}

// revocations lists and makes revocations.
func (a *AdminAPI) revocations(w http.ResponseWriter, r *http.Request) error {
	app, err := a.app()
	if err != nil {
		return err
	}
	list := app.state.Revocations
	switch r.Method {
	case http.MethodGet:
		entries := list.List()
		sort.Slice(entries, func(i, j int) bool { return entries[i].Created.Before(entries[j].Created) })
		fresh := list.Freshness(time.Now()) == state.Fresh
		return writeJSON(w, http.StatusOK, map[string]any{"fresh": fresh, "revocations": append([]state.Revocation{}, entries...)})
	case http.MethodPost:
		var asked revocationRequest
		if err := readJSON(w, r, &asked); err != nil {
			return err
		}
		entry, err := asked.entry(app.state.digest, time.Now())
		if err != nil {
			return caddy.APIError{HTTPStatus: http.StatusBadRequest, Err: err}
		}
		if err := list.Add(r.Context(), entry); err != nil {
			return stateError(err)
		}
		return writeJSON(w, http.StatusCreated, entry)
	default:
		return methodError("GET and POST")
	}
}

// revocation lifts the revocation that the path names.
func (a *AdminAPI) revocation(w http.ResponseWriter, r *http.Request) error {
	app, err := a.app()
	if err != nil {
		return err
	}
	if r.Method != http.MethodDelete {
		return methodError("DELETE")
	}
	id := strings.TrimPrefix(r.URL.Path, "/drm/revocations/")
	if isRekey(app.state.Revocations, id) {
		return caddy.APIError{HTTPStatus: http.StatusConflict, Err: errors.New("new keys cannot be taken back: the old ones would be in use again")}
	}
	found, err := app.state.Revocations.Remove(r.Context(), id)
	switch {
	case err != nil:
		return stateError(err)
	case !found:
		return caddy.APIError{HTTPStatus: http.StatusNotFound, Err: errors.New("there is no revocation of that ID")}
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (r revocationRequest) entry(digest *state.Digester, now time.Time) (state.Revocation, error) {
	expires := r.Expires
	if (r.For == "") == r.Expires.IsZero() {
		return state.Revocation{}, errors.New("want one of for and expires")
	}
	if r.For != "" {
		life, err := caddy.ParseDuration(r.For)
		if err != nil {
			return state.Revocation{}, fmt.Errorf("for: %w", err)
		}
		expires = now.Add(life)
	}
	return state.NewRevocation(digest, r.Kind, r.Tenant, r.Value, r.Note, now, expires)
}

func stateError(err error) error {
	status := http.StatusInternalServerError
	switch {
	case errors.Is(err, state.ErrFull):
		status = http.StatusInsufficientStorage
	case errors.Is(err, state.ErrUnavailable):
		status = http.StatusServiceUnavailable
	}
	return caddy.APIError{HTTPStatus: status, Err: err}
}

func methodError(want string) error {
	return caddy.APIError{HTTPStatus: http.StatusMethodNotAllowed, Err: errors.New("want " + want)}
}
