package cookie

import (
	"context"
	"crypto/rand"
	"net/http"
	"regexp"
	"time"

	"marquee/internal/apperr"
)

// DeviceHeader is the header by which an app names the device that it runs on: a text of its own making that is hard to
// guess and stays the same, 16 to 128 letters, digits, hyphens and underscores. A browser is named by a cookie instead
// when it is first given a session in cookies. That name outlives the session: whoever signs out and in as somebody else
// sits at the same device.
const DeviceHeader = "Marquee-Device"

// deviceAge is how long a browser keeps its name after the session with which it came.
const deviceAge = 365 * 24 * time.Hour

var isDevice = regexp.MustCompile(`^[0-9A-Za-z_-]{16,128}$`).MatchString

// readDevice reads which device the request names. The error is BAD_USER_INPUT.
func readDevice(r *http.Request) (string, *apperr.Error) {
	switch names := r.Header.Values(DeviceHeader); {
	case len(names) == 0:
		return "", nil
	case len(names) > 1 || !isDevice(names[0]):
		return "", apperr.New(apperr.BadUserInput, "The header %s must be one name of 16 to 128 letters, digits, hyphens and underscores.", DeviceHeader)
	default:
		return names[0], nil
	}
}

func (e *Exchange) deviceName() string { return e.accessName() + "-device" }

// keepDevice names a browser that has no name.
func (e *Exchange) keepDevice(until time.Time) {
	if e.device == "" {
		e.device = rand.Text()
		e.set(e.deviceName(), "/", e.device, until)
	}
}

type deviceKey struct{}

// DeviceOf returns the name of the device from which the request of ctx comes, "" when it said none. Nothing proves it:
// it tells the devices of people apart who do not mind.
func DeviceOf(ctx context.Context) string {
	name, _ := ctx.Value(deviceKey{}).(string)
	return name
}
