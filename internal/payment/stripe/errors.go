package stripe

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	sdk "github.com/stripe/stripe-go/v85"

	"marquee/internal/payment"
)

// fault returns an error of the API in our terms, without the objects that Stripe puts into its own: they hold secrets of the
// customer. ErrRefused where Stripe says that the request itself is wrong; whatever else leaves open what has happened.
func fault(err error) error {
	if err == nil {
		return nil
	}
	if said := (*sdk.Error)(nil); errors.As(err, &said) {
		text := fmt.Sprintf("stripe: %s %s %s (status %d, request %s)", said.Type, said.Code, said.Param, said.HTTPStatusCode, said.RequestID)
		if said.HTTPStatusCode == http.StatusBadRequest && said.Type == sdk.ErrorTypeInvalidRequest {
			return fmt.Errorf("%w: %s", payment.ErrRefused, text)
		}
		return errors.New(text)
	}
	if broken := (*url.Error)(nil); errors.As(err, &broken) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("stripe: %w", err)
	}
	// Others quote the answer.
	return errors.New("stripe: the answer cannot be read")
}

// movedOn reports whether a call failed because its object stands otherwise, or because the idempotency key was used with
// other parameters: in both cases something else has happened before.
func movedOn(err error) bool {
	said := (*sdk.Error)(nil)
	return errors.As(err, &said) && (said.Type == sdk.ErrorTypeIdempotency || said.Code == sdk.ErrorCodePaymentIntentUnexpectedState)
}

// declinedFor returns our code of an error by which a card was declined.
func declinedFor(err error) (code string, declined bool) {
	said := (*sdk.Error)(nil)
	if !errors.As(err, &said) || said.Type != sdk.ErrorTypeCard {
		return "", false
	}
	return declineCode(said), true
}

// declineOf returns our code of an intent whose last card was declined, "" of any other.
func declineOf(intent *sdk.PaymentIntent) string {
	if code := intent.Metadata[declinedField]; code != "" {
		return code
	}
	if intent.LastPaymentError == nil {
		return ""
	}
	return declineCode(intent.LastPaymentError)
}

// guarded are the reasons that Stripe asks to keep from customers: who holds somebody else's card would learn from them.
var guarded = map[sdk.DeclineCode]bool{
	sdk.DeclineCodeFraudulent: true, sdk.DeclineCodeLostCard: true, sdk.DeclineCodeStolenCard: true,
	sdk.DeclineCodePickupCard: true, sdk.DeclineCodeMerchantBlacklist: true,
}

// declineCode returns the issuer's reason, else Stripe's own, in the words that all gateways share.
func declineCode(said *sdk.Error) string {
	switch {
	case guarded[said.DeclineCode]:
		return string(sdk.DeclineCodeGenericDecline)
	case said.Code == sdk.ErrorCodePaymentIntentAuthenticationFailure:
		return "authentication_failed"
	case said.DeclineCode != "":
		return string(said.DeclineCode)
	case said.Code != "":
		return string(said.Code)
	default:
		return string(sdk.DeclineCodeGenericDecline)
	}
}
