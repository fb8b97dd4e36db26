package app_test

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"marquee/internal/apitest"
)

// TestApp_key_set verifies an access token as a service of somebody else would: with what the program publishes.
func TestApp_key_set(t *testing.T) {
	t.Parallel()
	a := apitest.New(t, apitest.Bare())
	answer := a.Visit("/.well-known/jwks.json")
	var set struct {
		Keys []map[string]string
	}
	if err := json.Unmarshal(answer.Body, &set); err != nil || answer.Status != http.StatusOK || len(set.Keys) != 3 {
		t.Fatalf("%s, %v", answer, err)
	}
	if got := answer.Header.Get("Cache-Control"); got != "public, max-age=3600" {
		t.Errorf("it may be kept %q", got)
	}
	decode := func(text string) []byte {
		data, err := base64.RawURLEncoding.DecodeString(text)
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	header, rest, _ := strings.Cut(a.Customer().Token, ".")
	body, signature, _ := strings.Cut(rest, ".")
	var said map[string]string
	if err := json.Unmarshal(decode(header), &said); err != nil {
		t.Fatal(err)
	}
	for _, key := range set.Keys {
		if _, private := key["d"]; private {
			t.Error("a private key is published")
		}
		if key["kid"] != said["kid"] {
			continue
		}
		if key["kty"] != "OKP" || key["crv"] != "Ed25519" || key["alg"] != said["alg"] || key["use"] != "sig" {
			t.Errorf("the key is described as %v", key)
		}
		if !ed25519.Verify(decode(key["x"]), []byte(header+"."+body), decode(signature)) {
			t.Error("the key does not verify the token")
		}
		return
	}
	t.Errorf("no key has the id %q", said["kid"])
}
