package notify_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"marquee/internal/notify"
	"marquee/internal/typeid"
)

// sample is a mail of a kind with all the data that it may have.
func sample(kind notify.Kind) notify.Mail {
	m := notify.Mail{To: "nora@example.com", Kind: kind, Data: notify.Data{}}
	all := notify.Data{"name": "Nora", "link": path, "device": "A phone", "when": "1 May 2030, 12:00 UTC", "factor": "passkey"}
	for _, name := range notify.Needs(kind) {
		m.Data[name] = all[name]
	}
	return m
}

func TestWords_Write_every_kind(t *testing.T) {
	t.Parallel()
	words, err := notify.NewWords(base)
	if err != nil {
		t.Fatal(err)
	}
	for _, locale := range []string{"", "en-GB", "xx", "not a locale", "hu-HU"} {
		for _, kind := range notify.Kinds() {
			m := sample(kind)
			m.Locale = locale
			letter, err := words.Write(typeid.New(), m)
			if err != nil {
				t.Errorf("%s in %q: %v", kind, locale, err)
				continue
			}
			if letter.Subject == "" || strings.ContainsAny(letter.Subject, "\r\n") || strings.Contains(letter.Subject, "Nora") || len(letter.Text) < 80 ||
				strings.Contains(letter.Text, "<no value>") || !strings.Contains(letter.HTML, "</html>") {
				t.Errorf("%s: %+v", kind, letter)
			}
			for name, value := range m.Data {
				if !strings.Contains(letter.Text, value) || !strings.Contains(letter.HTML, value) {
					t.Errorf("%s does not say the %s", kind, name)
				}
			}
		}
	}
}

func TestMailbox_ServeHTTP(t *testing.T) {
	t.Parallel()
	var box notify.Mailbox
	m := sample(notify.PasswordChanged)
	m.Data["name"] = `<script>alert(1)</script>`
	if err := box.Send(t.Context(), write(t, m)); err != nil {
		t.Fatal(err)
	}
	get := func(path, accept string) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		r := httptest.NewRequest(http.MethodGet, path, http.NoBody)
		r.Header.Set("Accept", accept)
		box.ServeHTTP(w, r)
		return w
	}
	if page := get("/mailbox", "text/html"); strings.Contains(page.Body.String(), "<script>") || !strings.Contains(page.Body.String(), "Your password was changed") {
		t.Errorf("page: %s", page.Body)
	}
	for to, want := range map[string]int{"": 1, "NORA@example.com": 1, "else@example.com": 0} {
		var answer struct{ Letters []notify.Kept }
		if err := json.Unmarshal(get("/mailbox?to="+to, "application/json").Body.Bytes(), &answer); err != nil || len(answer.Letters) != want {
			t.Errorf("to %q: %+v, %v", to, answer, err)
		}
	}
	for range 600 {
		if err := box.Send(t.Context(), write(t, m)); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(box.Letters("")); n != 500 {
		t.Errorf("it keeps %d letters", n)
	}
}
