package caddymodule

import (
	"errors"
	"slices"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/caddy-drm/caddy-drm/segcache"
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

// Gauges and counts of the memory that the process shares, read when somebody looks.
var memoryMetrics = []prometheus.Collector{
	segmentCacheCount("hit", func(s segcache.Stats) uint64 { return s.Hits }),
	segmentCacheCount("shared", func(s segcache.Stats) uint64 { return s.Shared }),
	segmentCacheCount("miss", func(s segcache.Stats) uint64 { return s.Misses }),
	memoryGauge("segment_cache_bytes", "Protected segments in memory, in bytes.", func(m memory) int64 { return m.segments.Stats().Bytes }),
	memoryGauge("in_flight_bytes", "Segments that are read, encrypted and sent, in bytes.", func(m memory) int64 { return m.inFlight.Stats().Used }),
	memoryGauge("in_flight_waiting", "Requests that wait for memory.", func(m memory) int64 { return int64(m.inFlight.Stats().Waiting) }),
}

func segmentCacheCount(result string, read func(segcache.Stats) uint64) prometheus.Collector {
	return prometheus.NewCounterFunc(prometheus.CounterOpts{
		Namespace: "caddy", Subsystem: "drm", Name: "segment_cache_requests_total",
		Help: "Requests for segments, by how the cache answered.", ConstLabels: prometheus.Labels{"result": result},
	}, func() float64 { return float64(read(sharedMemory().segments.Stats())) })
}

func memoryGauge(name, help string, read func(memory) int64) prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: "caddy", Subsystem: "drm", Name: name, Help: help},
		func() float64 { return float64(read(sharedMemory())) })
}

// registerMetrics makes the collectors visible in the registry of a configuration.
func registerMetrics(registry *prometheus.Registry) error {
	if registry == nil {
		return nil
	}
	for _, collector := range slices.Concat([]prometheus.Collector{metricRequests, metricBytes, metricRefusals, metricObserved, metricLicenses}, memoryMetrics, stateMetrics) {
		var already prometheus.AlreadyRegisteredError
		if err := registry.Register(collector); err != nil && !errors.As(err, &already) {
			return err
		}
	}
	return nil
}

// counters of the hot path, looked up once per kind instead of once per request.
var servedCounters = func() (counters [kindCount]struct{ requests, bytes prometheus.Counter }) {
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

// countBytes counts what leaves of a representation whose size is not known in front.
func countBytes(kind requestKind, size int) { servedCounters[kind].bytes.Add(float64(size)) }

func countRefusal(kind requestKind, a answer) {
	metricRefusals.WithLabelValues(kind.String(), a.reason, strconv.Itoa(a.status)).Inc()
}
