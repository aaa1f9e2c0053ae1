package caddymodule

import (
	"errors"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
)

// Collectors live as long as the process and are registered with every configuration's registry, so that counts survive
// a reload. No label holds a path, an address or a subject: the number of series is bounded.
var (
	metricRequests = prometheus.NewCounterVec(prometheus.CounterOpts{
		Namespace: "caddy", Subsystem: "drm", Name: "requests_total",
		Help: "Requests answered with content or keys, by kind.",
	}, []string{"kind"})
	metricBytes = prometheus.NewCounterVec(prometheus.CounterOpts{
		Namespace: "caddy", Subsystem: "drm", Name: "representation_bytes_total",
		Help: "Sizes of the representations that requests were answered with, by kind.",
	}, []string{"kind"})
	metricRefusals = prometheus.NewCounterVec(prometheus.CounterOpts{
		Namespace: "caddy", Subsystem: "drm", Name: "refusals_total",
		Help: "Requests refused or failed, by kind, reason and status.",
	}, []string{"kind", "reason", "status"})
)

// registerMetrics makes the collectors visible in the registry of a configuration.
func registerMetrics(registry *prometheus.Registry) error {
	if registry == nil {
		return nil
	}
	for _, collector := range []prometheus.Collector{metricRequests, metricBytes, metricRefusals} {
		var already prometheus.AlreadyRegisteredError
		if err := registry.Register(collector); err != nil && !errors.As(err, &already) {
			return err
		}
	}
	return nil
}

// counters of the hot path, looked up once per kind instead of once per request.
var servedCounters = func() (counters [kindRawKey + 1]struct{ requests, bytes prometheus.Counter }) {
	for kind := range counters {
		label := requestKind(kind).String()
		counters[kind].requests = metricRequests.WithLabelValues(label)
		counters[kind].bytes = metricBytes.WithLabelValues(label)
	}
	return counters
}()

func countServed(kind requestKind, size int) {
	servedCounters[kind].requests.Inc()
	servedCounters[kind].bytes.Add(float64(size))
}

func countRefusal(kind requestKind, a answer) {
	metricRefusals.WithLabelValues(kind.String(), a.reason, strconv.Itoa(a.status)).Inc()
}
