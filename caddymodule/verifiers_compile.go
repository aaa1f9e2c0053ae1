package caddymodule

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-drm/caddy-drm/token"
)

// TokenVerifier is what the modules of the namespace drm.token_verifiers are.
type TokenVerifier interface {
	Verifier() (token.Verifier, error)
}

// compileToken loads the verifiers and puts a cache in front of them.
func (h *Handler) compileToken(ctx caddy.Context) error {
	if h.Token == nil {
		return nil
	}
	trust, err := trustOf(h.Token.VerifiersRaw)
	if err != nil {
		return fmt.Errorf("token: %w", err)
	}
	h.Token.trust = trust
	loaded, err := ctx.LoadModule(h.Token, "VerifiersRaw")
	if err != nil {
		return fmt.Errorf("token: %w", err)
	}
	modules, _ := loaded.([]any)
	if len(modules) == 0 && h.Token.Entitlement == nil {
		return errors.New("token: session and token_from are for sites that ask for a token: want token or entitlement beside them")
	}
	h.Token.close = h.Token.closeVerifiers // also if what follows fails half-way
	hasForms, err := h.Token.addVerifiers(modules)
	if err != nil {
		return fmt.Errorf("token: %w", err)
	}
	if err := h.Token.compilePlaces(hasForms); err != nil {
		return fmt.Errorf("token.%w", err)
	}
	return nil
}

// addVerifiers tells kinds that find their own credential from those that are told apart by their form. These look where the
// operator says, or else in the default places of all of them.
func (c *TokenConfig) addVerifiers(modules []any) (hasForms bool, err error) {
	var forms token.ByForm
	var places []TokenPlace
	for _, module := range modules {
		before := forms
		if err := c.addForm(&forms, module); err != nil {
			return false, err
		}
		if forms != before {
			places = addDefaultPlaces(places, module)
		}
	}
	if len(modules) == 0 { // the backend alone understands them
		if len(c.From) == 0 {
			c.From = addDefaultPlaces(nil, nil)
		}
		return true, nil
	}
	if hasForms = forms != (token.ByForm{}); !hasForms {
		return false, nil
	}
	cached, err := token.NewCached(forms, token.CacheConfig{})
	if err != nil {
		return false, err
	}
	c.verifier, c.forms = cached, cached
	if len(c.From) == 0 {
		c.From = places
	}
	return true, nil
}

// addDefaultPlaces adds the places in which a kind of token is by default.
func addDefaultPlaces(places []TokenPlace, module any) []TokenPlace {
	own := []TokenPlace{{In: tokenInQuery, Name: "token"}, {In: tokenInHeader, Name: "Authorization"}}
	if m, ok := module.(interface{ DefaultPlaces() []TokenPlace }); ok {
		own = m.DefaultPlaces()
	}
	for _, place := range own {
		if !slices.Contains(places, place) {
			places = append(places, place)
		}
	}
	return places
}

func (c *TokenConfig) closeVerifiers() {
	if c.forms != nil {
		c.forms.Close()
	}
	for _, kind := range c.found {
		kind.cached.Close()
	}
}

// trustOf returns a digest of the verifiers' configuration, which is the same on all nodes that share it. Keys that are
// read from a file may change under it: a session outlives the rotation of the keys that let it in.
func trustOf(verifiers []json.RawMessage) (string, error) {
	h := sha256.New()
	for _, raw := range verifiers {
		var canonical any
		if err := json.Unmarshal(raw, &canonical); err != nil {
			return "", err
		}
		text, err := json.Marshal(canonical) // members in the order of their names
		if err != nil {
			return "", err
		}
		h.Write(text)
	}
	return string(h.Sum(nil)), nil
}

// addForm puts the verifier of a module in its place. Which verifier a token goes to is told by the token's form, so each
// form has at most one.
func (c *TokenConfig) addForm(forms *token.ByForm, module any) error {
	configured, ok := module.(TokenVerifier)
	if !ok {
		return fmt.Errorf("%T is no token verifier", module)
	}
	verifier, err := configured.Verifier()
	if err != nil {
		if m, ok := module.(caddy.Module); ok { // which of several it is
			err = fmt.Errorf("%s: %w", m.CaddyModule().ID.Name(), err)
		}
		return err
	}
	if finder, ok := verifier.(token.Finder); ok {
		return c.addFound(finder)
	}
	place, name := &forms.JWT, "jwt"
	switch module.(type) {
	case *SignedVerifier:
		place, name = &forms.Prefix, "signed"
	case *CATVerifier:
		place, name = &forms.CAT, "cat"
	}
	if *place != nil {
		return fmt.Errorf("two verifiers of the form %s", name)
	}
	*place = verifier
	return nil
}

func countSet(texts ...string) int {
	n := 0
	for _, text := range texts {
		if strings.TrimSpace(text) != "" {
			n++
		}
	}
	return n
}
