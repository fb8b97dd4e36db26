package notify_test

import (
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"marquee/internal/notify"
	"marquee/internal/typeid"
)

// sample is a mail of a kind with all the data that it may have.
func sample(kind notify.Kind) notify.Mail {
	m := notify.Mail{To: "nora@example.com", Kind: kind, Data: notify.Data{}}
	all := notify.Data{
		"name": "Nora", "link": path, "device": "A phone", "when": "2030-05-01 12:00 UTC", "factor": "passkey", "provider": "Acme",
		"role": "FINANCE", "scope": "PLATFORM",
	}
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
	languages := map[string]string{
		"": "en", "en-GB": "en", "xx": "en", "not a locale": "en", "hu-HU": "en", "de": "de", "de-AT": "de", "gsw": "de",
		"hu, de-CH;q=0.7, en;q=0.5": "de", ";;;q=,": "en",
	}
	for locale, language := range languages {
		for _, kind := range notify.Kinds() {
			m := sample(kind)
			m.Locale = locale
			letter, err := words.Write(typeid.New(), m)
			if err != nil {
				t.Errorf("%s in %q: %v", kind, locale, err)
				continue
			}
			if letter.Language != language {
				t.Errorf("%s in %q is written in %s", kind, locale, letter.Language)
			}
			if letter.Subject == "" || strings.ContainsAny(letter.Subject, "\r\n") || strings.Contains(letter.Subject, "Nora") || len(letter.Text) < 80 ||
				strings.Contains(letter.Text, "<no value>") || !strings.Contains(letter.HTML, "</html>") {
				t.Errorf("%s: %+v", kind, letter)
			}
			for name, value := range m.Data {
				if name == "role" || name == "scope" { // each language has words for it
					continue
				}
				if !strings.Contains(letter.Text, value) || !strings.Contains(letter.HTML, value) {
					t.Errorf("%s does not say the %s", kind, name)
				}
			}
		}
	}
}

// TestWords_languages is that every language has every letter, and that each letter tells in each language just what the
// kind needs.
func TestWords_languages(t *testing.T) {
	t.Parallel()
	all := notify.Languages(t)
	for _, language := range []string{"en", "de"} {
		if all[language] == nil {
			t.Errorf("nothing is written in %q", language)
		}
	}
	for language, words := range all {
		wanted := map[string][]string{"closing": {}, "role": {}, "scope": {}}
		for _, kind := range notify.Kinds() {
			body := notify.Needs(kind)
			if i := slices.Index(body, "link"); i >= 0 { // the layout shows it
				body = slices.Delete(body, i, i+1)
				wanted[string(kind)+" action"] = []string{}
			}
			wanted[string(kind)], wanted[string(kind)+" subject"] = body, []string{}
		}
		for name, data := range wanted {
			got, ok := words[name]
			if !ok {
				t.Errorf("%s has no %q", language, name)
			}
			if !slices.Equal(got, data) {
				t.Errorf("%s: %q tells %q, not %q", language, name, got, data)
			}
			delete(words, name)
		}
		if len(words) > 0 {
			t.Errorf("%s has words for nothing: %q", language, slices.Sorted(maps.Keys(words)))
		}
	}
}

func TestWords_Write_roles(t *testing.T) {
	t.Parallel()
	words, err := notify.NewWords(base)
	if err != nil {
		t.Fatal(err)
	}
	for _, language := range []string{"en", "de"} {
		told := map[string]string{}
		for _, role := range []string{"THEATER_STAFF", "THEATER_MANAGER", "SUPPORT", "FINANCE", "ADMIN"} {
			for _, scope := range []string{"THEATER", "PLATFORM"} {
				m := sample(notify.RoleGranted)
				m.Locale, m.Data["role"], m.Data["scope"] = language, role, scope
				letter, err := words.Write(typeid.New(), m)
				if err != nil {
					t.Fatal(err)
				}
				if other := told[letter.Text]; other != "" {
					t.Errorf("%s: %s reads as %s", language, role+" "+scope, other)
				}
				told[letter.Text] = role + " " + scope
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
