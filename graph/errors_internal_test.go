package graph

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/99designs/gqlgen/graphql"
	"github.com/google/go-cmp/cmp"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"marquee/internal/apperr"
)

func TestPresenter_Present(t *testing.T) {
	t.Parallel()
	errAway := errors.New("the engine is away, says 10.0.0.1")
	field := graphql.WithPathContext(t.Context(), graphql.NewPathWithField("movies"))
	gone, leave := context.WithCancel(field)
	leave()
	missing := apperr.Missing("movie")
	for name, test := range map[string]struct {
		ctx     context.Context
		err     error
		code    apperr.Code
		message string
		path    ast.Path
		fields  []map[string]string
		logged  string // a part of the log; "" means that nothing is logged
	}{
		"a_domain_error_is_shown": {
			ctx: field, err: missing, code: apperr.NotFound, message: missing.Message, path: ast.Path{ast.PathName("movies")},
		},
		"however_deep_it_is_wrapped": {
			ctx: field, err: gqlerror.WrapPath(ast.Path{ast.PathName("movies")}, fmt.Errorf("a: %w", errors.Join(errors.New("b"), fmt.Errorf("c: %w", missing)))),
			code: apperr.NotFound, message: missing.Message, path: ast.Path{ast.PathName("movies")},
		},
		"its_cause_is_not_shown": {
			ctx: field, err: apperr.Wrap(errors.New("SELECT secret"), apperr.Conflict, "It is taken."),
			code: apperr.Conflict, message: "It is taken.", path: ast.Path{ast.PathName("movies")},
		},
		"its_fields_are_shown": {
			ctx: field, err: fmt.Errorf("wrapped: %w", apperr.Invalid("input.name", "Give a name.")),
			code: apperr.BadUserInput, message: "Give a name.", path: ast.Path{ast.PathName("movies")},
			fields: []map[string]string{{"path": "input.name", "message": "Give a name."}},
		},
		"an_unknown_error_is_internal": {
			ctx: field, err: errors.New("pq: syntax error at SELECT"),
			code: apperr.Internal, message: internalMessage, path: ast.Path{ast.PathName("movies")}, logged: "pq: syntax error at SELECT",
		},
		"an_unknown_error_that_a_library_wrapped_is_internal": {
			ctx: field, err: gqlerror.WrapPath(ast.Path{ast.PathName("movies")}, errors.New("pq: syntax error at SELECT")),
			code: apperr.Internal, message: internalMessage, path: ast.Path{ast.PathName("movies")}, logged: "pq: syntax error at SELECT",
		},
		"an_internal_error_tells_nothing": {
			ctx: field, err: apperr.New(apperr.Internal, "the vault is at %s", "10.0.0.2"),
			code: apperr.Internal, message: internalMessage, path: ast.Path{ast.PathName("movies")}, logged: "10.0.0.2",
		},
		"a_fault_of_an_engine_is_classified": {
			ctx: field, err: fmt.Errorf("reading: %w", errAway),
			code: apperr.Unavailable, message: "Try again.", path: ast.Path{ast.PathName("movies")}, logged: "10.0.0.1",
		},
		"a_caller_who_has_gone_is_no_news": {
			ctx: gone, err: fmt.Errorf("reading: %w", errAway),
			code: apperr.Unavailable, message: "Try again.", path: ast.Path{ast.PathName("movies")},
		},
		"an_error_of_the_document_is_the_callers": {
			ctx: t.Context(), err: &gqlerror.Error{Message: "Cannot query field.", Rule: "FieldsOnCorrectType"},
			code: apperr.BadUserInput, message: "Cannot query field.",
		},
		"an_error_of_a_variable_names_it": {
			ctx:  t.Context(),
			err:  gqlerror.ErrorPathf(ast.Path{ast.PathName("variable"), ast.PathName("in"), ast.PathName("seatIds"), ast.PathIndex(2)}, "cannot be null"),
			code: apperr.BadUserInput, message: "Variable $in.seatIds.2 cannot be null.",
			fields: []map[string]string{{"path": "$in.seatIds.2", "message": "Variable $in.seatIds.2 cannot be null."}},
		},
		"an_error_of_an_argument_names_it": {
			ctx: field,
			err: gqlerror.WrapPath(ast.Path{ast.PathName("movies"), ast.PathName("filter"), ast.PathName("from")},
				apperr.New(apperr.BadUserInput, "A DateTime is a text.")),
			code: apperr.BadUserInput, message: "A DateTime is a text.", path: ast.Path{ast.PathName("movies")},
			fields: []map[string]string{{"path": "filter.from", "message": "A DateTime is a text."}},
		},
		"a_number_out_of_range_is_the_callers": {
			ctx: field, err: fmt.Errorf("first: %w", overflow()),
			code: apperr.BadUserInput, message: "A number is out of range.", path: ast.Path{ast.PathName("movies")},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var log bytes.Buffer
			p := presenter{
				log: slog.New(slog.NewTextHandler(&log, nil)),
				classify: func(err error) *apperr.Error {
					if errors.Is(err, errAway) {
						return apperr.Wrap(err, apperr.Unavailable, "Try again.")
					}
					return nil
				},
				requestID: func(context.Context) string { return "r1" },
			}
			shown := p.present(test.ctx, test.err)
			if shown.Message != test.message || !slices.Equal(shown.Path, test.path) {
				t.Errorf("%q at %v, want %q at %v", shown.Message, shown.Path, test.message, test.path)
			}
			want := map[string]any{"code": string(test.code), "requestId": "r1"}
			if test.fields != nil {
				want["fields"] = test.fields
			}
			if diff := cmp.Diff(want, shown.Extensions); diff != "" {
				t.Errorf("extensions (-want +got):\n%s", diff)
			}
			if logged := log.String(); (test.logged == "") != (logged == "") || !strings.Contains(logged, test.logged) {
				t.Errorf("logged %q, want %q", logged, test.logged)
			}
			text := shown.Error()
			for _, secret := range []string{"SELECT", "10.0.0", "pq:"} {
				if strings.Contains(text, secret) && secret != "" {
					t.Errorf("shown to the caller: %s", text)
				}
			}
		})
	}
}

func overflow() error {
	_, err := graphql.UnmarshalInt32(int64(1) << 40)
	return err
}

func TestPresenter_Recovered(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	p := presenter{log: slog.New(slog.NewTextHandler(&log, nil))}
	err := p.recovered(t.Context(), "the index is 7")
	if apperr.CodeOf(err) != apperr.Internal || strings.Contains(err.Error(), "7") {
		t.Errorf("a panic became %v", err)
	}
	for _, part := range []string{"the index is 7", "errors_internal_test.go"} {
		if !strings.Contains(log.String(), part) {
			t.Errorf("the log lacks %q: %s", part, log.String())
		}
	}
}
