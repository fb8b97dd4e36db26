package gatewaytest

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"time"

	"marquee/internal/payment"
)

const (
	fakeSignature = "Fake-Signature"
	fakeTime      = "Fake-Time"
)

type fakeEvent struct {
	ID         string    `json:"id"`
	Key        string    `json:"key"`
	Reference  string    `json:"reference"`
	OccurredAt time.Time `json:"occurredAt"`
}

// Webhook returns what the Fake sends to tell how a charge stands, signed at a moment; the same event again for the same charge
// in the same state.
func (f *Fake) Webhook(key string, at time.Time) (http.Header, []byte, error) {
	charge, ok := f.Charges()[key]
	if !ok {
		return nil, nil, payment.ErrNoSuchCharge
	}
	body, err := json.Marshal(fakeEvent{ID: "evt_" + key + "_" + string(charge.Status), Key: key, Reference: charge.Reference, OccurredAt: at})
	if err != nil {
		return nil, nil, err
	}
	seconds := strconv.FormatInt(at.Unix(), 10)
	return http.Header{fakeTime: {seconds}, fakeSignature: {sign(seconds, body)}}, body, nil
}

// Verify returns the event of a webhook that the Fake has signed.
func (*Fake) Verify(header http.Header, body []byte, now time.Time) (payment.Event, error) {
	seconds := header.Get(fakeTime)
	if !hmac.Equal([]byte(sign(seconds, body)), []byte(header.Get(fakeSignature))) {
		return payment.Event{}, payment.ErrForged
	}
	signed, err := strconv.ParseInt(seconds, 10, 64)
	if err != nil || now.Sub(time.Unix(signed, 0)).Abs() > payment.WebhookAge {
		return payment.Event{}, payment.ErrForged
	}
	return readEvent(body)
}

func readEvent(body []byte) (payment.Event, error) {
	var e fakeEvent
	if err := json.Unmarshal(body, &e); err != nil {
		return payment.Event{}, errors.Join(payment.ErrForged, err)
	}
	return payment.Event{ID: e.ID, Kind: payment.EventCharge, Key: e.Key, Reference: e.Reference, OccurredAt: e.OccurredAt}, nil
}

func sign(seconds string, body []byte) string {
	mac := hmac.New(sha256.New, []byte("the fake gateway's secret"))
	mac.Write([]byte(seconds + "."))
	mac.Write(body)
	return hex.EncodeToString(mac.Sum(nil))
}
