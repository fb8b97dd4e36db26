package config_test

import (
	"strings"
	"testing"

	"marquee/internal/config"
)

func TestFromEnvironment_providers(t *testing.T) {
	t.Parallel()
	const acme = `{"name":"acme","label":"Acme","issuer":"https://id.acme.example","clientId":"marquee","clientSecret":"hunter2","redirectUris":["https://tickets.example/in/acme"]}`
	read := func(environment, list string) (config.Config, error) {
		return config.FromEnvironment(map[string]string{"MARQUEE_ENV": environment, "MARQUEE_OIDC_PROVIDERS": list})
	}
	t.Run("a_list_in_JSON", func(t *testing.T) {
		t.Parallel()
		second := strings.ReplaceAll(strings.Replace(acme, `"clientId"`, `"scopes":["email"],"clientId"`, 1), "acme", "second")
		c, err := read("development", "["+acme+","+second+"]")
		if err != nil || len(c.OpenIDProviders) != 2 || c.OpenIDProviders[0].Scopes != nil || len(c.OpenIDProviders[1].Scopes) != 1 ||
			string(c.OpenIDProviders[0].ClientSecret) != "hunter2" || c.OpenIDProviders[1].RedirectURIs[0] != "https://tickets.example/in/second" {
			t.Errorf("%+v, %v", c.OpenIDProviders, err)
		}
		for _, none := range []string{"", " ", "[]", "null"} {
			if c, err := read("development", none); err != nil || len(c.OpenIDProviders) != 0 {
				t.Errorf("%q: %+v, %v", none, c.OpenIDProviders, err)
			}
		}
	})
	t.Run("http_in_development_only", func(t *testing.T) {
		t.Parallel()
		plain := "[" + strings.ReplaceAll(acme, "https://", "http://") + "]"
		if _, err := read("development", plain); err != nil {
			t.Errorf("development: %v", err)
		}
		_, err := read("production", plain)
		if err == nil || strings.Count(err.Error(), "MARQUEE_OIDC_PROVIDERS") != 2 {
			t.Errorf("production: %v", err)
		}
	})
	for name, list := range map[string]string{
		"no_JSON":                    `acme=hunter2`,
		"no_list":                    acme,
		"something_behind":           "[" + acme + "] hunter2",
		"a_key_that_means_nothing":   `[` + strings.Replace(acme, "clientSecret", "client_secret", 1) + `]`,
		"a_number_for_a_text":        `[` + strings.Replace(acme, `"marquee"`, `7`, 1) + `]`,
		"a_name_with_a_blank":        `[` + strings.Replace(acme, `"acme"`, `"my acme"`, 1) + `]`,
		"no_label":                   `[` + strings.Replace(acme, `"Acme"`, `""`, 1) + `]`,
		"no_client":                  `[` + strings.Replace(acme, `"marquee"`, `""`, 1) + `]`,
		"an_issuer_with_a_query":     `[` + strings.Replace(acme, "acme.example", "acme.example?x=1", 1) + `]`,
		"an_issuer_of_another_kind":  `[` + strings.Replace(acme, "https://id", "ftp://id", 1) + `]`,
		"a_script_to_return_to":      `[` + strings.Replace(acme, "https://tickets.example/in/acme", "javascript:alert(1)", 1) + `]`,
		"a_fragment_to_return_to":    `[` + strings.Replace(acme, "/in/acme", "/#in", 1) + `]`,
		"nowhere_to_return_to":       `[` + strings.Replace(acme, `"https://tickets.example/in/acme"`, ``, 1) + `]`,
		"a_scope_of_two_words":       `[` + strings.Replace(acme, `"clientId"`, `"scopes":["email profile"],"clientId"`, 1) + `]`,
		"one_issuer_twice":           `[` + acme + `,` + strings.Replace(strings.Replace(acme, `"acme"`, `"b"`, 1), "/in/acme", "/in/b", 1) + `]`,
		"one_name_twice":             `[` + acme + `,` + strings.Replace(strings.Replace(acme, "id.acme", "b.acme", 1), "/in/acme", "/in/b", 1) + `]`,
		"one_page_for_two":           `[` + acme + `,` + strings.Replace(strings.Replace(acme, `"acme"`, `"b"`, 1), "id.acme", "b.acme", 1) + `]`,
		"more_than_anybody_can_read": `[` + strings.Repeat(acme+",", 20) + acme + `]`,
	} {
		t.Run("refuses_"+name, func(t *testing.T) {
			t.Parallel()
			_, err := read("development", list)
			if err == nil || !strings.Contains(err.Error(), "MARQUEE_OIDC_PROVIDERS") {
				t.Errorf("%v", err)
			} else if strings.Contains(err.Error(), "hunter2") {
				t.Errorf("a secret was printed: %v", err)
			}
		})
	}
}
