package reconciliation

import (
	"cmp"

	"github.com/google/uuid"

	"marquee/internal/money"
	"marquee/internal/payment"
)

// Kind is how the books of a gateway and ours disagree about a charge.
type Kind string

// The kinds.
const (
	UnknownCharge     Kind = "UNKNOWN_CHARGE"      // the gateway has money that we know nothing of
	Unsettled         Kind = "UNSETTLED"           // the gateway has decided, and nobody has acted on it
	LateCapture       Kind = "LATE_CAPTURE"        // the gateway took money of an attempt that had been declined or let go
	AuthorizationLeft Kind = "AUTHORIZATION_LEFT"  // funds are still reserved for such an attempt
	NotCaptured       Kind = "NOT_CAPTURED"        // we have money that the gateway did not take
	AmountDiffers     Kind = "AMOUNT_DIFFERS"      // the gateway took another amount
	CurrencyDiffers   Kind = "CURRENCY_DIFFERS"    // the gateway took another currency
	RefundNotRecorded Kind = "REFUND_NOT_RECORDED" // more went back at the gateway than we know of
	RefundNotGiven    Kind = "REFUND_NOT_GIVEN"    // less went back at the gateway than we say
)

// IsHealed reports whether the program brings such a mismatch to its end by itself; somebody has to look at the others.
func (k Kind) IsHealed() bool { return k == Unsettled || k == LateCapture || k == AuthorizationLeft }

// Account is what we know of a charge. Accounts can be compared.
type Account struct {
	Attempt  payment.Reference
	Payment  uuid.UUID
	Theater  uuid.UUID
	Gateway  string
	Status   payment.AttemptStatus
	Amount   money.Money // taken, or to be taken
	Price    int64       // in minor units: what the gateway was asked to take
	Returned int64       // in minor units: what went back the way it came, also by hand
	OnTheWay int64       // what is to go back that way
	Busy     bool        // somebody drives it, or has until a moment ago
}

// Finding is one mismatch.
type Finding struct {
	Kind   Kind
	Ours   money.Money // that was taken, or went back, as we have it
	Theirs money.Money // the same as the gateway has it
}

// Compare returns how an account of ours, nil where there is none, and a charge of the gateway, nil where it knows none, disagree.
// What is on its way, so that both will agree by themselves, is no mismatch.
func Compare(ours *Account, theirs *payment.Charge) []Finding {
	switch {
	case ours == nil && theirs == nil:
		return nil
	case ours == nil:
		return unknown(*theirs)
	case theirs == nil:
		theirs = &payment.Charge{Status: payment.ChargeVoided} // it has nothing
	}
	if theirs.Captured.Currency == "" {
		theirs = new(*theirs)
		theirs.Captured.Currency, theirs.Refunded.Currency = ours.Amount.Currency, ours.Amount.Currency
	}
	find := func(kind Kind) []Finding { return []Finding{{kind, ours.Amount, theirs.Captured}} }
	nothing := money.Money{Currency: ours.Amount.Currency}
	captured := theirs.Status == payment.ChargeCaptured
	if captured && theirs.Captured.Currency != ours.Amount.Currency {
		return find(CurrencyDiffers)
	}
	switch ours.Status {
	case payment.AttemptStarted:
		if !theirs.Status.Pending() && theirs.Reference != "" {
			return []Finding{{Unsettled, nothing, theirs.Captured}}
		}
	case payment.AttemptAuthorized, payment.AttemptVoidPending:
		if theirs.Status != payment.ChargeAuthorized && !theirs.Status.Pending() {
			return []Finding{{Unsettled, nothing, theirs.Captured}}
		}
	case payment.AttemptDeclined, payment.AttemptVoided:
		switch {
		case captured:
			return []Finding{{LateCapture, nothing, theirs.Captured}}
		case theirs.Status == payment.ChargeAuthorized:
			return []Finding{{AuthorizationLeft, nothing, theirs.Captured}}
		}
	case payment.AttemptCaptured, payment.AttemptRefundPending, payment.AttemptRefunded:
		switch {
		case !captured && ours.Amount.AmountMinor > 0:
			return find(NotCaptured)
		case captured:
			return moved(*ours, *theirs)
		}
	case payment.AttemptOffered: // the customer has minutes to answer
	case payment.AttemptCarried: // the money is that of another attempt
	}
	return nil
}

// unknown judges a charge of which we know nothing: money that has gone back is nobody's concern any more.
func unknown(theirs payment.Charge) []Finding {
	const none = "XXX" // of ISO 4217
	left := money.Money{AmountMinor: theirs.Captured.AmountMinor - theirs.Refunded.AmountMinor, Currency: cmp.Or(theirs.Captured.Currency, none)}
	if theirs.Status == payment.ChargeAuthorized || left.AmountMinor > 0 {
		return []Finding{{UnknownCharge, money.Money{Currency: left.Currency}, left}}
	}
	return nil
}

// moved compares amounts of one currency that were taken, and that went back.
func moved(ours Account, theirs payment.Charge) (found []Finding) {
	asked := ours.Amount
	if theirs.Captured == ours.Amount {
		asked.AmountMinor = ours.Price // of what was taken instead, and goes back, somebody has to know
	}
	if theirs.Captured != asked {
		found = append(found, Finding{AmountDiffers, asked, theirs.Captured})
	}
	returned := money.Money{AmountMinor: ours.Returned, Currency: ours.Amount.Currency}
	switch back := theirs.Refunded.AmountMinor; {
	case back > ours.Returned+ours.OnTheWay:
		found = append(found, Finding{RefundNotRecorded, returned, theirs.Refunded})
	case back < ours.Returned:
		found = append(found, Finding{RefundNotGiven, returned, theirs.Refunded})
	}
	return found
}
