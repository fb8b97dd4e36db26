package app_test

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"marquee/internal/app"
	"marquee/internal/dbtest"
	"marquee/internal/typeid"
)

// TestCommand_roles gives roles, lists them and takes them away, and refuses in sentences what cannot be.
func TestCommand_roles(t *testing.T) {
	t.Parallel()
	cfg := configuration(t, dbtest.NewURL(t))
	db := open(t, string(cfg.DatabaseURL))
	c, out := command(cfg)
	// said is what a command says.
	said := func(err error) string {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		text := out.String()
		out.text.Reset()
		return text
	}
	lumen := uuid.Must(uuid.NewV7())
	if _, err := db.SQL().ExecContext(t.Context(), `INSERT INTO theaters (id, name, address, city, country_code, latitude, longitude, time_zone, currency, opens_minute, closes_minute)
		VALUES ($1, 'Lumen', '1 Lumen Street', 'Berlin', 'DE', 1, 2, 'Europe/Berlin', 'EUR', 600, 1500)`, lumen); err != nil {
		t.Fatal(err)
	}
	at := typeid.Encode(typeid.Theater, lumen)

	if got := said(c.ListRoles(timeLimit(t))); got != "Nobody holds a role: marquee admin create makes the first administrator.\n" {
		t.Errorf("in the beginning: %s", got)
	}
	said(c.CreateAdmin(timeLimit(t), "boss@example.com", "The Boss", "the boss knows best"))
	said(c.CreateAdmin(timeLimit(t), "nora@example.com", "Nora", "nora knows better"))

	staff := app.RoleChange{Email: "Nora@Example.com", Role: "THEATER_STAFF", Theater: &at, Reason: "sells at the door"}
	for range 2 {
		if got, want := said(c.GrantRole(timeLimit(t), staff)), "nora@example.com is THEATER_STAFF at Lumen ("+at+").\n"; got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	finance := app.RoleChange{Email: "nora@example.com", Role: "FINANCE", Reason: "closes the year"}
	if got := said(c.GrantRole(timeLimit(t), finance)); got != "nora@example.com is FINANCE on the platform.\n" {
		t.Errorf("%q", got)
	}
	if _, err := db.SQL().ExecContext(t.Context(), `UPDATE users SET disabled_at = now(), disabled_reason = 'on leave' WHERE id = (SELECT user_id FROM role_grants WHERE role = 'FINANCE')`); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(said(c.ListRoles(timeLimit(t)))), "\n")
	for i, want := range []string{
		`^ADMIN +on the platform +boss@example.com +since \d{4}-\d\d-\d\d +made with the account$`,
		`^ADMIN +on the platform +nora@example.com \(disabled\) +since .* made with the account$`,
		`^FINANCE +on the platform +nora@example.com \(disabled\) +since .* closes the year$`,
		`^THEATER_STAFF +at Lumen \(` + at + `\) +nora@example.com \(disabled\) +since .* sells at the door$`,
	} {
		if i >= len(lines) || !regexp.MustCompile(want).MatchString(lines[i]) {
			t.Fatalf("line %d is not %s:\n%s", i, want, strings.Join(lines, "\n"))
		}
	}
	if len(lines) != 4 {
		t.Errorf("%d lines", len(lines))
	}

	with := func(of app.RoleChange, change func(*app.RoleChange)) app.RoleChange {
		change(&of)
		return of
	}
	before := texts(t, db, `SELECT role || COALESCE(theater_id::text, '') || reason FROM role_grants ORDER BY id`)
	for says, refused := range map[string]app.RoleChange{
		"no account with the address x@example.com": with(staff, func(r *app.RoleChange) { r.Email = "x@example.com" }),
		"This is not a role":                        with(staff, func(r *app.RoleChange) { r.Role = "OWNER" }),
		"Everybody with an account is a customer":   with(staff, func(r *app.RoleChange) { r.Role = "CUSTOMER" }),
		`"the_x" is not the id of a theater`:        with(staff, func(r *app.RoleChange) { r.Theater = new("the_x") }),
		`"" is not the id of a theater`:             with(staff, func(r *app.RoleChange) { r.Theater = new("") }),
		"is not the id of a theater":                with(staff, func(r *app.RoleChange) { r.Theater = new(typeid.Encode(typeid.Theater, uuid.Nil)) }),
		"there is no theater the_":                  with(staff, func(r *app.RoleChange) { r.Theater = new(typeid.Encode(typeid.Theater, uuid.Max)) }),
		"held on the whole platform":                with(finance, func(r *app.RoleChange) { r.Theater = &at }),
		"Say why":                                   with(staff, func(r *app.RoleChange) { r.Reason = " " }),
	} {
		sentence(t, c.GrantRole(timeLimit(t), refused), says)
		sentence(t, c.RevokeRole(timeLimit(t), refused), says)
	}
	sentence(t, c.RevokeRole(timeLimit(t), with(finance, func(r *app.RoleChange) { r.Role = "SUPPORT" })), "nora@example.com is not SUPPORT on the platform")
	sentence(t, c.RevokeRole(timeLimit(t), with(staff, func(r *app.RoleChange) { r.Theater = nil })), "nora@example.com is not THEATER_STAFF on the platform")
	last := app.RoleChange{Email: "boss@example.com", Role: "ADMIN", Reason: "retires"}
	sentence(t, c.RevokeRole(timeLimit(t), last), "boss@example.com is the last administrator")
	if after := texts(t, db, `SELECT role || COALESCE(theater_id::text, '') || reason FROM role_grants ORDER BY id`); !slices.Equal(before, after) {
		t.Errorf("a refusal changed the roles from %v to %v", before, after)
	}

	if got, want := said(c.RevokeRole(timeLimit(t), staff)), "nora@example.com is not THEATER_STAFF at Lumen ("+at+") any more.\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	sentence(t, c.RevokeRole(timeLimit(t), staff), "is not THEATER_STAFF at Lumen")
	log := texts(t, db, `SELECT action || ' ' || coalesce(after, before) || ' ' || reason FROM audit_entries WHERE action LIKE 'role.%' AND actor_id IS NULL ORDER BY id`)
	want := []string{
		`role.granted {"grants":["ADMIN"]} made with the account`, `role.granted {"grants":["ADMIN"]} made with the account`,
		`role.granted {"grants":["THEATER_STAFF@` + at + `"]} sells at the door`, `role.granted {"grants":["FINANCE"]} closes the year`,
		`role.revoked {"grants":["THEATER_STAFF@` + at + `"]} sells at the door`,
	}
	if !slices.Equal(log, want) {
		t.Errorf("the log says\n%s\nwant\n%s", strings.Join(log, "\n"), strings.Join(want, "\n"))
	}
}
