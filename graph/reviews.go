package graph

import (
	"fmt"

	"marquee/graph/model"
	"marquee/internal/page"
	"marquee/internal/review"
	"marquee/internal/typeid"
)

// reviewContent decodes what a review is to say.
func reviewContent(rating int32, text *string, aspects *review.Aspects, spoiler, showName bool) review.Content {
	content := review.Content{Rating: rating, Text: text, Spoiler: spoiler, Named: showName}
	if aspects != nil {
		content.Aspects = *aspects
	}
	return content
}

func (r *Resolver) reviewConnection(order string, p page.Page[review.Review], key func(review.Review) []string) *model.ReviewConnection {
	edges, info := connect(r.Cursors, order, p, key)
	return &model.ReviewConnection{
		Edges:    mapped(edges, func(e edge[review.Review]) model.ReviewEdge { return model.ReviewEdge{Cursor: e.cursor, Node: e.node} }),
		Nodes:    p.Items,
		PageInfo: info,
	}
}

// writeReviewResult encodes what became of a review that was to be written.
func writeReviewResult(result review.WriteResult) (model.WriteReviewResult, error) {
	switch r := result.(type) {
	case review.Written:
		return model.WriteReviewPayload{Review: r.Review}, nil
	case review.TicketRequired:
		return model.TicketRequired{
			Code: model.UserErrorCodeTicketRequired, Message: "Only who has seen the movie here can review it.",
		}, nil
	case review.AlreadyReviewed:
		return model.AlreadyReviewed{
			Code: model.UserErrorCodeAlreadyReviewed, Message: "You have reviewed this movie already. Edit that review.", Review: r.Review,
		}, nil
	default:
		return nil, fmt.Errorf("graph: no answer for %T", result)
	}
}

// deleteReviewResult encodes what became of a review that was to be deleted.
func deleteReviewResult(result review.DeleteResult) (model.DeleteReviewResult, error) {
	switch r := result.(type) {
	case review.Deleted:
		return model.DeleteReviewPayload{ReviewID: typeid.Encode(typeid.Review, r.ReviewID)}, nil
	case review.Hidden:
		return model.ReviewHidden{
			Code: model.UserErrorCodeReviewHidden, Message: "Moderators have hidden this review. It cannot be deleted; edit it.", HiddenFor: r.Fault,
		}, nil
	case review.Reported:
		return model.ReviewReported{
			Code:    model.UserErrorCodeReviewReported,
			Message: "This review was reported. It cannot be deleted until moderators have looked; you can edit it.",
		}, nil
	default:
		return nil, fmt.Errorf("graph: no answer for %T", result)
	}
}
