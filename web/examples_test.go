package web_test

import (
	"cmp"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"marquee/internal/apitest"
)

func TestMain(m *testing.M) { os.Exit(apitest.Main(m)) }

// The examples tell a story in the order of their names; each must be an operation that the server carries out.
func TestConsole_Examples(t *testing.T) {
	t.Parallel()
	a := apitest.New(t)
	client := a.Anonymous()
	showtime := a.World.Showtimes[0]
	a.Exec(`INSERT INTO refund_policies (theater_id, version, steps, late_without_refund, kept_per_ticket_minor, kept_once_minor, fees_returned,
			swap_minutes, swap_fee_minor, holds_from)
		VALUES ($1, 1, '[{"minutes":0,"basisPoints":10000}]', false, 0, 0, true, 120, 0, now())`, showtime.Theater.Key)
	known := map[string]any{"showtimeId": showtime.ID(), "id": showtime.ID(), "email": "vera@marquee.example"}
	examples := documents(t, "console/src/examples")
	if len(examples) != 16 {
		t.Errorf("%d examples, want 16", len(examples))
	}
	for _, file := range examples {
		name := strings.TrimSuffix(filepath.Base(file), ".graphql")
		query := read(t, file)
		if !strings.HasPrefix(query, "# ") {
			t.Errorf("%s does not begin with a comment that says what it does", name)
		}
		var template map[string]any
		if err := json.Unmarshal([]byte(read(t, strings.TrimSuffix(file, "graphql")+"json")), &template); err != nil {
			t.Fatalf("%s: its variables: %v", name, err)
		}
		known["idempotencyKey"] = "of-example-" + name
		who, seats := &client, []int16{1, 2}
		switch name[3:] {
		case "swap-preview", "swap-seats":
			seats = []int16{3, 4}
		case "sell-at-counter":
			manager := a.Manager()
			who, seats = &manager, []int16{5, 6}
		}
		known["seatIds"] = showtime.Screen.SeatIDs(seats...)
		if input, ok := template["input"].(map[string]any); ok && input["token"] != nil {
			input["token"] = a.Mailed("vera@marquee.example", "confirm-sign-up")
		}
		variables := filled(t, name, template, known)
		if password, ok := at(template, "input", "password").(string); ok && password != "" {
			known["password"] = password // of the sign-up, for the sign-in
		}

		var answer map[string]any
		if strings.Contains(query, "\nsubscription ") {
			watcher := who.Watch(query, variables)
			watcher.Next(&answer)
			watcher.Close()
		} else {
			who.Get(query, variables, &answer)
		}
		for field, value := range answer {
			if at(value, "message") != nil {
				t.Errorf("%s is refused: %v", name, value)
			}
			if token, ok := at(value, "token").(string); ok {
				client.Token = token
			}
			if id, ok := at(value, "reservation", "id").(string); ok {
				known["reservationId"] = id
			}
			if value == nil {
				t.Errorf("%s: %s is null", name, field)
			}
		}
	}
}

// What the page asks on its own account must be part of the API too.
func TestConsole_Operations(t *testing.T) {
	t.Parallel()
	a := apitest.New(t)
	customer := a.Customer()
	credentials := apitest.Vars{"input": map[string]any{"email": customer.User.Email, "password": apitest.Password}}
	var session struct{ SignIn struct{ RefreshToken string } }
	customer.Get(read(t, "console/src/operations/sign-in.graphql"), credentials, &session)
	refused := map[string]string{"confirm-totp": "InvalidProof", "prove-second-factor": "SessionEnded"}
	variables := map[string]apitest.Vars{
		"sign-in":             credentials,
		"begin-totp":          nil,
		"confirm-totp":        {"input": map[string]any{"name": "App", "code": "000000"}},
		"prove-second-factor": {"input": map[string]any{"pendingToken": "of nobody", "code": "000000"}},
		"refresh-session":     {"input": map[string]any{"refreshToken": session.SignIn.RefreshToken}},
		"showtimes":           {"from": time.Now().UTC().Format(time.RFC3339), "first": 8},
		"seats":               {"input": map[string]any{"showtimeId": a.World.Showtimes[0].ID(), "seats": 2}},
		"me":                  nil,
		"sign-out":            nil, // ends the session: it comes last by its name
	}
	files := documents(t, "console/src/operations")
	if len(files) != len(variables) {
		t.Errorf("%d operations, want %d", len(files), len(variables))
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".graphql")
		var answer map[string]any
		customer.Get(read(t, file), variables[name], &answer)
		for field, value := range answer {
			want := cmp.Or(refused[name], "SessionPayload")
			if value == nil || (at(value, "message") != nil) != (refused[name] != "") {
				t.Errorf("%s: %s is %v", name, field, value)
			}
			if kind, ok := at(value, "__typename").(string); ok && kind != want {
				t.Errorf("%s: %s is a %s, want a %s", name, field, kind, want)
			}
		}
	}
}

// The page takes over every session that an operation of the user gets, wherever the answer has it.
func TestConsole_Ways(t *testing.T) {
	t.Parallel()
	_, list, _ := strings.Cut(read(t, "console/src/access.ts"), "const ways = [")
	list, _, found := strings.Cut(list, "];")
	if !found {
		t.Fatal("the page has no list of ways")
	}
	var known []string
	for _, way := range regexp.MustCompile(`\['(\w+)'(?:, '(\w+)')?\]`).FindAllStringSubmatch(list, -1) {
		known = append(known, strings.TrimSuffix(way[1]+"."+way[2], "."))
	}
	type field struct {
		Name string
		Type struct{ OfType struct{ Name string } }
	}
	type object struct {
		Name          string
		Fields        []field
		PossibleTypes []struct{ Name string }
	}
	var schema struct {
		Schema struct {
			MutationType struct{ Fields []field }
			Types        []object
		} `json:"__schema"`
	}
	apitest.New(t).Anonymous().Get(`{ __schema { mutationType { fields { name type { ofType { name } } } }
		types { name possibleTypes { name } fields { name type { ofType { name } } } } } }`, nil, &schema)
	types := map[string]object{}
	for _, one := range schema.Schema.Types {
		types[one.Name] = one
	}
	const session = "SessionPayload"
	var all []string
	for _, mutation := range schema.Schema.MutationType.Fields {
		result := types[mutation.Type.OfType.Name]
		outcomes := []object{result}
		for _, one := range result.PossibleTypes {
			outcomes = append(outcomes, types[one.Name])
		}
		for _, outcome := range outcomes {
			if outcome.Name == session {
				all = append(all, mutation.Name)
			}
			for _, part := range outcome.Fields {
				if part.Type.OfType.Name == session {
					all = append(all, mutation.Name+"."+part.Name)
				}
			}
		}
	}
	slices.Sort(known)
	slices.Sort(all)
	if !slices.Equal(known, all) || len(all) == 0 {
		t.Errorf("the page knows of %q, the API has %q", known, all)
	}
}

// documents lists the GraphQL documents of a folder by name.
func documents(t *testing.T, folder string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(folder, "*.graphql"))
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func read(t *testing.T, file string) string {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// filled puts what is known in the place of empty values, as the page does.
func filled(t *testing.T, name string, template, known map[string]any) apitest.Vars {
	t.Helper()
	result := apitest.Vars{}
	for key, value := range template {
		if inner, ok := value.(map[string]any); ok {
			value = map[string]any(filled(t, name, inner, known))
		}
		if list, ok := value.([]any); value == "" || ok && len(list) == 0 {
			if value = known[key]; value == nil {
				t.Fatalf("%s: nothing is known for %s", name, key)
			}
		}
		result[key] = value
	}
	return result
}

// at returns the value at a path inside decoded JSON, nil where there is none.
func at(value any, path ...string) any {
	for _, key := range path {
		object, _ := value.(map[string]any)
		value = object[key]
	}
	return value
}
