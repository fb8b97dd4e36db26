package stripe

import (
	"io"
	"net/http"
	"time"

	sdk "github.com/stripe/stripe-go/v85"
)

// backends returns the way to the API. The SDK's own repetitions are off, since they wait without regard to the deadline of the
// call; its log is off as well, and redirections are answers that nobody follows.
func backends(o Options) *sdk.Backends {
	next := o.Transport
	if next == nil {
		next = http.DefaultTransport
	}
	config := &sdk.BackendConfig{
		HTTPClient: &http.Client{
			Transport:     transport{next},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		MaxNetworkRetries: sdk.Int64(0), EnableTelemetry: new(false), LeveledLogger: &sdk.LeveledLogger{Level: sdk.LevelNull},
	}
	if o.URL != "" {
		config.URL = &o.URL
	}
	return sdk.NewBackendsWithConfig(config)
}

// transport bounds answers, and waits while Stripe is busy with the same idempotency key.
type transport struct{ next http.RoundTripper }

const (
	maxAnswer = 1 << 20
	patience  = 10
	firstWait = 50 * time.Millisecond
)

// RoundTrip sends a request, again while the answer is that its twin is under way: whoever asks beside another is to hear what
// came of it. It gives up at the deadline of the request, or after some 10 seconds.
func (t transport) RoundTrip(request *http.Request) (*http.Response, error) {
	wait := firstWait
	for range patience {
		response, err := t.next.RoundTrip(request)
		if err != nil {
			return nil, err
		}
		response.Body = bounded{io.LimitReader(response.Body, maxAnswer), response.Body}
		if response.StatusCode != http.StatusConflict || request.GetBody == nil {
			return response, nil
		}
		if err := response.Body.Close(); err != nil {
			return nil, err
		}
		timer := time.NewTimer(wait)
		select {
		case <-request.Context().Done():
			timer.Stop()
			return nil, request.Context().Err()
		case <-timer.C:
		}
		wait = min(2*wait, 2*time.Second)
		body, err := request.GetBody()
		if err != nil {
			return nil, err
		}
		request = request.Clone(request.Context())
		request.Body = body
	}
	return t.next.RoundTrip(request)
}

type bounded struct {
	io.Reader
	io.Closer
}
