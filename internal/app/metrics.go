package app

import (
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"marquee/internal/audit"
	"marquee/internal/identity"
	"marquee/internal/jobs"
	"marquee/internal/notify"
	"marquee/internal/payment"
	"marquee/internal/postgres"
	"marquee/internal/webhook"
)

// metrics are what operators watch. Labels come from the schema and from HTTP, never from a client's text.
type metrics struct {
	registry            *prometheus.Registry
	requests            *prometheus.HistogramVec
	operations          *prometheus.HistogramVec
	expired, reconciled prometheus.Counter
	mails               *prometheus.CounterVec
	stranded            *prometheus.GaugeVec
	jobs, webhooks      *prometheus.CounterVec
	mismatches          prometheus.Gauge
	mismatchAge         prometheus.Gauge
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
		mismatches: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "marquee_mismatches_open", Help: "Mismatches between the books of gateways and ours, of all nodes, that wait for somebody.",
		}),
		mismatchAge: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "marquee_mismatch_oldest_seconds", Help: "Age of the oldest open mismatch; 0 when there is none.",
		}),
		stranded: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "marquee_payments_stranded", Help: "Unsettled attempts and refunds of all nodes at a gateway that this node does not have.",
		}, []string{"gateway"}),
		jobs: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "marquee_jobs_total", Help: "Attempts of this node to do a job, by kind and outcome.",
		}, []string{"kind", "outcome"}),
		webhooks: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "marquee_webhooks_total", Help: "Webhooks that came to this node, by gateway, what they are about, and outcome.",
		}, []string{"gateway", "kind", "outcome"}),
	}
	m.registry.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		collectors.NewDBStatsCollector(db.SQL(), "marquee"),
		m.requests, m.operations, m.expired, m.reconciled, m.mails, m.stranded, m.jobs, m.webhooks, m.mismatches, m.mismatchAge,
	)
	return m
}

func (m *metrics) watchSockets(count func() int) {
	m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "marquee_websockets_open", Help: "Open websocket connections and event streams.",
	}, func() float64 { return float64(count()) }))
}

func (m *metrics) watchAudit(s *audit.Sealer) {
	m.registry.MustRegister(
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "marquee_audit_head_position", Help: "Position of the newest signed head of the audit log.",
		}, func() float64 { return float64(s.Position()) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "marquee_audit_broken", Help: "1 while the audit log disagrees with its newest signed head: run verify-audit.",
		}, func() float64 {
			if s.Broken() {
				return 1
			}
			return 0
		}),
	)
}

// watchGateways shows how this node's gateways are.
func (m *metrics) watchGateways(gateways *payment.Gateways) {
	for i, gateway := range gateways.Health() {
		labels := prometheus.Labels{"gateway": gateway.Name}
		m.registry.MustRegister(
			prometheus.NewGaugeFunc(prometheus.GaugeOpts{
				Name: "marquee_gateway_healthy", Help: "1 while payments are begun at a gateway, 0 while its calls fail.", ConstLabels: labels,
			}, func() float64 {
				if gateways.Health()[i].Healthy {
					return 1
				}
				return 0
			}),
			prometheus.NewGaugeFunc(prometheus.GaugeOpts{
				Name: "marquee_gateway_calls_in_flight", Help: "Calls to a gateway that are not answered yet.", ConstLabels: labels,
			}, func() float64 { return float64(gateways.Health()[i].InFlight) }),
		)
	}
}

// watchPasswords shows who signs in: a queue that stays full is a flood, or a machine that is too small.
func (m *metrics) watchPasswords(queue func() identity.HashQueue) {
	const name, help = "marquee_passwords", "Passwords that are hashed at this moment or wait for it."
	for state, of := range map[string]func(identity.HashQueue) int{
		"hashing": func(q identity.HashQueue) int { return q.Hashing },
		"queued":  func(q identity.HashQueue) int { return q.Queued },
	} {
		m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: name, Help: help, ConstLabels: prometheus.Labels{"state": state},
		}, func() float64 { return float64(of(queue())) }))
	}
	m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "marquee_password_places", Help: "How many passwords may be hashed or wait at once; whoever comes beyond is told to come again.",
	}, func() float64 { return float64(queue().Places) }))
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

func (m *metrics) job(kind string, outcome jobs.Outcome) {
	m.jobs.WithLabelValues(kind, string(outcome)).Inc()
}

func (m *metrics) webhook(gateway string, kind payment.EventKind, outcome webhook.Outcome) {
	m.webhooks.WithLabelValues(gateway, string(kind), string(outcome)).Inc()
}

func (m *metrics) handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{Registry: m.registry})
}
