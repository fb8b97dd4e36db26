// Package config reads what the owner of an installation decides from the environment.
//
// It knows names, defaults and limits; it opens nothing. Validate reports every problem at once. Secrets print as
// asterisks.
package config

import (
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/agnivade/levenshtein"
	"github.com/caarlos0/env/v11"
)

// Config is the whole configuration. Each field's env tag is the variable's name; envDefault its default.
type Config struct {
	Env         Environment `env:"MARQUEE_ENV" envDefault:"development"`
	Listen      string      `env:"MARQUEE_LISTEN" envDefault:":8080"`
	OpsListen   string      `env:"MARQUEE_OPS_LISTEN" envDefault:"127.0.0.1:9090"`
	DataDir     string      `env:"MARQUEE_DATA_DIR"`
	DatabaseURL Secret      `env:"MARQUEE_DATABASE_URL"`
	// Jobs that this node does at once, and webhooks a second from one address; 0 limits no address.
	JobWorkers      int            `env:"MARQUEE_JOB_WORKERS" envDefault:"8"`
	RateWebhooks    int            `env:"MARQUEE_RATE_WEBHOOKS" envDefault:"200"`
	DatabaseConns   int            `env:"MARQUEE_DATABASE_CONNS" envDefault:"0"`
	PostgresBin     string         `env:"MARQUEE_PG_BIN"`
	SecretKey       Secret         `env:"MARQUEE_SECRET_KEY"`
	Keyset          Secret         `env:"MARQUEE_KEYSET"`
	KeysetFile      string         `env:"MARQUEE_KEYSET_FILE"`
	AuditHeads      string         `env:"MARQUEE_AUDIT_HEADS"`
	AllowedOrigins  []string       `env:"MARQUEE_ALLOWED_ORIGINS"`
	TrustedProxies  []netip.Prefix `env:"MARQUEE_TRUSTED_PROXIES"`
	Demo            *bool          `env:"MARQUEE_DEMO"`
	Gateways        []string       `env:"MARQUEE_GATEWAYS"`
	SandboxURL      string         `env:"MARQUEE_SANDBOX_URL"`
	SandboxKey      Secret         `env:"MARQUEE_SANDBOX_KEY"`
	SandboxSecret   Secret         `env:"MARQUEE_SANDBOX_WEBHOOK_SECRET"`
	PublicURL       string         `env:"MARQUEE_PUBLIC_URL"`
	SMTPURL         Secret         `env:"MARQUEE_SMTP_URL"`
	MailFrom        string         `env:"MARQUEE_MAIL_FROM"`
	Hold            time.Duration  `env:"MARQUEE_HOLD" envDefault:"10m"`
	HoldLimit       time.Duration  `env:"MARQUEE_HOLD_LIMIT"`
	Reviewers       string         `env:"MARQUEE_REVIEWERS" envDefault:"ticket"`
	ClusterListen   string         `env:"MARQUEE_CLUSTER_LISTEN"`
	ClusterPeers    []string       `env:"MARQUEE_CLUSTER_PEERS"`
	ClusterPassword Secret         `env:"MARQUEE_CLUSTER_PASSWORD"`
	RequestTimeout  time.Duration  `env:"MARQUEE_REQUEST_TIMEOUT" envDefault:"10s"`
	DrainTimeout    time.Duration  `env:"MARQUEE_DRAIN_TIMEOUT" envDefault:"20s"`
	DrainDelay      *time.Duration `env:"MARQUEE_DRAIN_DELAY"`
	OpsHosts        []string       `env:"MARQUEE_OPS_HOSTS"`
	LiveInterval    time.Duration  `env:"MARQUEE_LIVE_INTERVAL" envDefault:"50ms"`
	// The providers of OpenID Connect that people may sign in with.
	OpenIDProviders OpenIDProviders `env:"MARQUEE_OIDC_PROVIDERS"`
	// The manifest of documents that clients may name, and what happens to those that are not in it.
	PersistedDocuments string `env:"MARQUEE_PERSISTED_DOCUMENTS"`
	PersistedMode      string `env:"MARQUEE_PERSISTED_MODE" envDefault:"off"`
	// Points a second that a caller may cost; 0 limits nobody.
	RateViewer          int        `env:"MARQUEE_RATE_VIEWER" envDefault:"1000"`
	RateAddress         int        `env:"MARQUEE_RATE_ADDRESS" envDefault:"4000"`
	RatePurchaseViewer  int        `env:"MARQUEE_RATE_PURCHASE_VIEWER" envDefault:"200"`
	RatePurchaseAddress int        `env:"MARQUEE_RATE_PURCHASE_ADDRESS" envDefault:"2000"`
	LogLevel            slog.Level `env:"MARQUEE_LOG_LEVEL" envDefault:"INFO"`
	// Seats of a showtime for one address and for one device, and holds that may end unpaid within the window; 0 limits
	// nobody.
	SeatsPerAddress int           `env:"MARQUEE_SEATS_PER_ADDRESS" envDefault:"40"`
	SeatsPerDevice  int           `env:"MARQUEE_SEATS_PER_DEVICE" envDefault:"20"`
	IdleHolds       int           `env:"MARQUEE_IDLE_HOLDS" envDefault:"6"`
	IdleWindow      time.Duration `env:"MARQUEE_IDLE_WINDOW" envDefault:"1h"`
	// The account at Stripe.
	StripeKey            Secret `env:"MARQUEE_STRIPE_KEY"`
	StripePublishableKey string `env:"MARQUEE_STRIPE_PUBLISHABLE_KEY"`
	StripeWebhookSecret  Secret `env:"MARQUEE_STRIPE_WEBHOOK_SECRET"`
	// The account at Razorpay.
	RazorpayKeyID         string `env:"MARQUEE_RAZORPAY_KEY_ID"`
	RazorpayKeySecret     Secret `env:"MARQUEE_RAZORPAY_KEY_SECRET"`
	RazorpayWebhookSecret Secret `env:"MARQUEE_RAZORPAY_WEBHOOK_SECRET"`
}

// maxRate is more than a machine can serve.
const maxRate = 1_000_000

// maxWorkers is more than the connections of a pool serve.
const maxWorkers = 1000

// maxRequestTimeout leaves the connection time to carry the answer.
const maxRequestTimeout = 50 * time.Second

// RetireDelay is for how long a node that is about to stop says so before it refuses connections: in production time for
// a load balancer to ask /readyz and to believe the answer, in development none.
func (c Config) RetireDelay() time.Duration {
	switch {
	case c.DrainDelay != nil:
		return *c.DrainDelay
	case c.Env == Production:
		return min(productionDrainDelay, c.DrainTimeout/4)
	default:
		return 0
	}
}

const productionDrainDelay = 5 * time.Second

// LoadsDemo reports whether serve fills an empty database with the demo world: by itself only in development and only
// in the private cluster, since the demo accounts' passwords are no secret.
func (c Config) LoadsDemo() bool {
	if c.Demo != nil {
		return *c.Demo
	}
	return c.Env == Development && c.DatabaseURL == ""
}

// AuditHeadsFile is where the signed heads of the audit log are kept, "" for the log alone: by itself only beside the
// private cluster, whose log it is sure to be about.
func (c Config) AuditHeadsFile() string {
	if c.AuditHeads == "" && c.DatabaseURL == "" {
		return filepath.Join(c.DataDir, "audit-heads.jsonl")
	}
	return c.AuditHeads
}

// Environment is where the program runs.
type Environment string

// The environments. Development serves the console and the schema to everybody and loads a demo world into an empty
// private database; production serves both to administrators only and loads nothing.
const (
	Development Environment = "development"
	Production  Environment = "production"
)

// Secret is a text that never prints.
type Secret string

// String returns asterisks.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return "******"
}

// GoString returns asterisks.
func (s Secret) GoString() string { return s.String() }

// LogValue returns asterisks.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// List returns the texts that commas separate: a secret that is being changed is the next one and the one before.
func (s Secret) List() (list []string) {
	for one := range strings.SplitSeq(string(s), ",") {
		if one = strings.TrimSpace(one); one != "" {
			list = append(list, one)
		}
	}
	return list
}

// MarshalText returns asterisks.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Load reads and validates the configuration of this process.
func Load() (Config, error) {
	return FromEnvironment(env.ToMap(os.Environ()))
}

// usualHoldLimit is how long seats are held with all extensions, where nobody has said otherwise and a hold is no longer.
const usualHoldLimit = 30 * time.Minute

// FromEnvironment reads and validates a configuration from the given variables.
func FromEnvironment(variables map[string]string) (Config, error) {
	var c Config
	if err := env.ParseWithOptions(&c, env.Options{Environment: variables}); err != nil {
		return c, unreadable(err)
	}
	if c.DataDir == "" {
		c.DataDir = defaultDataDir(variables)
	}
	if _, set := variables["MARQUEE_HOLD_LIMIT"]; !set {
		c.HoldLimit = max(usualHoldLimit, c.Hold)
	}
	return c, errors.Join(misspelt(variables), c.Validate())
}

// misspelt names the variables that are almost settings: whoever set one would wonder why it does nothing.
func misspelt(variables map[string]string) error {
	const almost = 2 // letters
	var settings []string
	for _, field := range reflect.VisibleFields(reflect.TypeFor[Config]()) {
		if name := field.Tag.Get("env"); name != "" {
			settings = append(settings, name)
		}
	}
	var problems []error
	for _, name := range slices.Sorted(maps.Keys(variables)) {
		if !strings.HasPrefix(name, "MARQUEE_") || slices.Contains(settings, name) {
			continue
		}
		for _, setting := range settings {
			if levenshtein.ComputeDistance(name, setting) <= almost {
				problems = append(problems, fmt.Errorf("%s is no setting: do you mean %s?", name, setting))
			}
		}
	}
	return errors.Join(problems...)
}

// unreadable names the variables whose text could not be read, one sentence each.
func unreadable(err error) error {
	all, ok := errors.AsType[env.AggregateError](err)
	if !ok {
		return fmt.Errorf("configuration: %w", err)
	}
	var problems []error
	for _, one := range all.Errors {
		parse, ok := errors.AsType[env.ParseError](one)
		if !ok {
			problems = append(problems, one)
			continue
		}
		name := parse.Name
		if field, found := reflect.TypeFor[Config]().FieldByName(parse.Name); found {
			name = field.Tag.Get("env")
		}
		problems = append(problems, fmt.Errorf("%s cannot be read: %w", name, parse.Err))
	}
	return errors.Join(problems...)
}

// defaultDataDir is where data of a program belongs: /var/lib for root, whose home others cannot enter, else the user's
// own data folder.
func defaultDataDir(variables map[string]string) string {
	if os.Geteuid() == 0 {
		return "/var/lib/marquee"
	}
	if dir := variables["XDG_DATA_HOME"]; filepath.IsAbs(dir) {
		return filepath.Join(dir, "marquee")
	}
	return filepath.Join(variables["HOME"], ".local", "share", "marquee")
}

// Validate returns every problem of the configuration, one sentence each.
func (c Config) Validate() error {
	var problems []error
	bad := func(format string, args ...any) { problems = append(problems, fmt.Errorf(format, args...)) }
	if c.Env != Development && c.Env != Production {
		bad("MARQUEE_ENV must be development or production, not %q", c.Env)
	}
	for name, address := range map[string]string{
		"MARQUEE_LISTEN": c.Listen, "MARQUEE_OPS_LISTEN": c.OpsListen, "MARQUEE_CLUSTER_LISTEN": c.ClusterListen,
	} {
		if address == "" && name == "MARQUEE_CLUSTER_LISTEN" {
			continue
		}
		if _, _, err := net.SplitHostPort(address); err != nil {
			bad("%s must be host:port, not %q", name, address)
		}
	}
	if c.DatabaseConns < 0 || c.DatabaseConns > 1000 {
		bad("MARQUEE_DATABASE_CONNS must be between 0 (chosen by itself) and 1000")
	}
	if c.JobWorkers < 1 || c.JobWorkers > maxWorkers {
		bad("MARQUEE_JOB_WORKERS must be between 1 and %d", maxWorkers)
	}
	problems = append(problems, c.judgeDurations()...)
	problems = append(problems, c.judgeGateways()...)
	for _, origin := range c.AllowedOrigins {
		if u, err := url.Parse(origin); err != nil || u.Scheme == "" || u.Host == "" || u.Path != "" || strings.Contains(origin, "*") {
			bad("MARQUEE_ALLOWED_ORIGINS must list origins like https://tickets.example, not %q", origin)
		}
	}
	if c.ClusterListen == "" && len(c.ClusterPeers) > 0 {
		bad("MARQUEE_CLUSTER_PEERS needs MARQUEE_CLUSTER_LISTEN")
	}
	if c.ClusterListen != "" && c.ClusterPassword == "" {
		bad("MARQUEE_CLUSTER_LISTEN needs MARQUEE_CLUSTER_PASSWORD")
	}
	if c.Keyset != "" && c.KeysetFile != "" {
		bad("MARQUEE_KEYSET and MARQUEE_KEYSET_FILE exclude each other")
	}
	if _, err := c.Key(); err != nil {
		bad("MARQUEE_SECRET_KEY must be at least 32 bytes in base64: make one with openssl rand -base64 32")
	}
	return errors.Join(append(problems, c.validatePersisted(), c.validateOperation(), c.validateRates(), c.validateHolds(), c.validateReviewers(), c.validateMail(), c.validateProviders(), c.validateProduction())...)
}

// judgeDurations returns what is wrong with settings that say how long something takes.
func (c Config) judgeDurations() (problems []error) {
	bad := func(format string, args ...any) { problems = append(problems, fmt.Errorf(format, args...)) }
	for name, d := range map[string]time.Duration{
		"MARQUEE_HOLD": c.Hold, "MARQUEE_HOLD_LIMIT": c.HoldLimit, "MARQUEE_REQUEST_TIMEOUT": c.RequestTimeout, "MARQUEE_DRAIN_TIMEOUT": c.DrainTimeout,
	} {
		if d < time.Millisecond || d > 24*time.Hour {
			bad("%s must be between 1ms and 24h, not %s", name, d)
		}
	}
	if c.HoldLimit < c.Hold {
		bad("MARQUEE_HOLD_LIMIT must be at least MARQUEE_HOLD, which is %s", c.Hold)
	}
	if c.LiveInterval < time.Millisecond || c.LiveInterval > time.Minute {
		bad("MARQUEE_LIVE_INTERVAL must be between 1ms and 1m, not %s", c.LiveInterval)
	}
	if c.RequestTimeout > maxRequestTimeout {
		bad("MARQUEE_REQUEST_TIMEOUT must be at most %s: a connection takes no answer after a minute", maxRequestTimeout)
	}
	return problems
}

// validateOperation names what is wrong with how operators reach and stop a node.
func (c Config) validateOperation() error {
	var problems []error
	if delay := c.RetireDelay(); delay < 0 || delay >= c.DrainTimeout {
		problems = append(problems, fmt.Errorf("MARQUEE_DRAIN_DELAY must be less than MARQUEE_DRAIN_TIMEOUT, %s, not %s", c.DrainTimeout, delay))
	}
	for _, host := range c.OpsHosts {
		if host == "" || strings.ContainsAny(host, ":/*") {
			problems = append(problems, fmt.Errorf("MARQUEE_OPS_HOSTS must list names without port, like node-1.internal, not %q", host))
		}
	}
	return errors.Join(problems...)
}

// validatePersisted names what is wrong with the settings of persisted documents.
func (c Config) validatePersisted() error {
	switch c.PersistedMode {
	case "off":
	case "log", "require":
		if c.PersistedDocuments == "" {
			return fmt.Errorf("MARQUEE_PERSISTED_MODE=%s needs MARQUEE_PERSISTED_DOCUMENTS", c.PersistedMode)
		}
	default:
		return fmt.Errorf("MARQUEE_PERSISTED_MODE must be off, log or require, not %q", c.PersistedMode)
	}
	return nil
}

// validateReviewers names a choice of who may review that is none.
func (c Config) validateReviewers() error {
	if c.Reviewers != "ticket" && c.Reviewers != "used" {
		return fmt.Errorf("MARQUEE_REVIEWERS must be ticket or used, not %q", c.Reviewers)
	}
	return nil
}

// validateRates names rates that are none.
func (c Config) validateRates() error {
	var problems []error
	for name, rate := range map[string]int{
		"MARQUEE_RATE_VIEWER": c.RateViewer, "MARQUEE_RATE_PURCHASE_VIEWER": c.RatePurchaseViewer,
		"MARQUEE_RATE_ADDRESS": c.RateAddress, "MARQUEE_RATE_PURCHASE_ADDRESS": c.RatePurchaseAddress,
		"MARQUEE_RATE_WEBHOOKS": c.RateWebhooks,
	} {
		if rate < 0 || rate > maxRate {
			problems = append(problems, fmt.Errorf("%s must be between 0 (no limit) and %d points a second", name, maxRate))
		}
	}
	return errors.Join(problems...)
}

// validateHolds names what is wrong with the limits of seats and holds.
func (c Config) validateHolds() error {
	var problems []error
	const most = 1_000_000
	for name, n := range map[string]int{
		"MARQUEE_SEATS_PER_ADDRESS": c.SeatsPerAddress, "MARQUEE_SEATS_PER_DEVICE": c.SeatsPerDevice, "MARQUEE_IDLE_HOLDS": c.IdleHolds,
	} {
		if n < 0 || n > most {
			problems = append(problems, fmt.Errorf("%s must be between 0 (no limit) and %d", name, most))
		}
	}
	if c.IdleHolds > 0 && (c.IdleWindow < time.Second || c.IdleWindow > 24*time.Hour) {
		problems = append(problems, fmt.Errorf("MARQUEE_IDLE_WINDOW must be between 1s and 24h, not %s", c.IdleWindow))
	}
	return errors.Join(problems...)
}

// validateProduction names what production needs and development does without.
func (c Config) validateProduction() error {
	if c.Env != Production {
		return nil
	}
	var problems []error
	for _, need := range []struct {
		missing  bool
		sentence string
	}{
		{c.DatabaseURL == "", "MARQUEE_DATABASE_URL is needed in production"},
		{c.SecretKey == "", "MARQUEE_SECRET_KEY is needed in production: make one with openssl rand -base64 32"},
		{c.Keyset == "" && c.KeysetFile == "", "MARQUEE_KEYSET_FILE or MARQUEE_KEYSET is needed in production: make a keyset with marquee keys new"},
		{len(c.Gateways) == 0, "MARQUEE_GATEWAYS is needed in production: stripe, razorpay, or sandbox, which moves no money"},
		{c.PublicURL == "", "MARQUEE_PUBLIC_URL is needed in production: what links in mails begin with"},
		{c.SMTPURL == "", "MARQUEE_SMTP_URL is needed in production: accounts are opened and recovered by mail"},
		{c.MailFrom == "", "MARQUEE_MAIL_FROM is needed in production: whom mails come from"},
		{c.SecretKey != "" && !c.keyIsRandom(), "MARQUEE_SECRET_KEY is not random: make one with openssl rand -base64 32"},
		{tooShort(c.ClusterPassword), "MARQUEE_CLUSTER_PASSWORD must have at least 16 characters in production: make one with openssl rand -hex 32"},
		{strings.Contains(string(c.StripeKey), "_test_"), "MARQUEE_STRIPE_KEY must be a live one in production: test keys move no money"},
		{strings.Contains(c.StripePublishableKey, "_test_"), "MARQUEE_STRIPE_PUBLISHABLE_KEY must be a live one in production: test keys move no money"},
		{strings.HasPrefix(c.RazorpayKeyID, "rzp_test_"), "MARQUEE_RAZORPAY_KEY_ID must be a live one in production: test keys move no money"},
		{tooShort(c.RazorpayKeySecret), "MARQUEE_RAZORPAY_KEY_SECRET is shorter than those that Razorpay makes"},
		{tooShort(c.RazorpayWebhookSecret), "MARQUEE_RAZORPAY_WEBHOOK_SECRET must have at least 16 characters in production: make one with openssl rand -hex 32"},
		{c.SandboxURL != "" && min(len(c.SandboxKey), len(c.SandboxSecret)) < sharedSecretBytes, "MARQUEE_SANDBOX_KEY and MARQUEE_SANDBOX_WEBHOOK_SECRET must have at least 16 characters in production: make them with openssl rand -hex 32"},
		{c.LoadsDemo(), "MARQUEE_DEMO must not be set in production: the passwords of the demo accounts are no secret"},
	} {
		if need.missing {
			problems = append(problems, errors.New(need.sentence))
		}
	}
	return errors.Join(problems...)
}

// sharedSecretBytes is the least length in production of a secret that another process has as well.
const sharedSecretBytes = 16

// tooShort reports whether a secret that is set could be guessed.
func tooShort(s Secret) bool { return s != "" && len(s) < sharedSecretBytes }

// keyIsRandom reports whether the secret key looks drawn by lot, unlike those that stand in tests and examples: rows of one
// byte, of a few, or of all in order. Of 32 random bytes not one key in 10^12 fails. A key that cannot be read is told of
// elsewhere.
func (c Config) keyIsRandom() bool {
	key, err := c.Key()
	if err != nil {
		return true
	}
	const leastKinds, mostSteps = 16, 8
	kinds, steps := map[byte]bool{}, 0
	for i, b := range key {
		kinds[b] = true
		if i > 0 && b == key[i-1]+1 {
			steps++
		}
	}
	return len(kinds) >= leastKinds && steps < mostSteps
}

// Key returns the secret key, or nil when none is configured.
func (c Config) Key() ([]byte, error) {
	if c.SecretKey == "" {
		return nil, nil
	}
	const keyBytes = 32
	key, err := base64.StdEncoding.DecodeString(string(c.SecretKey))
	if err != nil || len(key) < keyBytes {
		return nil, errors.New("not a key of 32 bytes in base64")
	}
	return key, nil
}
