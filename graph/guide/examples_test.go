package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"marquee/internal/apitest"
	"marquee/internal/config"
)

// example is an operation of the guide with what it says about it.
type example struct {
	line      int
	document  string
	variables map[string]any
	answer    any   // none for a subscription
	events    []any // of the subscription that is open, once this was done
}

// TestExamples sends what the guide shows to the whole program, in the guide's order, and compares the answers.
//
// The guide's ids, cursors and tokens are samples: each stands for what the program gave at the place where the guide
// shows it first, or sent by mail, and can be used from there on. An access token is sent with all that follows it, as the
// guide tells its readers.
func TestExamples(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join(root, "docs", "api.md"))
	if err != nil {
		t.Fatal(err)
	}
	examples, err := examplesOf(string(text))
	if err != nil {
		t.Fatal(err)
	}
	const enough = 12
	if len(examples) < enough {
		t.Fatalf("the guide has %d examples", len(examples))
	}
	a := apitest.New(t, apitest.Still(), apitest.With(func(c *config.Config) {
		c.RateViewer, c.RateAddress = 1000, 4000
	}))
	for _, theater := range a.World.Theaters {
		a.Strict(theater)
		// As without a policy, but for swaps.
		a.Exec(`INSERT INTO refund_policies (theater_id, version, steps, late_without_refund, kept_per_ticket_minor, kept_once_minor, fees_returned,
				swap_minutes, swap_fee_minor, holds_from)
			VALUES ($1, 1, '[{"minutes":0,"basisPoints":10000}]', false, 0, 0, true, 60, 100, now())`, theater.Key)
	}
	client := a.Anonymous()
	meant := samples{}
	var watcher *apitest.Watcher
	for _, e := range examples {
		if client.Token == "" {
			client.Token = meant.token()
		}
		meant.readMail(t, a, e.variables)
		variables, err := meant.resolve(e.variables)
		if err != nil {
			t.Fatalf("line %d: %v", e.line, err)
		}
		vars, _ := variables.(map[string]any)
		if e.answer == nil {
			watcher = client.Watch(e.document, vars)
		} else {
			raw := client.Raw(e.document, vars)
			var answer any
			if err := json.Unmarshal(raw.Body, &answer); err != nil {
				t.Fatalf("line %d: %v: %s", e.line, err, raw)
			}
			if err := meant.compare(e.answer, answer); err != nil {
				t.Fatalf("line %d: %v\n%s", e.line, err, raw)
			}
		}
		for _, shown := range e.events {
			var data any
			watcher.Next(&data)
			if err := meant.compare(shown, map[string]any{"data": data}); err != nil {
				t.Fatalf("line %d: %v", e.line, err)
			}
		}
	}
}

// fence begins and ends a block of code; what follows it says what the block is.
var fence = regexp.MustCompile("^```(.*)$")

// examplesOf reads the examples of a guide: a block of graphql, perhaps one of json variables, then a json answer or,
// when it is a subscription, a json event. Other examples may be followed by events too: what the last subscription
// before them gives then.
func examplesOf(text string) ([]*example, error) {
	var (
		found  []*example
		block  strings.Builder
		kind   string
		within bool
	)
	for number, line := range strings.Split(text, "\n") {
		mark := fence.FindStringSubmatch(line)
		switch {
		case mark == nil && within:
			block.WriteString(line + "\n")
		case mark == nil:
		case !within:
			within, kind = true, mark[1]
			block.Reset()
		default:
			within = false
			if kind == "graphql" {
				found = append(found, &example{line: number + 1, document: block.String()})
				continue
			}
			if !strings.HasPrefix(kind, "json ") {
				continue
			}
			if len(found) == 0 {
				return nil, fmt.Errorf("line %d: %s of no operation", number+1, kind)
			}
			if err := found[len(found)-1].add(strings.TrimPrefix(kind, "json "), block.String()); err != nil {
				return nil, fmt.Errorf("line %d: %w", number+1, err)
			}
		}
	}
	watched := false
	for _, e := range found {
		isSubscription := strings.HasPrefix(e.document, "subscription")
		watched = watched || isSubscription
		switch {
		case isSubscription == (e.answer != nil), isSubscription && len(e.events) == 0:
			return nil, fmt.Errorf("line %d: an operation without its answer", e.line)
		case len(e.events) > 0 && !watched:
			return nil, fmt.Errorf("line %d: an event of no subscription", e.line)
		}
	}
	return found, nil
}

func (e *example) add(kind, text string) error {
	var value any
	if err := json.Unmarshal([]byte(text), &value); err != nil {
		return err
	}
	isFirst := e.answer == nil && len(e.events) == 0
	object, isObject := value.(map[string]any)
	switch {
	case kind == "variables" && isFirst && e.variables == nil && isObject:
		e.variables = object
	case kind == "answer" && isFirst && isObject:
		e.answer = value
	case kind == "event" && isObject:
		e.events = append(e.events, value)
	default:
		return fmt.Errorf("json %s does not belong here", kind)
	}
	return nil
}

// samples are the values that the guide shows for those that the program makes, by what is shown.
type samples map[string]string

var (
	sampleID     = regexp.MustCompile(`^[a-z]{3}_[0-9a-z]{20,}$`)
	sampleToken  = regexp.MustCompile(`^eyJ[\w-]*(\.[\w-]+){2}$|^mqr_|^mqm_`)
	sampleAccess = regexp.MustCompile(`^eyJ`)
	sampleMailed = regexp.MustCompile(`"mqm_[\w-]+"`)
	sampleCursor = regexp.MustCompile(`^[A-Za-z0-9_-]{30,}$`)
	constant     = regexp.MustCompile(`^[A-Z][A-Z_]*$|^[A-Z][a-z]+([A-Z][a-z]+)+$`) // of an enum, and a type's name
	digits       = regexp.MustCompile(`^\d+$`)
)

func isSample(text string) bool {
	return sampleID.MatchString(text) || sampleToken.MatchString(text) || sampleCursor.MatchString(text)
}

// token is what the program gave for the guide's access token.
func (s samples) token() string {
	for shown, given := range s {
		if sampleAccess.MatchString(shown) {
			return given
		}
	}
	return ""
}

// readMail gives the tokens of mails among the variables of an example their meaning: the token of the letter that came last.
func (s samples) readMail(t *testing.T, a *apitest.App, variables map[string]any) {
	t.Helper()
	text, err := json.Marshal(variables)
	if err != nil {
		t.Fatal(err)
	}
	shown := strings.Trim(sampleMailed.FindString(string(text)), `"`)
	if shown == "" || s[shown] != "" {
		return
	}
	if err := a.DeliverMail(t.Context()); err != nil {
		t.Fatal(err)
	}
	letters := a.Mailbox().Letters("")
	if len(letters) == 0 {
		t.Fatalf("no letter has come with %s", shown)
	}
	_, s[shown], _ = strings.Cut(letters[0].Link, "#token=")
}

// resolve replaces samples by what they stand for.
func (s samples) resolve(value any) (any, error) {
	switch value := value.(type) {
	case string:
		if given, ok := s[value]; ok {
			return given, nil
		}
		if isSample(value) {
			return nil, fmt.Errorf("%s has not been shown in an answer", value)
		}
	case []any:
		list := make([]any, len(value))
		for i, item := range value {
			resolved, err := s.resolve(item)
			if err != nil {
				return nil, err
			}
			list[i] = resolved
		}
		return list, nil
	case map[string]any:
		object := make(map[string]any, len(value))
		for name, item := range value {
			resolved, err := s.resolve(item)
			if err != nil {
				return nil, err
			}
			object[name] = resolved
		}
		return object, nil
	}
	return value, nil
}

// compare holds an answer to the one that the guide shows: the same fields with values of the same kind, constants and
// messages word for word. A list may go on after what is shown, with things like the last that is. The extensions of an
// answer may be left out.
func (s samples) compare(shown, answer any) error {
	object, ok := answer.(map[string]any)
	documented, isObject := shown.(map[string]any)
	if ok && isObject && documented["extensions"] == nil {
		delete(object, "extensions")
	}
	return s.match("answer", shown, answer)
}

func (s samples) match(path string, shown, given any) error {
	switch shown := shown.(type) {
	case map[string]any:
		return s.matchObject(path, shown, given)
	case []any:
		return s.matchList(path, shown, given)
	case string:
		return s.matchText(path, shown, given)
	case nil, bool:
		if !reflect.DeepEqual(shown, given) {
			return fmt.Errorf("%s is %v, the guide shows %v", path, given, shown)
		}
	default:
		if reflect.TypeOf(shown) != reflect.TypeOf(given) {
			return fmt.Errorf("%s is %v, the guide shows %v", path, given, shown)
		}
	}
	return nil
}

func (s samples) matchObject(path string, shown map[string]any, given any) error {
	object, ok := given.(map[string]any)
	if !ok {
		return fmt.Errorf("%s is %v, the guide shows an object", path, given)
	}
	for name := range object {
		if _, ok := shown[name]; !ok {
			return fmt.Errorf("%s.%s is %v, the guide does not show it", path, name, object[name])
		}
	}
	for name := range shown {
		value, ok := object[name]
		if !ok {
			return fmt.Errorf("%s.%s is not there", path, name)
		}
		if err := s.match(path+"."+name, shown[name], value); err != nil {
			return err
		}
	}
	return nil
}

func (s samples) matchList(path string, shown []any, given any) error {
	list, ok := given.([]any)
	if !ok || len(list) < len(shown) || len(shown) == 0 && len(list) > 0 {
		return fmt.Errorf("%s is %v, the guide shows %d of a list", path, given, len(shown))
	}
	for i, item := range list[:len(shown)] {
		if err := s.match(fmt.Sprintf("%s[%d]", path, i), shown[i], item); err != nil {
			return err
		}
	}
	return nil
}

func (s samples) matchText(path, shown string, given any) error {
	text, ok := given.(string)
	if !ok || text == "" {
		return fmt.Errorf("%s is %v, the guide shows %q", path, given, shown)
	}
	_, err := time.Parse(time.RFC3339, shown)
	switch {
	case isSample(shown):
		if before, known := s[shown]; known && before != text {
			return fmt.Errorf("%s is %s, but the guide has called %s the same", path, text, before)
		}
		s[shown] = text
	case constant.MatchString(shown), strings.HasSuffix(path, ".message"):
		if text != shown {
			return fmt.Errorf("%s is %q, the guide shows %q", path, text, shown)
		}
	case digits.MatchString(shown):
		if !digits.MatchString(text) {
			return fmt.Errorf("%s is %q, the guide shows a number", path, text)
		}
	case err == nil:
		if _, err := time.Parse(time.RFC3339, text); err != nil {
			return fmt.Errorf("%s is %q, the guide shows a moment", path, text)
		}
	}
	return nil
}

// TestSamples makes sure that the comparison sees what the guide gets wrong.
func TestSamples(t *testing.T) {
	t.Parallel()
	const id, other = `"mov_01m82kr9gmejx9h4qjrr0qak1j"`, `"mov_01m82kr9gqfpaswjbe0aywk99v"`
	for name, c := range map[string]struct {
		shown, given string
		alike        bool
	}{
		"the_same":                    {`{"data": {"a": [{"b": 1}], "c": null}}`, `{"data": {"a": [{"b": 2}], "c": null}}`, true},
		"a_list_that_goes_on":         {`[1]`, `[2, 3]`, true},
		"other_extensions":            {`{"data": {}}`, `{"data": {}, "extensions": {"cost": 1}}`, true},
		"an_id":                       {`[` + id + `, ` + id + `]`, `[` + other + `, ` + other + `]`, true},
		"another_number_as_text":      {`"12"`, `"13"`, true},
		"another_moment":              {`"2026-11-22T21:49:17Z"`, `"2027-01-01T00:00:00.5Z"`, true},
		"another_title":               {`"Metropolis at night"`, `"Brazil"`, true},
		"a_field_that_is_not_shown":   {`{"a": 1}`, `{"a": 1, "b": 2}`, false},
		"a_field_that_is_not_there":   {`{"a": 1, "b": 2}`, `{"a": 1}`, false},
		"errors_that_are_not_shown":   {`{"data": {}}`, `{"data": {}, "errors": []}`, false},
		"another_kind":                {`1`, `"1"`, false},
		"null":                        {`{"a": {}}`, `{"a": null}`, false},
		"something_instead_of_null":   {`null`, `{}`, false},
		"another_truth":               {`true`, `false`, false},
		"a_shorter_list":              {`[1, 1]`, `[1]`, false},
		"a_list_that_is_shown_empty":  {`[]`, `[1]`, false},
		"another_constant":            {`"HELD"`, `"CONFIRMED"`, false},
		"another_type":                {`"SeatMapDelta"`, `"SeatMapSnapshot"`, false},
		"another_message":             {`{"message": "No, sir."}`, `{"message": "No."}`, false},
		"text_instead_of_a_number":    {`"12"`, `"many"`, false},
		"text_instead_of_a_moment":    {`"2026-11-22T21:49:17Z"`, `"soon"`, false},
		"one_id_for_two_things":       {`[` + id + `, ` + id + `]`, `[` + id + `, ` + other + `]`, false},
		"an_empty_text":               {`"Metropolis"`, `""`, false},
		"an_object_instead_of_a_list": {`[1]`, `{}`, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var shown, given any
			if err := errors.Join(json.Unmarshal([]byte(c.shown), &shown), json.Unmarshal([]byte(c.given), &given)); err != nil {
				t.Fatal(err)
			}
			if err := (samples{}).compare(shown, given); (err == nil) != c.alike {
				t.Errorf("got %v", err)
			}
		})
	}

	t.Run("a_sample_that_was_never_shown", func(t *testing.T) {
		t.Parallel()
		s := samples{"mqr_shown-once": "mqr_real"}
		if _, err := s.resolve(map[string]any{"a": []any{"mov_01m82kr9gmejx9h4qjrr0qak1j"}}); err == nil {
			t.Error("it stands for something")
		}
		if got, err := s.resolve([]any{"mqr_shown-once", 1}); err != nil || !reflect.DeepEqual(got, []any{"mqr_real", 1}) {
			t.Errorf("got %v, %v", got, err)
		}
	})
}

func TestExamplesOf(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"no_answer":              "```graphql\n{ a }\n```\n",
		"an_answer_to_nothing":   "```json answer\n{}\n```\n",
		"two_answers":            "```graphql\n{ a }\n```\n```json answer\n{}\n```\n```json answer\n{}\n```\n",
		"variables_after_answer": "```graphql\n{ a }\n```\n```json answer\n{}\n```\n```json variables\n{}\n```\n",
		"answered_subscription":  "```graphql\nsubscription { a }\n```\n```json answer\n{}\n```\n",
		"no_event":               "```graphql\nsubscription { a }\n```\n",
		"an_event_of_nothing":    "```graphql\n{ a }\n```\n```json answer\n{}\n```\n```json event\n{}\n```\n",
		"no_object":              "```graphql\n{ a }\n```\n```json answer\n[]\n```\n",
		"an_unknown_kind":        "```graphql\n{ a }\n```\n```json reply\n{}\n```\n",
		"broken_json":            "```graphql\n{ a }\n```\n```json answer\n{\n```\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if found, err := examplesOf(text); err == nil {
				t.Errorf("read %d examples", len(found))
			}
		})
	}
}
