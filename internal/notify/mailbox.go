package notify

import (
	"context"
	"encoding/json"
	"html/template"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// mailboxSize is how many letters a Mailbox keeps.
const mailboxSize = 500

// Mailbox keeps letters instead of sending them: for development, and for tests. It keeps the last 500 in memory, and is
// safe for concurrent use. The zero value is empty.
type Mailbox struct {
	mu      sync.Mutex
	letters []Kept
}

// Kept is a letter in a Mailbox.
type Kept struct {
	At      time.Time `json:"at"`
	To      string    `json:"to"`
	Kind    Kind      `json:"kind"`
	Subject string    `json:"subject"`
	Text    string    `json:"text"`
	HTML    string    `json:"html"`
	Link    string    `json:"link,omitempty"`
}

// Send keeps a letter.
func (b *Mailbox) Send(_ context.Context, l Letter) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.letters) == mailboxSize {
		b.letters = slices.Delete(b.letters, 0, 1)
	}
	b.letters = append(b.letters, Kept{At: time.Now().UTC(), To: l.To, Kind: l.Kind, Subject: l.Subject, Text: l.Text, HTML: l.HTML, Link: l.Link})
	return nil
}

// Letters returns what was sent to an address, or to anybody for "", the last first.
func (b *Mailbox) Letters(to string) []Kept {
	b.mu.Lock()
	defer b.mu.Unlock()
	var found []Kept
	for _, l := range slices.Backward(b.letters) {
		if to == "" || strings.EqualFold(l.To, to) {
			found = append(found, l)
		}
	}
	return found
}

// ServeHTTP shows the letters: as a page, or as JSON to who asks for it. ?to= picks one reader's.
func (b *Mailbox) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	letters := b.Letters(r.URL.Query().Get("to"))
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Vary", "Accept")
	if strings.Contains(r.Header.Get("Accept"), "application/json") {
		w.Header().Set("Content-Type", "application/json")
		text, err := json.Marshal(struct {
			Letters []Kept `json:"letters"`
		}{append([]Kept{}, letters...)})
		if err != nil {
			http.Error(w, "The letters cannot be written.", http.StatusInternalServerError)
			return
		}
		_, _ = w.Write(text)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; frame-src 'self'; base-uri 'none'; form-action 'none'")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	_ = mailboxPage.Execute(w, letters)
}

var mailboxPage = template.Must(template.New("mailbox").Parse(`<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><title>Marquee mailbox</title>
<style>body{font-family:system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}
pre{white-space:pre-wrap;overflow-wrap:anywhere}summary{cursor:pointer;padding:.5rem 0}iframe{width:100%;height:30rem;border:1px solid #ccc}</style></head>
<body><h1>Mailbox</h1><p>Mails of this installation are kept here instead of being sent, because no mail server is configured.</p>
{{range .}}<details><summary>{{.At.Format "15:04:05"}} · {{.To}} · <b>{{.Subject}}</b></summary>
<pre>{{.Text}}</pre><iframe sandbox srcdoc="{{.HTML}}" title="{{.Subject}}"></iframe></details>
{{else}}<p>It is empty.</p>{{end}}</body></html>
`))
