package caddymodule

import (
	"errors"
	"sync"

	"github.com/caddy-drm/caddy-drm/token"
	"github.com/caddy-drm/caddy-drm/token/cat"
	"github.com/caddy-drm/caddy-drm/token/signedurl"
)

// conditionKinds read the conditions that sessions carry, by their first byte: each kind of token has its own.
var conditionKinds = map[byte]func([]byte) (token.Conditions, error){
	cat.ConditionsKind:      cat.ParseConditions,
	signedurl.ConditionsTag: signedurl.ParseConditions,
}

// maxParsedConditions bounds those that are kept at hand.
const maxParsedConditions = 4096

// parsedConditions keeps what sessions carry, since every segment of a viewer brings the same. What is in it came out of a session
// whose MAC was good.
var parsedConditions = struct {
	sync.RWMutex
	byText map[string]token.Conditions
}{byText: make(map[string]token.Conditions)}

// parseConditions is token.SessionConfig.ParseConditions of every site.
func parseConditions(b []byte) (token.Conditions, error) {
	parsedConditions.RLock()
	conditions, found := parsedConditions.byText[string(b)]
	parsedConditions.RUnlock()
	if found {
		return conditions, nil
	}
	if len(b) == 0 || conditionKinds[b[0]] == nil {
		return nil, errors.New("conditions of an unknown kind")
	}
	conditions, err := conditionKinds[b[0]](b)
	if err != nil {
		return nil, err
	}
	parsedConditions.Lock()
	defer parsedConditions.Unlock()
	if len(parsedConditions.byText) >= maxParsedConditions {
		clear(parsedConditions.byText) // what is in use comes back in a few microseconds each
	}
	parsedConditions.byText[string(b)] = conditions
	return conditions, nil
}
