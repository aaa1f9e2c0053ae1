package caddymodule

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/certmagic"
)

// errNoSecretKept keeps the command from listing keys that no gateway has: a configuration without a secret draws one where it is loaded.
var errNoSecretKept = errors.New("no secret is configured, and none is kept in the storage of this configuration: a gateway draws one at its first start, and this command does not")

// refuseToDraw returns errNoSecretKept if provisioning would draw a deployment secret.
func refuseToDraw(config *caddy.Config) error {
	var app struct {
		Secret string `json:"secret"`
	}
	if raw, ok := config.AppsRaw["drm"]; ok {
		if err := json.Unmarshal(raw, &app); err != nil {
			return err
		}
	}
	var routes any
	if err := json.Unmarshal(config.AppsRaw["http"], &routes); app.Secret != "" || err != nil || !lacksSecret(routes) {
		return nil // what is no configuration is refused by what loads it
	}
	ctx, cancel := caddy.NewContext(caddy.Context{Context: context.Background()})
	defer cancel()
	storage := certmagic.Storage(caddy.DefaultStorage)
	if config.StorageRaw != nil {
		loaded, err := ctx.LoadModule(&caddy.Config{StorageRaw: config.StorageRaw}, "StorageRaw") // a copy: loading takes the field away
		if err != nil {
			return fmt.Errorf("storage: %w", err)
		}
		converter, ok := loaded.(caddy.StorageConverter)
		if !ok {
			return errors.New("storage: the module is none")
		}
		if storage, err = converter.CertMagicStorage(); err != nil {
			return fmt.Errorf("storage: %w", err)
		}
	}
	if !storage.Exists(ctx, storedSecretKey) {
		return errNoSecretKept
	}
	return nil
}

// lacksSecret reports whether a handler of ours in a configuration has no secret of its own.
func lacksSecret(node any) bool {
	switch node := node.(type) {
	case map[string]any:
		if node["handler"] == "drm" && (node["secret"] == nil || node["secret"] == "") {
			return true
		}
		for _, child := range node {
			if lacksSecret(child) {
				return true
			}
		}
	case []any:
		for _, child := range node {
			if lacksSecret(child) {
				return true
			}
		}
	}
	return false
}
