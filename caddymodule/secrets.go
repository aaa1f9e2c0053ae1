package caddymodule

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/caddyserver/caddy/v2"
)

// deploymentSecrets holds digests of all deployment secrets that were resolved, by [32]byte.
var deploymentSecrets sync.Map

// errDeploymentSecret keeps the one secret that all keys come from at home: any other is known to a CDN, a shop or a server as well.
var errDeploymentSecret = errors.New("this is the deployment secret, from which all keys are derived: it must not be used for anything that others know; make another one")

// resolveSecretText expands a placeholder that names a secret other than the deployment secret, which it refuses.
func resolveSecretText(placeholder string) (string, error) {
	text, err := expandSecret(placeholder)
	if err != nil {
		return "", err
	}
	if _, known := deploymentSecrets.Load(sha256.Sum256([]byte(text))); known && text != "" {
		return "", errDeploymentSecret
	}
	return text, nil
}

// expandSecret expands a placeholder that names a secret. What is literally in the configuration is refused, and
// so is a placeholder that expands to nothing: an unset variable must not become an empty secret.
func expandSecret(placeholder string) (string, error) {
	if err := checkSecretPlaceholder(placeholder); err != nil {
		return "", err
	}
	text, err := caddy.NewReplacer().ReplaceOrErr(placeholder, true, true)
	if err != nil {
		return "", fmt.Errorf("placeholder %s: %w", placeholder, err)
	}
	return strings.TrimSpace(text), nil
}

// checkSecretPlaceholder reports errSecretLiteral unless s is exactly one placeholder for an environment variable or a
// file.
func checkSecretPlaceholder(s string) error {
	inner, ok := strings.CutPrefix(s, "{")
	inner, closed := strings.CutSuffix(inner, "}")
	if !ok || !closed || strings.ContainsAny(inner, "{}") || !strings.HasPrefix(inner, "env.") && !strings.HasPrefix(inner, "file.") {
		return errSecretLiteral
	}
	return nil
}
