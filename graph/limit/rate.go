package limit

import (
	"context"
	"net/http"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"marquee/internal/apperr"
	"marquee/internal/auth"
	"marquee/internal/ratelimit"
)

// Report is what an operation was charged, and how the stricter of its caller's accounts stood afterwards.
type Report struct {
	Cost     int
	Standing ratelimit.Standing
}

// ReportFrom returns the report on the operation of ctx; zero when there is none.
func ReportFrom(ctx context.Context) Report {
	if !graphql.HasOperationContext(ctx) {
		return Report{}
	}
	report, _ := graphql.GetOperationContext(ctx).Stats.GetExtension(Extension{}.ExtensionName()).(Report)
	return report
}

type arrivalKey struct{}

// arrival is what is known of the request that carries an operation.
type arrival struct {
	address string
	private bool // nobody else is given the same answer
}

// Arrivals notes from which address a request comes, before next executes its operations.
func Arrivals(address func(*http.Request) string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx := context.WithValue(r.Context(), arrivalKey{}, arrival{address: address(r), private: r.Method == http.MethodPost})
		next.ServeHTTP(w, r.WithContext(ctx))
	})
}

// AddressOf returns the address from which the request of ctx comes, "" when nobody noted it.
func AddressOf(ctx context.Context) string {
	from, _ := ctx.Value(arrivalKey{}).(arrival)
	return from.address
}

// charge takes points from the accounts of the caller of ctx. Its error is THROTTLED and says when to come back.
func (e Extension) charge(ctx context.Context, lane ratelimit.Lane, points int) (ratelimit.Standing, *gqlerror.Error) {
	if e.Rates == nil {
		return ratelimit.Standing{}, nil
	}
	from, _ := ctx.Value(arrivalKey{}).(arrival)
	viewer, _ := auth.ViewerFrom(ctx)
	standing, wait := e.Rates.Take(lane, ratelimit.Caller{Viewer: viewer.UserID, Address: from.address}, points)
	if wait == 0 {
		return standing, nil
	}
	err := apperr.Throttle(wait, "You have asked for much in a short time.")
	return standing, &gqlerror.Error{Err: err, Message: err.Message}
}

// lane tells the account for an operation. It reads the fields that are written in the operation itself, so that it needs
// no valid document and answers alike before and after validation.
func (e Extension) lane(operation *ast.OperationDefinition) ratelimit.Lane {
	if e.Schema == nil || e.Schema.Mutation == nil || operation == nil || operation.Operation != ast.Mutation {
		return ratelimit.Browse
	}
	lane := ratelimit.Browse
	for _, selection := range operation.SelectionSet {
		field, ok := selection.(*ast.Field)
		if !ok {
			return ratelimit.Browse
		}
		if field.Name == "__typename" {
			continue
		}
		if !isPurchase(e.Schema.Mutation.Fields.ForName(field.Name)) {
			return ratelimit.Browse
		}
		lane = ratelimit.Purchase
	}
	return lane
}

func isPurchase(field *ast.FieldDefinition) bool {
	if field == nil {
		return false
	}
	directive := field.Directives.ForName("cost")
	if directive == nil {
		return false
	}
	lane := directive.Arguments.ForName("lane")
	return lane != nil && lane.Value.Raw == "PURCHASE"
}

// costBlock is extensions.cost, in the shape that clients of other GraphQL APIs pace themselves by.
type costBlock struct {
	RequestedQueryCost int            `json:"requestedQueryCost"`
	ThrottleStatus     throttleStatus `json:"throttleStatus"`
}

type throttleStatus struct {
	MaximumAvailable   int `json:"maximumAvailable"`
	CurrentlyAvailable int `json:"currentlyAvailable"`
	RestoreRate        int `json:"restoreRate"`
}

// InterceptResponse tells the caller by extensions.cost what a query or mutation was charged. Answers that others may be
// given too, from a cache or as an event of a subscription, say nothing of anybody's account.
func (e Extension) InterceptResponse(ctx context.Context, next graphql.ResponseHandler) *graphql.Response {
	response := next(ctx)
	from, _ := ctx.Value(arrivalKey{}).(arrival)
	report := ReportFrom(ctx)
	if response == nil || !from.private || report.Standing.Limit == 0 ||
		graphql.GetOperationContext(ctx).Operation.Operation == ast.Subscription {
		return response
	}
	if response.Extensions == nil {
		response.Extensions = map[string]any{}
	}
	s := report.Standing
	response.Extensions["cost"] = costBlock{report.Cost, throttleStatus{s.Limit, s.Remaining, s.PerSecond}}
	return response
}
