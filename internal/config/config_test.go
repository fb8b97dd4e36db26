package config_test

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"marquee/internal/config"
)

// TestFromEnvironment_wildcard_origin: what CORS would take for a pattern, the check of sockets takes literally.
func TestFromEnvironment_wildcard_origin(t *testing.T) {
	t.Parallel()
	for _, origin := range []string{"https://*", "https://*.example", "*"} {
		_, err := config.FromEnvironment(map[string]string{"HOME": "/home/someone", "MARQUEE_ALLOWED_ORIGINS": origin})
		if err == nil || !strings.Contains(err.Error(), "MARQUEE_ALLOWED_ORIGINS") {
			t.Errorf("%s: %v", origin, err)
		}
	}
}

func TestFromEnvironment(t *testing.T) {
	t.Parallel()
	t.Run("development_needs_nothing", func(t *testing.T) {
		t.Parallel()
		c, err := config.FromEnvironment(map[string]string{"HOME": "/home/someone", "MARQUEE_ALLOWED_ORIGINS": "", "MARQUEE_DATABASE_URL": ""})
		if err != nil || c.Env != config.Development || c.Listen != ":8080" || c.Hold != 10*time.Minute || c.DataDir == "" {
			t.Errorf("got %+v, %v", c, err)
		}
	})
	t.Run("callers_are_limited_unless_said_otherwise", func(t *testing.T) {
		t.Parallel()
		c, err := config.FromEnvironment(nil)
		if err != nil || c.RateViewer <= 0 || c.RateAddress < c.RateViewer || c.RatePurchaseViewer <= 0 || c.RatePurchaseAddress < c.RatePurchaseViewer {
			t.Errorf("got %+v, %v", c, err)
		}
		c, err = config.FromEnvironment(map[string]string{
			"MARQUEE_RATE_VIEWER": "0", "MARQUEE_RATE_ADDRESS": "1000000", "MARQUEE_RATE_PURCHASE_VIEWER": "3", "MARQUEE_RATE_PURCHASE_ADDRESS": "4",
		})
		if err != nil || c.RateViewer != 0 || c.RateAddress != 1_000_000 || c.RatePurchaseViewer != 3 || c.RatePurchaseAddress != 4 {
			t.Errorf("got %+v, %v", c, err)
		}
	})
	t.Run("holds_are_limited_unless_said_otherwise", func(t *testing.T) {
		t.Parallel()
		c, err := config.FromEnvironment(nil)
		if err != nil || c.SeatsPerAddress < 20 || c.SeatsPerDevice < 10 || c.SeatsPerDevice > c.SeatsPerAddress || c.IdleHolds < 2 || c.IdleWindow < c.Hold {
			t.Errorf("got %+v, %v", c, err)
		}
		c, err = config.FromEnvironment(map[string]string{"MARQUEE_SEATS_PER_ADDRESS": "0", "MARQUEE_SEATS_PER_DEVICE": "0", "MARQUEE_IDLE_HOLDS": "0", "MARQUEE_IDLE_WINDOW": "0"})
		if err != nil || c.SeatsPerAddress+c.SeatsPerDevice != 0 || c.IdleHolds != 0 {
			t.Errorf("got %+v, %v", c, err)
		}
		_, err = config.FromEnvironment(map[string]string{"MARQUEE_SEATS_PER_ADDRESS": "-1", "MARQUEE_SEATS_PER_DEVICE": "-2", "MARQUEE_IDLE_HOLDS": "1000001", "MARQUEE_IDLE_WINDOW": "25h"})
		if err == nil {
			t.Fatal("accepted")
		}
		for _, name := range []string{"MARQUEE_SEATS_PER_ADDRESS", "MARQUEE_SEATS_PER_DEVICE", "MARQUEE_IDLE_HOLDS", "MARQUEE_IDLE_WINDOW"} {
			if !strings.Contains(err.Error(), name) {
				t.Errorf("%v does not name %s", err, name)
			}
		}
	})
	t.Run("lists_are_separated_by_commas", func(t *testing.T) {
		t.Parallel()
		c, err := config.FromEnvironment(map[string]string{
			"MARQUEE_TRUSTED_PROXIES": "10.0.0.0/8,fd00::/8", "MARQUEE_ALLOWED_ORIGINS": "https://a.example,https://b.example",
		})
		if err != nil || len(c.TrustedProxies) != 2 || len(c.AllowedOrigins) != 2 {
			t.Errorf("got %v, %v, %v", c.TrustedProxies, c.AllowedOrigins, err)
		}
	})
	t.Run("holds_may_be_longer_than_their_usual_limit", func(t *testing.T) {
		t.Parallel()
		for hold, want := range map[string]time.Duration{"10m": 30 * time.Minute, "45m": 45 * time.Minute} {
			if c, err := config.FromEnvironment(map[string]string{"MARQUEE_HOLD": hold}); err != nil || c.HoldLimit != want {
				t.Errorf("with holds of %s the limit is %s, %v; want %s", hold, c.HoldLimit, err, want)
			}
		}
		for _, limit := range []string{"0s", "44m"} {
			_, err := config.FromEnvironment(map[string]string{"MARQUEE_HOLD": "45m", "MARQUEE_HOLD_LIMIT": limit})
			if err == nil || !strings.Contains(err.Error(), "MARQUEE_HOLD_LIMIT must be") {
				t.Errorf("a limit of %s is answered %v", limit, err)
			}
		}
	})
	t.Run("every_problem_is_named_at_once", func(t *testing.T) {
		t.Parallel()
		_, err := config.FromEnvironment(map[string]string{
			"MARQUEE_ENV": "staging", "MARQUEE_LISTEN": "8080", "MARQUEE_HOLD": "0s", "MARQUEE_HOLD_LIMIT": "25h", "MARQUEE_SECRET_KEY": "short",
			"MARQUEE_ALLOWED_ORIGINS": "tickets.example", "MARQUEE_CLUSTER_PEERS": "nats-route://a:1", "MARQUEE_DATABASE_CONNS": "-1",
			"MARQUEE_LIVE_INTERVAL": "2m", "MARQUEE_KEYSET": "one", "MARQUEE_KEYSET_FILE": "another", "MARQUEE_RATE_VIEWER": "-1", "MARQUEE_RATE_PURCHASE_ADDRESS": "1000001",
			"MARQUEE_DRAIN_DELAY": "20s", "MARQUEE_OPS_HOSTS": "node-1:9090", "MARQUEE_REVIEWERS": "everybody",
		})
		if err == nil {
			t.Fatal("accepted")
		}
		for _, name := range []string{
			"MARQUEE_ENV", "MARQUEE_LISTEN", "MARQUEE_HOLD", "MARQUEE_HOLD_LIMIT", "MARQUEE_SECRET_KEY", "MARQUEE_ALLOWED_ORIGINS",
			"MARQUEE_CLUSTER_PEERS", "MARQUEE_DATABASE_CONNS", "MARQUEE_LIVE_INTERVAL",
			"MARQUEE_RATE_VIEWER", "MARQUEE_RATE_PURCHASE_ADDRESS", "MARQUEE_KEYSET", "MARQUEE_DRAIN_DELAY", "MARQUEE_OPS_HOSTS", "MARQUEE_REVIEWERS",
		} {
			if !strings.Contains(err.Error(), name) {
				t.Errorf("%s is not named in: %v", name, err)
			}
		}
	})
	// A secret that is not judged here is none that this test knows: it must be added.
	t.Run("production_refuses_the_secrets_of_development", func(t *testing.T) {
		t.Parallel()
		production := map[string]string{
			"MARQUEE_ENV": "production", "MARQUEE_DATABASE_URL": "postgres://u:p@h/d", "MARQUEE_KEYSET": "k", "MARQUEE_GATEWAYS": "sandbox",
			"MARQUEE_SECRET_KEY": "rdWXzjNnb2nGf6NPBNMcoMNBUIhsIqLKqT7TVB8DZsQ=", "MARQUEE_PUBLIC_URL": "https://tickets.example",
			"MARQUEE_SMTP_URL": "smtps://u:p@mail.example", "MARQUEE_MAIL_FROM": "tickets@marquee.example",
			"MARQUEE_CLUSTER_LISTEN": ":6222", "MARQUEE_CLUSTER_PASSWORD": "0f1e2d3c4b5a69788796a5b4c3d2e1f0",
			"MARQUEE_SANDBOX_URL": "http://sandbox:8090", "MARQUEE_SANDBOX_KEY": "9788796a5b4c3d2e", "MARQUEE_SANDBOX_WEBHOOK_SECRET": "c3d2e1f00f1e2d3c",
		}
		if _, err := config.FromEnvironment(production); err != nil {
			t.Fatalf("a whole configuration: %v", err)
		}
		refused := map[string][]string{
			"MARQUEE_DATABASE_URL": {""},
			"MARQUEE_SECRET_KEY": {
				"", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=",
				"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=", "AAEAAQABAAEAAQABAAEAAQABAAEAAQABAAEAAQABAAE=",
			},
			"MARQUEE_KEYSET":           {""},
			"MARQUEE_SMTP_URL":         {"", "smtp://u:p@h?tls=off"},
			"MARQUEE_CLUSTER_PASSWORD": {"", "secret", "marquee"},

			"MARQUEE_SANDBOX_KEY": {"", "secret"}, "MARQUEE_SANDBOX_WEBHOOK_SECRET": {"", "secret"},

			"MARQUEE_STRIPE_KEY":             {"secret", "pk_live_1234567890", "sk_test_1234567890", "rk_test_1234567890"},
			"MARQUEE_STRIPE_PUBLISHABLE_KEY": {"secret", "sk_live_1234567890", "pk_test_1234567890"},
			"MARQUEE_STRIPE_WEBHOOK_SECRET":  {"secret", "sk_live_1234567890"},

			"MARQUEE_RAZORPAY_KEY_ID":         {"secret", "a secret of Razorpay", "rzp_test_1234567890"},
			"MARQUEE_RAZORPAY_KEY_SECRET":     {"secret", "rzp_live_1234567890"},
			"MARQUEE_RAZORPAY_WEBHOOK_SECRET": {"secret"},
		}
		for _, field := range reflect.VisibleFields(reflect.TypeFor[config.Config]()) {
			if name := field.Tag.Get("env"); field.Type == reflect.TypeFor[config.Secret]() && refused[name] == nil {
				t.Errorf("%s is a secret: say here which values production refuses", name)
			}
		}
		for name, values := range refused {
			for _, value := range values {
				variables := maps.Clone(production)
				variables[name] = value
				if _, err := config.FromEnvironment(variables); err == nil || !strings.Contains(err.Error(), name) {
					t.Errorf("%s=%q: %v", name, value, err)
				} else if len(value) > 10 && strings.Contains(err.Error(), value) {
					t.Errorf("%s is told: %v", name, err)
				}
			}
		}
	})
	t.Run("stripe_needs_an_account_and_no_sandbox", func(t *testing.T) {
		t.Parallel()
		account := map[string]string{
			"MARQUEE_GATEWAYS": "stripe", "MARQUEE_STRIPE_KEY": "sk_test_1", "MARQUEE_STRIPE_PUBLISHABLE_KEY": "pk_test_1", "MARQUEE_STRIPE_WEBHOOK_SECRET": "whsec_1",
			"MARQUEE_CLUSTER_LISTEN": ":6222", "MARQUEE_CLUSTER_PASSWORD": "secret",
		}
		if _, err := config.FromEnvironment(account); err != nil {
			t.Errorf("a whole account: %v", err)
		}
		for _, name := range []string{"MARQUEE_STRIPE_KEY", "MARQUEE_STRIPE_PUBLISHABLE_KEY", "MARQUEE_STRIPE_WEBHOOK_SECRET"} {
			variables := maps.Clone(account)
			delete(variables, name)
			if _, err := config.FromEnvironment(variables); err == nil || !strings.Contains(err.Error(), name) {
				t.Errorf("without %s: %v", name, err)
			}
		}
		if _, err := config.FromEnvironment(map[string]string{"MARQUEE_GATEWAYS": "strip"}); err == nil || !strings.Contains(err.Error(), "MARQUEE_GATEWAYS") {
			t.Errorf("error %v", err)
		}
	})
	t.Run("razorpay_needs_an_account_and_no_sandbox", func(t *testing.T) {
		t.Parallel()
		account := map[string]string{
			"MARQUEE_GATEWAYS": "razorpay", "MARQUEE_RAZORPAY_KEY_ID": "rzp_test_1", "MARQUEE_RAZORPAY_KEY_SECRET": "s", "MARQUEE_RAZORPAY_WEBHOOK_SECRET": "w",
			"MARQUEE_CLUSTER_LISTEN": ":6222", "MARQUEE_CLUSTER_PASSWORD": "secret",
		}
		c, err := config.FromEnvironment(account)
		if err != nil {
			t.Errorf("a whole account: %v", err)
		}
		if c.RazorpayKeySecret.String() != "******" || c.RazorpayWebhookSecret.String() != "******" {
			t.Error("a secret prints")
		}
		for _, name := range []string{"MARQUEE_RAZORPAY_KEY_ID", "MARQUEE_RAZORPAY_KEY_SECRET", "MARQUEE_RAZORPAY_WEBHOOK_SECRET"} {
			variables := maps.Clone(account)
			delete(variables, name)
			if _, err := config.FromEnvironment(variables); err == nil || !strings.Contains(err.Error(), name) {
				t.Errorf("without %s: %v", name, err)
			}
		}
	})
	t.Run("several_gateways", func(t *testing.T) {
		t.Parallel()
		accounts := map[string]string{
			"MARQUEE_STRIPE_KEY": "sk_test_1", "MARQUEE_STRIPE_PUBLISHABLE_KEY": "pk_test_1", "MARQUEE_STRIPE_WEBHOOK_SECRET": "whsec_1",
			"MARQUEE_RAZORPAY_KEY_ID": "rzp_test_1", "MARQUEE_RAZORPAY_KEY_SECRET": "s", "MARQUEE_RAZORPAY_WEBHOOK_SECRET": "w",
		}
		for list, want := range map[string]struct{ offered, others []string }{
			"":                        {[]string{"sandbox"}, []string{"razorpay", "stripe"}},
			"razorpay":                {[]string{"razorpay"}, []string{"stripe"}},
			"stripe,razorpay,sandbox": {[]string{"stripe", "razorpay", "sandbox"}, nil},
		} {
			variables := maps.Clone(accounts)
			variables["MARQUEE_GATEWAYS"] = list
			c, err := config.FromEnvironment(variables)
			if err != nil || !slices.Equal(c.OfferedGateways(), want.offered) || !slices.Equal(c.OtherGateways(), want.others) {
				t.Errorf("%q offers %v and has %v: %v", list, c.OfferedGateways(), c.OtherGateways(), err)
			}
		}
		delete(accounts, "MARQUEE_STRIPE_WEBHOOK_SECRET")
		for list, named := range map[string]string{
			"stripe,stripe": "twice", "stripe,paypal": `"paypal"`, "razorpay": "MARQUEE_STRIPE_WEBHOOK_SECRET", // which is half an account
		} {
			variables := maps.Clone(accounts)
			variables["MARQUEE_GATEWAYS"] = list
			if _, err := config.FromEnvironment(variables); err == nil || !strings.Contains(err.Error(), named) {
				t.Errorf("%q: %v", list, err)
			}
		}
	})
	t.Run("persisted_documents", func(t *testing.T) {
		t.Parallel()
		for mode, accepted := range map[string]map[bool]bool{ // by whether there is a manifest
			"off": {false: true, true: true}, "log": {false: false, true: true}, "require": {false: false, true: true}, "on": {}, "": {false: true, true: true},
		} {
			for _, manifest := range []string{"", "manifest.json"} {
				_, err := config.FromEnvironment(map[string]string{"MARQUEE_PERSISTED_MODE": mode, "MARQUEE_PERSISTED_DOCUMENTS": manifest})
				if want := accepted[manifest != ""]; (err == nil) != want || err != nil && !strings.Contains(err.Error(), "MARQUEE_PERSISTED_MODE") {
					t.Errorf("mode %q with the manifest %q: %v", mode, manifest, err)
				}
			}
		}
	})
	t.Run("a_text_that_cannot_be_read_is_named_by_its_variable", func(t *testing.T) {
		t.Parallel()
		_, err := config.FromEnvironment(map[string]string{"MARQUEE_HOLD": "soon", "MARQUEE_DATABASE_CONNS": "many"})
		if err == nil || !strings.Contains(err.Error(), "MARQUEE_HOLD cannot be read") || !strings.Contains(err.Error(), "MARQUEE_DATABASE_CONNS cannot be read") {
			t.Errorf("error = %v", err)
		}
	})
	t.Run("production_needs_a_database_and_keys", func(t *testing.T) {
		t.Parallel()
		_, err := config.FromEnvironment(map[string]string{"MARQUEE_ENV": "production"})
		if err == nil || !strings.Contains(err.Error(), "MARQUEE_DATABASE_URL") || !strings.Contains(err.Error(), "MARQUEE_SECRET_KEY") ||
			!strings.Contains(err.Error(), "MARQUEE_KEYSET_FILE") ||
			!strings.Contains(err.Error(), "MARQUEE_GATEWAYS") {
			t.Errorf("error = %v", err)
		}
		for _, name := range []string{"MARQUEE_PUBLIC_URL", "MARQUEE_SMTP_URL", "MARQUEE_MAIL_FROM"} {
			if !strings.Contains(err.Error(), name) {
				t.Errorf("%s is not named in: %v", name, err)
			}
		}
	})
}

func TestConfig_RetireDelay(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		c    config.Config
		want time.Duration
	}{
		"development":                 {config.Config{Env: config.Development, DrainTimeout: 20 * time.Second}, 0},
		"production":                  {config.Config{Env: config.Production, DrainTimeout: 20 * time.Second}, 5 * time.Second},
		"production_in_a_short_drain": {config.Config{Env: config.Production, DrainTimeout: 4 * time.Second}, time.Second},
		"as_configured":               {config.Config{Env: config.Production, DrainTimeout: time.Minute, DrainDelay: new(30 * time.Second)}, 30 * time.Second},
	} {
		if got := test.c.RetireDelay(); got != test.want {
			t.Errorf("%s: %s, want %s", name, got, test.want)
		}
	}
}

func TestConfig_mail(t *testing.T) {
	t.Parallel()
	for url, want := range map[string]config.SMTP{
		"smtp://me:hunter2@mail.example":      {Host: "mail.example", Port: 587, User: "me", Password: "hunter2", TLS: "starttls"},
		"smtps://me:hunter2@mail.example":     {Host: "mail.example", Port: 465, User: "me", Password: "hunter2", TLS: "implicit"},
		"smtp://127.0.0.1:1025/?tls=off":      {Host: "127.0.0.1", Port: 1025, TLS: "off"},
		"smtps://me:hunt%2Fer@[::1]:4465":     {Host: "::1", Port: 4465, User: "me", Password: "hunt/er", TLS: "implicit"},
		"smtp://me:hunter2@host?tls=off":      {},
		"smtp://mail.example:25?tls=off":      {},
		"smtp://10.0.0.7:25?tls=off":          {},
		"smtp://localhost:25?tls=off":         {Host: "localhost", Port: 25, TLS: "off"},
		"smtps://host?tls=off":                {},
		"http://host":                         {},
		"smtp://:25":                          {},
		"smtp://host:99999":                   {},
		"smtp://me:hunter2\n@host":            {},
		"smtp://me:hunter2@host/folder":       {},
		"smtp://me:hunter2@host?tls=whatever": {},
	} {
		c, err := config.FromEnvironment(map[string]string{"MARQUEE_SMTP_URL": url})
		if want.Host == "" {
			if err == nil || !strings.Contains(err.Error(), "MARQUEE_SMTP_URL") || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("%q: %v", url, err)
			}
			continue
		}
		if got, ok, wrong := c.MailServer(); err != nil || wrong != nil || !ok || got != want {
			t.Errorf("%q: %+v, %v, %v", url, got, err, wrong)
		}
	}
	for _, from := range []string{"nobody", "a@b.example\r\nBcc: c@d.example", "<>"} {
		if _, err := config.FromEnvironment(map[string]string{"MARQUEE_MAIL_FROM": from}); err == nil || !strings.Contains(err.Error(), "MARQUEE_MAIL_FROM") {
			t.Errorf("%q: %v", from, err)
		}
	}
}

// TestFromEnvironment_misspelt names what was meant, since a setting that does nothing is found out too late.
func TestFromEnvironment_misspelt(t *testing.T) {
	t.Parallel()
	for given, meant := range map[string]string{
		"MARQUEE_ALLOWED_ORIGIN": "MARQUEE_ALLOWED_ORIGINS", "MARQUEE_DATABSE_URL": "MARQUEE_DATABASE_URL", "MARQUEE_ENV": "",
		"MARQUEE_LISTEN": "", "MARQUEE_PORT": "", "MARQUEE_IMAGE_TAG": "", "ARQUEE_LISTEN": "",
	} {
		_, err := config.FromEnvironment(map[string]string{given: ""})
		switch {
		case meant == "" && err != nil:
			t.Errorf("%s: %v", given, err)
		case meant != "" && (err == nil || err.Error() != given+" is no setting: do you mean "+meant+"?"):
			t.Errorf("%s: %v, want %s", given, err, meant)
		}
	}
}

func TestConfig_PublicBase(t *testing.T) {
	t.Parallel()
	for given, want := range map[string]string{
		"": "http://localhost:8080", "https://tickets.example/": "https://tickets.example", "https://tickets.example/shop/": "https://tickets.example/shop",
		"tickets.example": "", "ftp://tickets.example": "", "https://tickets.example/?a=b": "", "https://me@tickets.example": "", "https://tickets.example#top": "",
	} {
		c, err := config.FromEnvironment(map[string]string{"MARQUEE_PUBLIC_URL": given})
		if want == "" {
			if err == nil || !strings.Contains(err.Error(), "MARQUEE_PUBLIC_URL") {
				t.Errorf("%q: %v", given, err)
			}
			continue
		}
		if base, wrong := c.PublicBase(); err != nil || wrong != nil || base.String() != want {
			t.Errorf("%q: %v, %v, %v", given, base, err, wrong)
		}
	}
	for given, fine := range map[string]bool{"http://tickets.example": false, "http://127.0.0.1:8080": true, "https://tickets.example": true} {
		_, err := config.FromEnvironment(map[string]string{"MARQUEE_ENV": "production", "MARQUEE_PUBLIC_URL": given})
		if got := !strings.Contains(err.Error(), "MARQUEE_PUBLIC_URL"); got != fine {
			t.Errorf("%q in production: %v", given, err)
		}
	}
}

func TestSecret_never_prints(t *testing.T) {
	t.Parallel()
	c := config.Config{DatabaseURL: "postgres://u:hunter2@h/d", SecretKey: "hunter2", Keyset: "hunter2", ClusterPassword: "hunter2", SMTPURL: "smtp://u:hunter2@h", OpenIDProviders: config.OpenIDProviders{{ClientSecret: "hunter2"}}}
	asJSON, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	var logged strings.Builder
	slog.New(slog.NewJSONHandler(&logged, nil)).Info("started", "config", c, "secret", c.SecretKey)
	for _, printed := range []string{fmt.Sprintf("%v", c), fmt.Sprintf("%+v", c), fmt.Sprintf("%#v", c), c.SecretKey.String(), string(asJSON), logged.String()} {
		if strings.Contains(printed, "hunter2") {
			t.Errorf("a secret was printed: %s", printed)
		}
	}
}
