package app

import (
	"encoding/json"
	"log/slog"
	"net/http"

	"marquee/internal/identity"
)

// keySet serves the keys that access tokens are verified with, as RFC 7517 and RFC 8037 have it. They change once in a
// month and are announced a month before they sign, so the answer may be kept for an hour.
func keySet(keys func() ([]identity.PublicKey, error), log *slog.Logger) http.Handler {
	type key struct {
		Type      string `json:"kty"`
		Curve     string `json:"crv"`
		Algorithm string `json:"alg"`
		Use       string `json:"use"`
		ID        string `json:"kid"`
		X         string `json:"x"`
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		known, err := keys()
		if err != nil {
			log.ErrorContext(r.Context(), "cannot derive the signing keys", "error", err)
			http.Error(w, "The keys are not available.", http.StatusServiceUnavailable)
			return
		}
		set := struct {
			Keys []key `json:"keys"`
		}{Keys: make([]key, len(known))}
		for i, k := range known {
			set.Keys[i] = key{Type: "OKP", Curve: "Ed25519", Algorithm: "EdDSA", Use: "sig", ID: k.ID, X: k.X}
		}
		w.Header().Set("Content-Type", "application/jwk-set+json")
		w.Header().Set("Cache-Control", "public, max-age=3600")
		_ = json.NewEncoder(w).Encode(set) // a client that has gone needs no answer
	})
}
