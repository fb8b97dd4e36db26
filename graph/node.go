package graph

import (
	"context"
	"fmt"
	"sync"

	"marquee/graph/loader"
	"marquee/graph/model"
	"marquee/internal/apperr"
	"marquee/internal/auth"
	"marquee/internal/jobs"
	"marquee/internal/payment"
	"marquee/internal/typeid"
)

// node returns the thing that an id names, nil when there is none or it is not the viewer's: BAD_USER_INPUT at path
// when it is no id at all.
func (r *Resolver) node(ctx context.Context, path, id string) (model.Node, error) {
	kind, err := typeid.KindOf(id)
	if err != nil {
		return nil, apperr.Invalid(path, "This is not an id.")
	}
	found, err := r.nodeOf(ctx, kind, path, id)
	if apperr.CodeOf(err) == apperr.NotFound {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return found, nil
}

func (r *Resolver) nodeOf(ctx context.Context, kind typeid.Kind, path, id string) (model.Node, error) {
	switch kind {
	case typeid.Reservation, typeid.Payment, typeid.Ticket:
		return r.ownNode(ctx, kind, path, id)
	case typeid.Movie, typeid.Theater, typeid.Screen, typeid.Showtime, typeid.Genre, typeid.Seat, typeid.SeatLayout, typeid.User:
		return r.publicNode(ctx, kind, path, id)
	case typeid.AuditEntry, typeid.Account, typeid.Mismatch, typeid.Reconciliation, typeid.WebhookEvent, typeid.Job:
		return r.officeNode(ctx, kind, path, id)
	case typeid.Review:
		return r.reviewNode(ctx, path, id)
	default:
		return nil, apperr.Invalid(path, "No kind of thing has ids that start with this.")
	}
}

// publicNode returns a thing that everybody may see, and a user to themselves.
func (r *Resolver) publicNode(ctx context.Context, kind typeid.Kind, path, id string) (model.Node, error) {
	key, err := decodeID(kind, path, id)
	if err != nil {
		return nil, err
	}
	load := loader.From(ctx)
	switch kind {
	case typeid.Movie:
		return load.Movie.Load(ctx, key)
	case typeid.Theater:
		return load.Theater.Load(ctx, key)
	case typeid.Screen:
		return load.Screen.Load(ctx, key)
	case typeid.Showtime:
		return load.Showtime.Load(ctx, key)
	case typeid.Genre:
		return load.Genre.Load(ctx, key)
	case typeid.Seat:
		return load.Seat.Load(ctx, key)
	case typeid.SeatLayout:
		return r.Services.Theater.Layout(ctx, key)
	default:
		if viewer, ok := auth.ViewerFrom(ctx); !ok || viewer.UserID != key {
			return nil, apperr.Missing("user")
		}
		return r.Services.Identity.User(ctx, key)
	}
}

// reviewNode returns a review to whom it is shown.
func (r *Resolver) reviewNode(ctx context.Context, path, id string) (model.Node, error) {
	key, err := decodeID(typeid.Review, path, id)
	if err != nil {
		return nil, err
	}
	viewer, _ := auth.ViewerFrom(ctx)
	return r.Services.Review.Review(ctx, viewer, key)
}

// officeNode returns a thing to those whose work it is; to others there is none.
func (r *Resolver) officeNode(ctx context.Context, kind typeid.Kind, path, id string) (model.Node, error) {
	key, err := decodeID(kind, path, id)
	if err != nil {
		return nil, err
	}
	var role auth.Role
	switch kind {
	case typeid.Account:
		role = auth.RoleSupport
	case typeid.Mismatch, typeid.Reconciliation, typeid.WebhookEvent:
		role = auth.RoleFinance
	default:
		role = auth.RoleAdmin
	}
	viewer, err := auth.Require(ctx, role)
	if err != nil {
		return nil, apperr.Missing("thing")
	}
	switch kind {
	case typeid.Account:
		return r.Services.Identity.Account(ctx, viewer, key)
	case typeid.Mismatch:
		return r.Services.Reconciliation.Mismatch(ctx, viewer, key)
	case typeid.Reconciliation:
		return r.Services.Reconciliation.Run(ctx, viewer, key)
	case typeid.WebhookEvent:
		return r.Services.Webhooks.Event(ctx, key)
	case typeid.Job:
		return r.Services.Jobs.Job(ctx, jobs.Number(key))
	default:
		return r.Services.Audit.Entry(ctx, key)
	}
}

// ownNode returns a thing that only its owner may see.
func (r *Resolver) ownNode(ctx context.Context, kind typeid.Kind, path, id string) (model.Node, error) {
	showtimeID, key, err := decodeIDIn(kind, path, id)
	if err != nil {
		return nil, err
	}
	viewer, ok := auth.ViewerFrom(ctx)
	if !ok {
		return nil, apperr.Missing("thing")
	}
	switch kind {
	case typeid.Reservation:
		return r.Services.Booking.Reservation(ctx, viewer, showtimeID, key)
	case typeid.Ticket:
		return r.Services.Booking.Ticket(ctx, viewer, showtimeID, key)
	default:
		found, ok, err := r.Services.Payment.PaymentOfViewer(ctx, viewer.UserID, payment.Reference{ShowtimeID: showtimeID, ID: key})
		if err == nil && !ok {
			err = apperr.Missing("payment")
		}
		return found, err
	}
}

// nodes returns what node returns for each id. What the loaders read is asked for at once, so that they batch it; what
// has a statement of its own is read one after the other, so that a long list never takes many connections.
func (r *Resolver) nodes(ctx context.Context, ids []string) ([]model.Node, error) {
	found := make([]model.Node, len(ids))
	errs := make([]error, len(ids))
	panics := make([]any, len(ids))
	read := func(i int) {
		defer func() { panics[i] = recover() }()
		found[i], errs[i] = r.node(ctx, fmt.Sprintf("ids.%d", i), ids[i])
	}
	var single []int
	var wait sync.WaitGroup
	for i, id := range ids {
		switch kind, _ := typeid.KindOf(id); kind {
		case typeid.Reservation, typeid.Payment, typeid.Ticket, typeid.SeatLayout, typeid.User, typeid.Account, typeid.AuditEntry, typeid.Review,
			typeid.Mismatch, typeid.Reconciliation, typeid.WebhookEvent, typeid.Job:
			single = append(single, i)
		default:
			wait.Go(func() { read(i) })
		}
	}
	for _, i := range single {
		read(i)
	}
	wait.Wait()
	for _, panicked := range panics {
		if panicked != nil {
			// The executor masks a panic of the resolver's own goroutine; one of these would end the program.
			panic(panicked)
		}
	}
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	return found, nil
}
