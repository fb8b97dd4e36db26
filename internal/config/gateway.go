package config

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// The payment gateways, as MARQUEE_GATEWAYS names them.
const (
	sandboxGateway  = "sandbox"
	stripeGateway   = "stripe"
	razorpayGateway = "razorpay"
)

// OfferedGateways returns the names of the gateways that payments are begun at, the preferred one first.
func (c Config) OfferedGateways() []string {
	if len(c.Gateways) == 0 {
		return []string{sandboxGateway}
	}
	return c.Gateways
}

// OtherGateways returns the names of the gateways that are set up without being offered: what was begun there is brought to its
// end. The sandbox inside the program is none of them, since what it knows goes with it.
func (c Config) OtherGateways() (names []string) {
	offered := c.OfferedGateways()
	for name, isSetUp := range map[string]bool{
		sandboxGateway: c.SandboxURL != "", stripeGateway: c.StripeKey != "", razorpayGateway: c.RazorpayKeyID != "",
	} {
		if isSetUp && !slices.Contains(offered, name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// judgeGateways returns what is wrong with the payment gateways.
func (c Config) judgeGateways() (problems []error) {
	bad := func(format string, args ...any) { problems = append(problems, fmt.Errorf(format, args...)) }
	for i, name := range c.Gateways {
		if slices.Contains(c.Gateways[:i], name) {
			bad("MARQUEE_GATEWAYS names %s twice", name)
		}
	}
	for _, name := range slices.Concat(c.OfferedGateways(), c.OtherGateways()) {
		switch name {
		case sandboxGateway:
			if c.ClusterListen != "" && c.SandboxURL == "" {
				bad("MARQUEE_CLUSTER_LISTEN needs MARQUEE_SANDBOX_URL: the nodes of a cluster share one sandbox gateway, marquee sandbox-gateway")
			}
		case stripeGateway:
			if c.StripeKey == "" || c.StripePublishableKey == "" || c.StripeWebhookSecret == "" {
				bad("the gateway stripe needs MARQUEE_STRIPE_KEY, MARQUEE_STRIPE_PUBLISHABLE_KEY and MARQUEE_STRIPE_WEBHOOK_SECRET")
			}
		case razorpayGateway:
			if c.RazorpayKeyID == "" || c.RazorpayKeySecret == "" || c.RazorpayWebhookSecret == "" {
				bad("the gateway razorpay needs MARQUEE_RAZORPAY_KEY_ID, MARQUEE_RAZORPAY_KEY_SECRET and MARQUEE_RAZORPAY_WEBHOOK_SECRET")
			}
		default:
			bad("MARQUEE_GATEWAYS must list some of sandbox, stripe and razorpay, not %q", name)
		}
	}
	if c.SandboxURL != "" {
		if u, err := url.Parse(c.SandboxURL); err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.Path != "" || u.RawQuery != "" || u.User != nil {
			bad("MARQUEE_SANDBOX_URL must be like http://127.0.0.1:8090, not %q", c.SandboxURL)
		}
		if c.SandboxKey == "" || c.SandboxSecret == "" {
			bad("MARQUEE_SANDBOX_URL needs MARQUEE_SANDBOX_KEY and MARQUEE_SANDBOX_WEBHOOK_SECRET, those of the gateway there")
		}
	}
	// A secret in the place of the id would be shown to everybody.
	if c.RazorpayKeyID != "" && !strings.HasPrefix(c.RazorpayKeyID, "rzp_") {
		bad("MARQUEE_RAZORPAY_KEY_ID must begin with rzp_")
	}
	if strings.HasPrefix(string(c.RazorpayKeySecret), "rzp_") {
		bad("MARQUEE_RAZORPAY_KEY_SECRET is the id of a key, not its secret")
	}
	return append(problems, c.judgeStripeKeys()...)
}

// judgeStripeKeys returns which keys of Stripe are none of their kind. One that is secret in the place of the publishable one
// would be shown to everybody.
func (c Config) judgeStripeKeys() (problems []error) {
	for name, key := range map[string]struct {
		values   []string
		prefixes string
	}{
		"MARQUEE_STRIPE_KEY":             {[]string{string(c.StripeKey)}, "sk_ rk_"},
		"MARQUEE_STRIPE_PUBLISHABLE_KEY": {[]string{c.StripePublishableKey}, "pk_"},
		"MARQUEE_STRIPE_WEBHOOK_SECRET":  {c.StripeWebhookSecret.List(), "whsec_"},
	} {
		wrong := func(value string) bool {
			begins := func(prefix string) bool { return strings.HasPrefix(value, prefix) }
			return value != "" && !slices.ContainsFunc(strings.Fields(key.prefixes), begins)
		}
		if slices.ContainsFunc(key.values, wrong) {
			problems = append(problems, fmt.Errorf("%s must begin with %s", name, strings.ReplaceAll(key.prefixes, " ", " or ")))
		}
	}
	return problems
}
