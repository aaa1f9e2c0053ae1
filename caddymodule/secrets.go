package caddymodule

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/caddyserver/caddy/v2"
)

// configuredSecrets are those of the configuration that is being provisioned. Caddy provisions one after the other, and the app first.
var configuredSecrets secretUses

// secretUses tells deployment secrets from all others, by their digests.
type secretUses struct {
	mu          sync.Mutex
	begun       int // configurations
	deployments map[[sha256.Size]byte]bool
	others      map[[sha256.Size]byte]bool
}

// begin forgets what was before, as the configuration of ctx begins, and forgets that when it ends: the same secret may be another one's then.
func (u *secretUses) begin(ctx context.Context) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.begun++
	this := u.begun
	u.deployments, u.others = make(map[[sha256.Size]byte]bool), make(map[[sha256.Size]byte]bool)
	context.AfterFunc(ctx, func() {
		u.mu.Lock()
		defer u.mu.Unlock()
		if u.begun == this {
			u.deployments, u.others = nil, nil
		}
	})
}

// deployment notes a deployment secret, and refuses one that the configuration uses for something else.
func (u *secretUses) deployment(text string) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	digest := sha256.Sum256([]byte(text))
	if u.others[digest] {
		return errSecretElsewhere
	}
	if u.deployments != nil {
		u.deployments[digest] = true
	}
	return nil
}

// other notes any other secret, and refuses a deployment secret.
func (u *secretUses) other(text string) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	digest := sha256.Sum256([]byte(text))
	if u.deployments[digest] {
		return errDeploymentSecret
	}
	if u.others != nil {
		u.others[digest] = true
	}
	return nil
}

// These keep the one secret that all keys come from at home: any other is known to a CDN, a shop or a server as well. Which of the two is
// reported is a matter of which stands first.
var (
	errDeploymentSecret = errors.New("this is the deployment secret, from which all keys are derived: it must not be used for anything that others know; make another one")
	errSecretElsewhere  = errors.New("this would be the deployment secret, from which all keys are derived, and the configuration uses it for something that others know as well; make another one for that")
)

// resolveSecretText expands a placeholder that names a secret other than the deployment secret, which it refuses.
func resolveSecretText(placeholder string) (string, error) {
	text, err := expandSecret(placeholder)
	if err != nil {
		return "", err
	}
	if err := configuredSecrets.other(text); err != nil {
		return "", err
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
