package limit_test

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/99designs/gqlgen/graphql"
	"github.com/google/uuid"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"
	"github.com/vektah/gqlparser/v2/parser"

	"marquee/graph/limit"
	"marquee/internal/apperr"
	"marquee/internal/auth"
	"marquee/internal/clock"
	"marquee/internal/ratelimit"
)

var (
	opened = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	viewer = auth.Viewer{UserID: uuid.MustParse("00000000-0000-7000-8000-000000000001")}
)

// metered is an extension whose accounts gain a point a second for a viewer's browsing, two for an address's, and the
// same for purchases. It does not know any document.
func metered() (limit.Extension, *clock.Fake) {
	c := clock.NewFake(opened)
	rate := ratelimit.Rate{Viewer: 1, Address: 2}
	return limit.Extension{
		Limits: unlimited, Schema: contract(),
		Rates: ratelimit.New(c, ratelimit.Rates{Browse: rate, Purchase: rate}),
	}, c
}

// from returns a context of a request from an address, by a viewer unless anonymous.
func from(method, address string, anonymous bool) context.Context {
	var arrived *http.Request
	r := httptest.NewRequest(method, "/graphql", http.NoBody)
	if !anonymous {
		r = r.WithContext(auth.WithViewer(r.Context(), viewer))
	}
	limit.Arrivals(func(*http.Request) string { return address }, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		arrived = r
	})).ServeHTTP(httptest.NewRecorder(), r)
	return arrived.Context()
}

// execute charges an operation and returns its context.
func execute(t *testing.T, e limit.Extension, ctx context.Context, query string) (context.Context, *gqlerror.Error) {
	t.Helper()
	op := operation(t, query, "")
	return graphql.WithOperationContext(ctx, op), e.MutateOperationContext(ctx, op)
}

// throttled checks that an error says when to come back.
func throttled(t *testing.T, err *gqlerror.Error, seconds int) {
	t.Helper()
	if err == nil {
		t.Fatalf("it was not refused, want a refusal for %d s", seconds)
	}
	if known, ok := errors.AsType[*apperr.Error](err); !ok || known.Code != apperr.Throttled || int(math.Ceil(known.RetryAfter.Seconds())) != seconds {
		t.Fatalf("%#v, want a refusal for %d s", err, seconds)
	}
}

func TestExtension_rates(t *testing.T) {
	t.Parallel()
	t.Run("a_known_document_is_charged_for_its_variables", func(t *testing.T) {
		t.Parallel()
		e, _ := metered()
		const query = `query ($ids: [ID!]!) { some { name } }`
		document, err := parser.ParseQuery(&ast.Source{Input: query})
		if err != nil {
			t.Fatal(err)
		}
		known := graphql.MapCache[*ast.QueryDocument]{}
		known.Add(t.Context(), query, document)
		e.Documents = known
		send := func(values int) *gqlerror.Error {
			return e.MutateOperationParameters(from(http.MethodPost, "a", false), &graphql.RawParams{
				Query: query, Variables: map[string]any{"ids": make([]any, values)},
			})
		}
		for range 100 {
			if err := send(3); err != nil {
				t.Fatalf("a few: %v", err)
			}
		}
		for range 2 {
			if err := send(158); err != nil { // ten points of twenty, with the list and what holds it
				t.Fatalf("many: %v", err)
			}
		}
		throttled(t, send(158), 10)
	})
	t.Run("an_operation_is_charged_its_cost", func(t *testing.T) {
		t.Parallel()
		e, c := metered()
		ctx, err := execute(t, e, from(http.MethodPost, "a", false), `{ some { name } }`)
		want := limit.Report{Cost: 7, Standing: ratelimit.Standing{Limit: 20, Remaining: 13, PerSecond: 1, FullAt: opened.Add(7 * time.Second)}}
		if got := limit.ReportFrom(ctx); err != nil || got != want {
			t.Fatalf("%v, %+v, want %+v", err, got, want)
		}
		_, err = execute(t, e, from(http.MethodPost, "b", false), `{ some { item { name } } }`)
		throttled(t, err, 1)
		c.Advance(time.Second)
		if _, err = execute(t, e, from(http.MethodPost, "b", false), `{ some { item { name } } }`); err != nil {
			t.Error(err)
		}
	})
	t.Run("no_operation_costs_nothing", func(t *testing.T) {
		t.Parallel()
		e, _ := metered()
		for range 20 {
			if ctx, err := execute(t, e, from(http.MethodPost, "a", false), `{ name }`); err != nil || limit.ReportFrom(ctx).Cost != 1 {
				t.Fatalf("%v, %+v", err, limit.ReportFrom(ctx))
			}
		}
		_, err := execute(t, e, from(http.MethodPost, "a", false), `{ name }`)
		throttled(t, err, 1)
	})
	t.Run("an_operation_beyond_the_limits_is_not_charged", func(t *testing.T) {
		t.Parallel()
		e, _ := metered()
		e.Limits.Cost = 6
		if _, err := execute(t, e, from(http.MethodPost, "a", false), `{ some { name } }`); apperr.CodeOf(err) != apperr.BadUserInput {
			t.Fatal(err)
		}
		if ctx, _ := execute(t, e, from(http.MethodPost, "a", false), `{ name }`); limit.ReportFrom(ctx).Standing.Remaining != 19 {
			t.Errorf("%+v", limit.ReportFrom(ctx))
		}
	})
	t.Run("nobody_signed_in_is_an_address", func(t *testing.T) {
		t.Parallel()
		e, _ := metered()
		for range 5 {
			if _, err := execute(t, e, from(http.MethodPost, "a", true), `{ some { name } }`); err != nil {
				break
			}
		}
		_, err := execute(t, e, from(http.MethodPost, "a", true), `{ some { name } }`)
		throttled(t, err, 1)
		if _, err := execute(t, e, from(http.MethodPost, "b", true), `{ some { name } }`); err != nil {
			t.Errorf("another address is refused: %v", err)
		}
	})
	t.Run("nothing_is_limited_without_rates", func(t *testing.T) {
		t.Parallel()
		e := limit.Extension{Limits: unlimited}
		ctx, err := execute(t, e, from(http.MethodPost, "a", false), `{ some { name } }`)
		if want := (limit.Report{Cost: 7}); err != nil || limit.ReportFrom(ctx) != want {
			t.Errorf("%v, %+v", err, limit.ReportFrom(ctx))
		}
	})
	t.Run("there_is_no_report_outside_an_operation", func(t *testing.T) {
		t.Parallel()
		if got := limit.ReportFrom(t.Context()); got != (limit.Report{}) {
			t.Errorf("%+v", got)
		}
	})
}

func TestExtension_lanes(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		query    string
		purchase bool
	}{
		"a_purchase":               {`mutation { buy { id } }`, true},
		"two_purchases":            {`mutation { buy { id } a: pay { id } }`, true},
		"with_the_name_of_a_type":  {`mutation { __typename buy { id } }`, true},
		"a_mutation_of_that_lane":  {`mutation { rename { id } }`, false},
		"a_mutation_without":       {`mutation { touch { id } }`, false},
		"a_purchase_and_another":   {`mutation { buy { id } touch { id } }`, false},
		"a_purchase_in_a_fragment": {`mutation { ... on Mutation { buy { id } } }`, false},
		"no_field":                 {`mutation { __typename }`, false},
		"a_query":                  {`{ name }`, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			// Browsing until nothing is left, new documents included.
			e, _ := metered()
			ctx := from(http.MethodPost, "a", false)
			for range 20 {
				if _, err := execute(t, e, ctx, `{ name }`); err != nil {
					t.Fatal(err)
				}
			}
			_, err := execute(t, e, ctx, test.query)
			if (err == nil) != test.purchase {
				t.Errorf("executing it: %v", err)
			}
			e, _ = metered()
			for range 20 {
				if _, err := execute(t, e, ctx, `{ name }`); err != nil {
					t.Fatal(err)
				}
			}
			err = e.MutateOperationParameters(ctx, &graphql.RawParams{Query: test.query})
			if (err == nil) != test.purchase {
				t.Errorf("reading it: %v", err)
			}
		})
	}
	t.Run("purchases_leave_browsing_alone", func(t *testing.T) {
		t.Parallel()
		e, _ := metered()
		ctx := from(http.MethodPost, "a", false)
		if _, err := execute(t, e, ctx, `mutation { buy { id } }`); err != nil {
			t.Fatal(err)
		}
		_, err := execute(t, e, ctx, `mutation { pay { id } }`)
		throttled(t, err, 20)
		if _, err := execute(t, e, ctx, `{ name }`); err != nil {
			t.Error(err)
		}
	})
}

// TestExtension_reading charges documents that are new, whatever becomes of them.
func TestExtension_reading(t *testing.T) {
	t.Parallel()
	for name, query := range map[string]string{
		"valid":          `{ name }` + strings.Repeat(" ", 16*18),
		"no_document":    `{ name` + strings.Repeat(" ", 16*19),
		"too_repetitive": `{` + strings.Repeat("name ", 64) + `}`,
		"comparisons":    `{` + strings.Repeat("a ", 30) + `}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e, _ := metered()
			if name == "too_repetitive" {
				e.Limits.Comparisons = 100
			}
			ctx := from(http.MethodPost, "a", false)
			read := func() *gqlerror.Error { return e.MutateOperationParameters(ctx, &graphql.RawParams{Query: query}) }
			if first := read(); first != nil && apperr.CodeOf(first) == apperr.Throttled {
				t.Fatal(first)
			}
			if second := read(); second == nil || apperr.CodeOf(second) != apperr.Throttled {
				t.Errorf("reading again: %v", second)
			}
			known := graphql.MapCache[*ast.QueryDocument]{}
			known.Add(ctx, query, &ast.QueryDocument{})
			e.Documents = known
			if err := read(); err != nil {
				t.Errorf("a document that is known is charged: %v", err)
			}
		})
	}
}

func TestExtension_InterceptResponse(t *testing.T) {
	t.Parallel()
	answer := func(e limit.Extension, ctx context.Context) string {
		response := e.InterceptResponse(ctx, func(context.Context) *graphql.Response {
			return &graphql.Response{Data: json.RawMessage(`{}`)}
		})
		text, err := json.Marshal(response.Extensions)
		if err != nil {
			t.Error(err)
		}
		return string(text)
	}
	const told = `{"cost":{"requestedQueryCost":7,"throttleStatus":{"maximumAvailable":20,"currentlyAvailable":13,"restoreRate":1}}}`
	t.Run("an_answer_to_a_post_tells_it", func(t *testing.T) {
		t.Parallel()
		e, _ := metered()
		ctx, _ := execute(t, e, from(http.MethodPost, "a", false), `{ some { name } }`)
		if got := answer(e, ctx); got != told {
			t.Errorf("%s", got)
		}
	})
	t.Run("so_does_a_refusal", func(t *testing.T) {
		t.Parallel()
		e, _ := metered()
		_, _ = execute(t, e, from(http.MethodPost, "a", false), `{ some { name } }`)
		ctx, err := execute(t, e, from(http.MethodPost, "a", false), `{ some { item { name } } }`)
		throttled(t, err, 1)
		if got := answer(e, ctx); got != strings.Replace(told, ":7,", ":14,", 1) {
			t.Errorf("%s", got)
		}
	})
	for name, method := range map[string]string{"an_answer_that_is_shared_does_not": http.MethodGet, "nor_does_one_without_a_body": http.MethodHead} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e, _ := metered()
			ctx, _ := execute(t, e, from(method, "a", false), `{ some { name } }`)
			if got := answer(e, ctx); got != "null" {
				t.Errorf("%s", got)
			}
		})
	}
	t.Run("nor_does_an_event", func(t *testing.T) {
		t.Parallel()
		e, _ := metered()
		ctx, _ := execute(t, e, from(http.MethodPost, "a", false), `{ some { name } }`)
		graphql.GetOperationContext(ctx).Operation.Operation = ast.Subscription
		if got := answer(e, ctx); got != "null" {
			t.Errorf("%s", got)
		}
	})
	t.Run("nor_does_one_that_nothing_limits", func(t *testing.T) {
		t.Parallel()
		e := limit.Extension{Limits: unlimited}
		ctx, _ := execute(t, e, from(http.MethodPost, "a", false), `{ some { name } }`)
		if got := answer(e, ctx); got != "null" {
			t.Errorf("%s", got)
		}
	})
	t.Run("nor_does_the_end_of_a_stream", func(t *testing.T) {
		t.Parallel()
		e, _ := metered()
		ctx, _ := execute(t, e, from(http.MethodPost, "a", false), `{ some { name } }`)
		if got := e.InterceptResponse(ctx, func(context.Context) *graphql.Response { return nil }); got != nil {
			t.Errorf("%+v", got)
		}
	})
}
