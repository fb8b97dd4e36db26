package app

import (
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"marquee/internal/notify"
	"marquee/internal/postgres"
)

// metrics are what operators watch. Labels come from the schema and from HTTP, never from a client's text.
type metrics struct {
	registry            *prometheus.Registry
	requests            *prometheus.HistogramVec
	operations          *prometheus.HistogramVec
	expired, reconciled prometheus.Counter
	mails               *prometheus.CounterVec
}

var latencyBuckets = []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}

func newMetrics(db *postgres.DB) *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "marquee_http_request_seconds", Help: "Time of public HTTP requests by status.", Buckets: latencyBuckets,
		}, []string{"status"}),
		operations: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "marquee_graphql_operation_seconds", Help: "Time of queries and mutations by first field and outcome.", Buckets: latencyBuckets,
		}, []string{"operation", "outcome"}),
		expired: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "marquee_holds_expired_total", Help: "Holds that this node ended after their deadline.",
		}),
		reconciled: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "marquee_payments_reconciled_total", Help: "Payment attempts left behind that this node settled.",
		}),
		mails: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "marquee_mails_total", Help: "Attempts of this node to send a mail, by kind and outcome.",
		}, []string{"kind", "outcome"}),
	}
	m.registry.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		collectors.NewDBStatsCollector(db.SQL(), "marquee"),
		m.requests, m.operations, m.expired, m.reconciled, m.mails,
	)
	return m
}

func (m *metrics) watchSockets(count func() int) {
	m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "marquee_websockets_open", Help: "Open websocket connections and event streams.",
	}, func() float64 { return float64(count()) }))
}

func (m *metrics) request(status int, took time.Duration) {
	m.requests.WithLabelValues(strconv.Itoa(status)).Observe(took.Seconds())
}

func (m *metrics) operation(operation, outcome string, took time.Duration) {
	m.operations.WithLabelValues(operation, outcome).Observe(took.Seconds())
}

func (m *metrics) mail(kind notify.Kind, outcome notify.Outcome) {
	m.mails.WithLabelValues(string(kind), string(outcome)).Inc()
}

func (m *metrics) handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{Registry: m.registry})
}
