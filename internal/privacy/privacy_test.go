package privacy_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"marquee/internal/apitest"
	"marquee/internal/apperr"
	"marquee/internal/auth"
	"marquee/internal/booking"
	"marquee/internal/identity"
	"marquee/internal/privacy"
	"marquee/internal/typeid"
	"marquee/internal/vault"
)

func TestMain(m *testing.M) { os.Exit(apitest.Main(m)) }

// TestD5_every_column_is_classified walks the database: what people tell is nowhere that nobody thought about.
func TestD5_every_column_is_classified(t *testing.T) {
	t.Parallel()
	a := apitest.New(t, apitest.Bare(), apitest.Still())
	there := columns(t, a)
	known := map[string]bool{}
	for _, table := range privacy.Tables() {
		for _, column := range table.Columns {
			known[table.Name+"."+column.Name] = true
		}
		if table.Fate == privacy.Kept && table.Why == "" {
			t.Errorf("%s is kept, and nobody says why", table.Name)
		}
		if table.Section != "" && table.Of == "" || table.Fate == privacy.Deleted && table.Of == "" {
			t.Errorf("%s does not say which rows are a person's", table.Name)
		}
	}
	for table, list := range privacy.Impersonal() {
		for column := range strings.FieldsSeq(list) {
			if known[table+"."+column] {
				t.Errorf("%s.%s is both personal and not", table, column)
			}
			known[table+"."+column] = true
		}
	}
	for _, column := range slices.Sorted(maps.Keys(there)) {
		if !known[column] {
			t.Errorf("%s is not classified: add one line to Tables in internal/privacy/classification.go (or, if it tells nothing about anybody, a word to Impersonal)", column)
		}
	}
	for _, column := range slices.Sorted(maps.Keys(known)) {
		if !there[column] {
			t.Errorf("%s is classified and does not exist", column)
		}
	}
	for _, column := range vault.Columns() {
		if name := column.Table + "." + column.Name; !known[name] {
			t.Errorf("%s is sealed and not classified", name)
		}
	}
}

// columns returns the names of all columns of the database, with their table.
func columns(t *testing.T, a *apitest.App) map[string]bool {
	t.Helper()
	var text string
	if err := a.DB().SQL().QueryRowContext(t.Context(), `SELECT string_agg(CASE table_schema WHEN 'public' THEN '' ELSE table_schema || '.' END || table_name || '.' || column_name, ' ')
		FROM information_schema.columns WHERE table_schema NOT IN ('pg_catalog', 'information_schema')`).Scan(&text); err != nil {
		t.Fatal(err)
	}
	all := map[string]bool{}
	for name := range strings.FieldsSeq(text) {
		all[name] = true
	}
	return all
}

// person is somebody with something in every table that a person can fill from outside, each with a mark of its own.
type person struct {
	apitest.Client
	marks   []string
	viewer  auth.Viewer
	session identity.Tokens
}

const passphrase = "correct horse battery staple"

// somebody signs up and tells everything. The marks differ from person to person.
func somebody(t *testing.T, a *apitest.App, mark string) person {
	t.Helper()
	p := person{marks: []string{
		mark + "mail@example.com", mark + " Name", mark + "user", mark + " City", fmt.Sprintf("+493090182%d", len(mark)), mark + " Device", "WHEELCHAIR",
	}}
	_, err := a.Identity.CreateUser(t.Context(), identity.SignUpInput{
		Email: p.marks[0], Name: p.marks[1], Password: passphrase, Username: identity.Set(p.marks[2]), Phone: identity.Set(p.marks[4]),
	})
	if err != nil {
		t.Fatal(err)
	}
	p.session, err = a.Identity.SignIn(t.Context(), p.marks[0], passphrase, identity.Device{Name: p.marks[5], Address: "192.0.2.1"})
	if err != nil {
		t.Fatal(err)
	}
	p.Client = a.Anonymous()
	p.Token, p.User = p.session.Access, p.session.User
	if p.viewer, err = a.Identity.Authenticate(t.Context(), p.Token); err != nil {
		t.Fatal(err)
	}
	_, err = a.Identity.UpdateProfile(t.Context(), p.viewer, identity.UpdateProfileInput{
		PreferredCity: identity.Set(p.marks[3]), Locale: identity.Set("de-AT"), Needs: []identity.AccessibilityNeed{identity.NeedWheelchair},
	})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// reserve holds a seat.
func (p person) reserve(t *testing.T, a *apitest.App, show apitest.Showtime, position int16) booking.Reservation {
	t.Helper()
	result, err := a.Booking.Reserve(t.Context(), p.viewer, booking.ReserveInput{
		ShowtimeID: show.Key, SeatIDs: []uuid.UUID{show.Screen.Seats[position-1].Key}, IdempotencyKey: typeid.New().String(),
	})
	if err != nil {
		t.Fatal(err)
	}
	reserved, ok := result.(booking.Reserved)
	if !ok {
		t.Fatalf("%+v", result)
	}
	return reserved.Reservation
}

// buy reserves a seat and pays it.
func (p person) buy(t *testing.T, a *apitest.App, show apitest.Showtime, position int16) booking.Reservation {
	t.Helper()
	r := p.reserve(t, a, show, position)
	result, err := a.Booking.Pay(t.Context(), p.viewer, booking.PayInput{ShowtimeID: r.ShowtimeID, ReservationID: r.ID, IdempotencyKey: typeid.New().String()})
	if _, ok := result.(booking.Paid); err != nil || !ok {
		t.Fatalf("%+v, %v", result, err)
	}
	return r
}

// TestD4_erasure leaves nothing that leads to the person, in no table, sealed or not, and changes no amount.
func TestD4_erasure(t *testing.T) {
	t.Parallel()
	a := apitest.New(t, apitest.Still())
	show := a.World.Showtimes[0]
	gone, stays := somebody(t, a, "erasedone"), somebody(t, a, "otherone")
	gone.buy(t, a, show, 1)
	held := gone.reserve(t, a, show, 2)
	stays.buy(t, a, show, 3)
	cells := secretCells(t, a, gone.User.ID)
	if len(cells) < 5 {
		t.Fatalf("only %d sealed or secret cells are the person's", len(cells))
	}
	const sums = `SELECT (SELECT concat_ws(' ', count(*), sum(amount_minor), sum(captured_minor), sum(refunded_minor)) FROM payments)
		|| ' ' || (SELECT concat_ws(' ', count(*), sum(amount_minor)) FROM reservations WHERE status = 'CONFIRMED') || ' ' || (SELECT count(*) FROM tickets WHERE status = 'ISSUED')`
	before := apitest.Value[string](a, sums)

	result, err := a.Privacy.Erase(t.Context(), gone.viewer, privacy.EraseInput{UserID: gone.User.ID})
	if ahead, ok := result.(privacy.ReservationsAhead); err != nil || !ok || ahead.Count != 1 {
		t.Fatalf("with a seat ahead: %+v, %v", result, err)
	}
	if _, err := a.Identity.User(t.Context(), gone.User.ID); err != nil {
		t.Fatalf("a refused erasure erased: %v", err)
	}
	result, err = a.Privacy.Erase(t.Context(), gone.viewer, privacy.EraseInput{UserID: gone.User.ID, LeaveReservations: true})
	if _, ok := result.(privacy.Erased); err != nil || !ok {
		t.Fatalf("%+v, %v", result, err)
	}

	if after := apitest.Value[string](a, sums); after != before {
		t.Errorf("the books say %s, before %s", after, before)
	}
	forgotten(t, a, gone, cells)
	if status := apitest.Value[string](a, fmt.Sprintf(`SELECT status FROM reservations WHERE id = '%s'`, held.ID)); status != "CANCELLED" {
		t.Errorf("the hold is %s", status)
	}
	if _, err := a.Identity.Authenticate(t.Context(), gone.Token); apperr.CodeOf(err) != apperr.Unauthenticated {
		t.Errorf("the session of nobody: %v", err)
	}
	if _, err := a.Identity.Refresh(t.Context(), gone.session.Refresh); err == nil {
		t.Error("the session of nobody was renewed")
	}
	if _, err := a.Identity.User(t.Context(), stays.User.ID); err != nil {
		t.Errorf("somebody else is gone, too: %v", err)
	}
	if again := somebody(t, a, "erasedone"); again.User.ID == gone.User.ID {
		t.Error("the address was not free")
	}
	if _, err := a.Privacy.Erase(t.Context(), gone.viewer, privacy.EraseInput{UserID: gone.User.ID}); apperr.CodeOf(err) != apperr.NotFound {
		t.Errorf("erasing nobody: %v", err)
	}
}

// forgotten looks for a person in all tables.
func forgotten(t *testing.T, a *apitest.App, p person, cells []string) {
	t.Helper()
	dump := a.Dump()
	for _, trace := range append(slices.Clone(p.marks[:6]), cells...) {
		if strings.Contains(dump, trace) {
			t.Errorf("the database still has %s", trace)
		}
	}
	for _, table := range privacy.Tables() {
		if table.Fate == privacy.Kept || table.Of == "" {
			continue
		}
		query := strings.ReplaceAll(`SELECT count(*)::text FROM `+table.Name+` WHERE `+table.Of, "$1", "'"+p.User.ID.String()+"'")
		if n := apitest.Value[string](a, query); n != "0" {
			t.Errorf("%s still has %s rows of the person", table.Name, n)
		}
	}
}

// secretCells returns, in hexadecimal, what is in the sealed and secret cells of a person.
func secretCells(t *testing.T, a *apitest.App, user uuid.UUID) []string {
	t.Helper()
	var cells []string
	for _, table := range privacy.Tables() {
		if table.Fate == privacy.Kept {
			continue
		}
		for _, column := range table.Columns {
			query := fmt.Sprintf(`SELECT coalesce(string_agg(%s::text, ' '), '') FROM %s WHERE %s`, column.Name, table.Name, table.Of)
			var text string
			if err := a.DB().SQL().QueryRowContext(t.Context(), query, user).Scan(&text); err != nil {
				t.Fatalf("%s: %v", query, err)
			}
			for cell := range strings.FieldsSeq(text) {
				if hexadecimal, sealed := strings.CutPrefix(cell, `\x`); sealed || column.Class == privacy.Secret {
					if _, err := hex.DecodeString(hexadecimal); err == nil && len(hexadecimal) >= 32 {
						cells = append(cells, hexadecimal)
					}
				}
			}
		}
	}
	return cells
}

// TestD4_holds_after_a_restore: a backup brings the person back, and the list takes them away again.
func TestD4_holds_after_a_restore(t *testing.T) {
	t.Parallel()
	a := apitest.New(t, apitest.Still())
	p := somebody(t, a, "restored")
	a.Exec(`CREATE SCHEMA backup`)
	for _, table := range []string{"users", "profiles"} {
		a.Exec(`CREATE TABLE backup.` + table + ` AS SELECT * FROM ` + table)
	}
	if result, err := a.Privacy.Erase(t.Context(), p.viewer, privacy.EraseInput{UserID: p.User.ID}); err != nil || result != (privacy.Erased{}) {
		t.Fatalf("%+v, %v", result, err)
	}
	list, err := a.Privacy.Erasures(t.Context())
	if err != nil || len(list) != 1 || list[0].UserID != p.User.ID {
		t.Fatalf("%+v, %v", list, err)
	}
	for _, table := range []string{"users", "profiles"} {
		a.Exec(`INSERT INTO ` + table + ` SELECT * FROM backup.` + table)
	}
	a.Exec(`DELETE FROM erasures`)
	a.Exec(`DROP SCHEMA backup CASCADE`)
	cells := secretCells(t, a, p.User.ID)
	if _, err := a.Identity.User(t.Context(), p.User.ID); err != nil {
		t.Fatalf("the backup did not bring the person back: %v", err)
	}
	for want := range 2 {
		stranger := typeid.New()
		again, err := a.Privacy.Replay(t.Context(), []uuid.UUID{stranger, p.User.ID})
		if err != nil || again != 1-want {
			t.Errorf("%d came back, %v", again, err)
		}
		if strings.Contains(a.Logged(), typeid.Encode(typeid.User, stranger)) {
			t.Error("the log says that somebody was erased who was not there")
		}
		forgotten(t, a, p, cells)
	}
}

// TestD4_replay_with_the_last_administrator erases the others that a list names, and says why not that one.
func TestD4_replay_with_the_last_administrator(t *testing.T) {
	t.Parallel()
	a := apitest.New(t, apitest.Bare(), apitest.Still())
	admin, p := a.Admin(), somebody(t, a, "behind")
	again, err := a.Privacy.Replay(t.Context(), []uuid.UUID{admin.User.ID, p.User.ID})
	if again != 1 || !errors.Is(err, identity.ErrLastAdmin) {
		t.Errorf("%d erased, %v", again, err)
	}
	if left := apitest.Value[string](a, `SELECT string_agg(id::text, ' ') FROM users`); left != admin.User.ID.String() {
		t.Errorf("the accounts %s are left", left)
	}
}

// TestD4_erased_once makes sure that of two requests at once one erases and the other finds nobody.
func TestD4_erased_once(t *testing.T) {
	t.Parallel()
	a := apitest.New(t, apitest.Still())
	p := somebody(t, a, "twice")
	results, faults := make([]privacy.EraseResult, 4), make([]error, 4)
	var group sync.WaitGroup
	for i := range results {
		group.Go(func() {
			results[i], faults[i] = a.Privacy.Erase(t.Context(), p.viewer, privacy.EraseInput{UserID: p.User.ID})
		})
	}
	group.Wait()
	erased := 0
	for i, result := range results {
		switch {
		case faults[i] == nil && result == (privacy.Erased{}):
			erased++
		case apperr.CodeOf(faults[i]) != apperr.NotFound:
			t.Errorf("%+v, %v", result, faults[i])
		}
	}
	entries := apitest.Value[int](a, `SELECT count(*) FROM audit_entries WHERE action = 'account.erased'`)
	if lines := strings.Count(a.Logged(), `"account erased"`); erased != 1 || entries != 1 || lines != 1 {
		t.Errorf("erased %d times, with %d entries and %d lines in the log", erased, entries, lines)
	}
}

// TestD5_export_of_others_acts shows a person what was done with their account, and not by whom and from where.
func TestD5_export_of_others_acts(t *testing.T) {
	t.Parallel()
	a := apitest.New(t, apitest.Still())
	p, admin := somebody(t, a, "managed"), somebody(t, a, "manager")
	a.Exec(`INSERT INTO role_grants (id, user_id, role, theater_id, granted_by, reason, created_at) VALUES (gen_random_uuid(), $1, 'THEATER_STAFF', $2, $3, 'helps out', now())`,
		p.User.ID, a.World.Theaters[0].Key, admin.User.ID)
	for _, actor := range []uuid.UUID{admin.User.ID, p.User.ID} {
		a.Exec(`INSERT INTO audit_entries (id, action, actor_id, subject, address, reason) VALUES ($1, 'account.enabled', $2, $3, $4, 'back again')`,
			typeid.New(), actor, p.User.NodeID(), map[bool]string{true: "198.51.100.0/24", false: "203.0.113.0/24"}[actor == admin.User.ID])
	}
	text, err := a.Privacy.Export(t.Context(), p.viewer)
	if err != nil {
		t.Fatal(err)
	}
	for mark, there := range map[string]bool{
		"back again": true, "helps out": true, "203.0.113.0/24": true, p.User.ID.String(): true, "198.51.100.0/24": false, admin.User.ID.String(): false,
	} {
		if bytes.Contains(text, []byte(mark)) != there {
			t.Errorf("%q: want %t in\n%s", mark, there, text)
		}
	}
}

// TestD5_export holds every column that is to be exported, in the clear, nothing secret, and nothing of anybody else.
func TestD5_export(t *testing.T) {
	t.Parallel()
	a := apitest.New(t, apitest.Still())
	show := a.World.Showtimes[0]
	p, other := somebody(t, a, "exported"), somebody(t, a, "foreign")
	p.buy(t, a, show, 1)
	other.buy(t, a, show, 2)
	text, err := a.Privacy.Export(t.Context(), p.viewer)
	if err != nil {
		t.Fatal(err)
	}
	for _, mark := range p.marks {
		if !bytes.Contains(text, []byte(mark)) {
			t.Errorf("%q is missing", mark)
		}
	}
	for _, secret := range append(secretCells(t, a, p.User.ID), other.User.ID.String(), other.marks[0], other.marks[1], other.marks[2], other.marks[5]) {
		if bytes.Contains(text, []byte(secret)) {
			t.Errorf("it gives away %q", secret)
		}
	}
	var d privacy.Document
	if err := json.Unmarshal(text, &d); err != nil {
		t.Fatal(err)
	}
	// What a person can have without anybody's help is there, with every column of its class.
	for _, table := range privacy.Tables() {
		if table.Section == "" {
			continue
		}
		records, there := d.Sections[table.Section]
		if !there {
			t.Errorf("there is no section %s", table.Section)
		}
		for _, record := range records {
			for _, column := range table.Columns {
				name := strings.TrimSuffix(column.Name, "_sealed")
				if _, has := record[name]; has != column.Class.Exported() {
					t.Errorf("%s has %s: %t", table.Section, name, has)
				}
			}
		}
	}
	for _, section := range []string{"account", "profile", "sessions", "requests", "reservations", "payments", "paymentAttempts", "tickets", "seats"} {
		if len(d.Sections[section]) == 0 {
			t.Errorf("the section %s is empty", section)
		}
	}
	if n := apitest.Value[string](a, `SELECT count(*)::text FROM audit_entries WHERE action = 'account.data_exported'`); n != "1" {
		t.Errorf("%s exports are recorded", n)
	}
}

// TestService_Erase_of_staff is refused: what they may do is to be taken from them first.
func TestService_Erase_of_staff(t *testing.T) {
	t.Parallel()
	a := apitest.New(t, apitest.Bare(), apitest.Still())
	for _, c := range []apitest.Client{a.Manager(), a.Admin()} {
		result, err := a.Privacy.Erase(t.Context(), auth.Viewer{UserID: c.User.ID, ProvedAt: time.Now()}, privacy.EraseInput{UserID: c.User.ID})
		if _, ok := result.(privacy.InOffice); err != nil || !ok {
			t.Errorf("%+v, %v", result, err)
		}
	}
	_, err := a.Privacy.EraseUser(t.Context(), a.Identity.Operator(), privacy.EraseInput{UserID: typeid.New()})
	if apperr.CodeOf(err) != apperr.BadUserInput {
		t.Errorf("without a reason: %v", err)
	}
}
