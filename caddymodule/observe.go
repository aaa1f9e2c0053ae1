package caddymodule

import (
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/caddy-drm/caddy-drm/policy"
)

// The words of Mode.
const (
	modeEnforce = "enforce"
	modeObserve = "observe"
)

// metricObserved counts what would have been refused.
var metricObserved = prometheus.NewCounterVec(prometheus.CounterOpts{
	Namespace: "caddy", Subsystem: "drm", Name: "observed_refusals_total",
	Help: "Requests that were answered although a rule refuses them, for the site only observes, by kind and reason.",
}, []string{"kind", "reason"})

// observes reports whether the decisions on viewers are only looked at. Seals, encryption and what counts as ours hold all the same.
func (h *Handler) observes() bool { return h.Mode == modeObserve }

// observeDecision notes a refusal that has no effect.
func (q *request) observeDecision(d policy.Decision) { q.observe(q.refusalOf(d), d.Rule) }

// observeFailure notes credentials that would have been refused before any rule, and has no effect either.
func (q *request) observeFailure(err error) { q.observe(answerFor(err), err.Error()) }

func (q *request) observe(a answer, rule string) {
	metricObserved.WithLabelValues(q.kind.String(), a.reason).Inc()
	q.logger.Warn("would have been refused", zap.String("reason", a.reason), zap.Int("status", a.status), zap.String("rule", rule),
		zap.String("kind", q.kind.String()), zap.String("path", q.loggedPath()))
}

// warnIfObserving says at start what would be forgotten otherwise.
func (h *Handler) warnIfObserving() {
	if h.observes() {
		h.logger.Warn("this site observes: tokens, countries, rights and limits refuse nobody; mode enforce ends it", zap.String("tenant", h.Tenant))
	}
}
