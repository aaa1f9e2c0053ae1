package caddymodule

import (
	"fmt"
	"strings"

	"github.com/caddyserver/caddy/v2"
)

// resolveSecretText expands a placeholder that names a secret. What is literally in the configuration is refused, and
// so is a placeholder that expands to nothing: an unset variable must not become an empty secret.
func resolveSecretText(placeholder string) (string, error) {
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
