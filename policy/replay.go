package policy

import "github.com/caddy-drm/caddy-drm/token"

// judgeReplay uses up a token that is good for one use. It is the last rule, so that a token is spent only on what is admitted; a
// session is what the one use was for, and is not asked.
func (p *Policy) judgeReplay(q *question) {
	claims := &q.decision.Claims
	if claims.Session || claims.Once == [16]byte{} {
		return
	}
	if q.explaining {
		q.input = "a token that is good for one use; not used up here"
	}
	if p.Tokens.Replay == nil {
		q.refuse(ReasonTokenUnverifiable, "replay: nothing remembers which tokens have been used")
		return
	}
	switch seen, err := q.hasBeenUsed(p.Tokens.Replay); {
	case err != nil: // its text is of whatever remembers
		q.refuse(ReasonTokenUnverifiable, "replay: whether the token has been used could not be found out")
	case seen:
		q.decision.Answer = token.AnswerOf(claims.Answered(token.ErrReplayed))
		q.refuse(ReasonTokenReplayed, "replay: "+token.ErrReplayed.Error())
	}
}

// hasBeenUsed uses the token up, unless somebody only wants to know.
func (q *question) hasBeenUsed(replay token.Replay) (bool, error) {
	claims := &q.decision.Claims
	if q.explaining {
		return replay.Known(q.ctx, claims.Once)
	}
	return replay.Seen(q.ctx, claims.Once, claims.Expires)
}
