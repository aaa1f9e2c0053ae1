package caddymodule

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/caddyserver/caddy/v2"
)

// deploymentSecrets counts the configurations that have a deployment secret, by its digest.
var deploymentSecrets = secretCounts{counts: make(map[[sha256.Size]byte]int)}

type secretCounts struct {
	mu     sync.Mutex
	counts map[[sha256.Size]byte]int
}

func (c *secretCounts) add(text string, n int) {
	digest := sha256.Sum256([]byte(text))
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.counts[digest] += n; c.counts[digest] <= 0 {
		delete(c.counts, digest)
	}
}

func (c *secretCounts) has(text string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.counts[sha256.Sum256([]byte(text))] > 0
}

// errDeploymentSecret keeps the one secret that all keys come from at home: any other is known to a CDN, a shop or a server as well.
var errDeploymentSecret = errors.New("this is the deployment secret, from which all keys are derived: it must not be used for anything that others know; make another one")

// resolveSecretText expands a placeholder that names a secret other than the deployment secret, which it refuses.
func resolveSecretText(placeholder string) (string, error) {
	text, err := expandSecret(placeholder)
	if err != nil {
		return "", err
	}
	if deploymentSecrets.has(text) {
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
