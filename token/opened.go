package token

import (
	"time"

	"github.com/dgraph-io/ristretto/v2"
)

// OpenedSessions remembers what sessions say, so that the MAC of one is computed once and not for every segment that it asks for.
// It is safe for concurrent use, by any number of keys.
type OpenedSessions struct {
	entries *ristretto.Cache[string, openedSession]
}

// openedSession holds the session itself and its key: the table compares hashes of it only.
type openedSession struct {
	key     *SessionKey
	session string
	claims  Claims
}

// openedSessionTTL lets the sessions of viewers who have left go.
const openedSessionTTL = 10 * time.Minute

// NewOpenedSessions returns room for limit sessions, of a kilobyte or so each. Only authentic ones take any.
func NewOpenedSessions(limit int64) (*OpenedSessions, error) {
	entries, err := ristretto.NewCache(&ristretto.Config[string, openedSession]{
		NumCounters: 10 * limit, MaxCost: limit, BufferItems: 64, IgnoreInternalCost: true,
	})
	if err != nil {
		return nil, err
	}
	return &OpenedSessions{entries}, nil
}

// get may compare in any time: who finds an entry knows its session, or 128 bits of two hashes with secret seeds collide.
func (o *OpenedSessions) get(k *SessionKey, session string) (Claims, bool) {
	if o == nil {
		return Claims{}, false
	}
	e, found := o.entries.Get(session)
	if !found || e.key != k || e.session != session {
		return Claims{}, false
	}
	return e.claims, true
}

func (o *OpenedSessions) add(k *SessionKey, session string, claims Claims) {
	if o != nil {
		o.entries.SetWithTTL(session, openedSession{k, session, claims}, 1, openedSessionTTL)
	}
}
