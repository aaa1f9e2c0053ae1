package caddymodule

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// What nodes share, by what it is asked for: take, look, renew, probe, revocations, and in Redis grants, titles, single_use, cuts.
var (
	metricStateLatency = prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Namespace: "caddy", Subsystem: "drm", Name: "state_latency_seconds",
		Help:    "Time that was waited for the shared state, also in vain, by what it was asked for.",
		Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, 1},
	}, []string{"operation"})
	metricStateFailures = prometheus.NewCounterVec(prometheus.CounterOpts{
		Namespace: "caddy", Subsystem: "drm", Name: "state_failures_total",
		Help: "Questions that the shared state did not answer in time, or not at all, by what it was asked for.",
	}, []string{"operation"})
)

// stateMetrics are registered with those of memory.
var stateMetrics = []prometheus.Collector{
	metricStateLatency, metricStateFailures,
	stateGauge("streams", "Streams that this node serves.", func(s *SharedState) int { return s.Streams.Held() }),
	stateGauge("revocations", "Revocations that this node knows.", func(s *SharedState) int { return s.Revocations.Len() }),
}

func stateGauge(name, help string, read func(*SharedState) int) prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: "caddy", Subsystem: "drm", Name: name, Help: help}, func() float64 {
		sum := 0
		statePool.Range(func(_, value any) bool {
			if opened, ok := value.(*SharedState); ok {
				sum += read(opened)
			}
			return true
		})
		return float64(sum)
	})
}

// observeState counts one question.
func observeState(operation string, took time.Duration, err error) {
	if err != nil {
		metricStateFailures.WithLabelValues(operation).Inc()
	}
	metricStateLatency.WithLabelValues(operation).Observe(took.Seconds())
}
