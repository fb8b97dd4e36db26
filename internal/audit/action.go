package audit

// Action is what was done: a thing, a dot, and what happened to it.
type Action string

// The actions. Meaning says when each is recorded.
const (
	AccountCreated       Action = "account.created"
	RoleGranted          Action = "role.granted"
	RoleRevoked          Action = "role.revoked"
	AccountDisabled      Action = "account.disabled"
	AccountEnabled       Action = "account.enabled"
	PasswordChanged      Action = "account.password_changed"
	ProfileChanged       Action = "account.profile_changed"
	AccountErased        Action = "account.erased"
	DataExported         Action = "account.data_exported"
	AccountRecovered     Action = "account.recovered"
	AddressVerified      Action = "account.address_verified"
	EmailChangeAsked     Action = "account.email_change_asked"
	EmailChangeConfirmed Action = "account.email_change_confirmed"
	EmailChangeEnded     Action = "account.email_change_ended"
	EmailChanged         Action = "account.email_changed"
	SignInFailed         Action = "sign_in.failed"
	ProofFailed          Action = "proof.failed"
	SessionStarted       Action = "session.started"
	SessionEnded         Action = "session.ended"
	SessionTokenReused   Action = "session.token_reused"
	FactorAdded          Action = "factor.added"
	FactorRemoved        Action = "factor.removed"
	RecoveryCodesMade    Action = "recovery_codes.made"
	RecoveryCodeUsed     Action = "recovery_code.used"
	ProviderLinked       Action = "provider.linked"
	ProviderUnlinked     Action = "provider.unlinked"
	SeatRulesSet         Action = "seat_rules.set"
	SeatRuleOverridden   Action = "seat_rule.overridden"
	PriceRuleCreated     Action = "price_rule.created"
	PriceRuleChanged     Action = "price_rule.changed"
	PriceRuleDeleted     Action = "price_rule.deleted"
	ShowtimeCreated      Action = "showtime.created"
	ShowtimeChanged      Action = "showtime.changed"
	PromotionCreated     Action = "promotion.created"
	PromotionChanged     Action = "promotion.changed"
	ReviewHidden         Action = "review.hidden"
	ReviewShown          Action = "review.shown"
	PayLaterPolicySet    Action = "pay_later_policy.set"
	CounterSold          Action = "counter.sold"
	CounterPaid          Action = "counter.paid"
	CounterPaidOut       Action = "counter.paid_out"
	RefundPolicySet      Action = "refund_policy.set"
	TheaterGatewaysSet   Action = "theater_gateways.set"
	ReservationRefunded  Action = "reservation.refunded"
	RefundDecided        Action = "refund.decided"
	PaymentDisputed      Action = "payment.disputed"
	WebhookReplayed      Action = "webhook.replayed"
	StoreCreditAdjusted  Action = "store_credit.adjusted"
	MismatchAssigned     Action = "mismatch.assigned"
	MismatchResolved     Action = "mismatch.resolved"
	PaymentsReconciled   Action = "payments.reconciled"
	JobRetried           Action = "job.retried"
	JobCancelled         Action = "job.cancelled"
	PaymentRecovered     Action = "payment.recovered"
)

// Meaning says in a sentence when an action is recorded; "" for one that is not listed here.
func (a Action) Meaning() string {
	switch a {
	case AccountCreated:
		return "An account was made, by its owner or from the command line."
	case RoleGranted:
		return "A user was granted a role, at a theater or on the platform."
	case RoleRevoked:
		return "A role was taken away from a user."
	case AccountDisabled:
		return "An account was shut and its sessions were ended."
	case AccountEnabled:
		return "A disabled account was opened again."
	case PasswordChanged:
		return "An account was given another password."
	case ProfileChanged:
		return "The owner of an account changed name or profile; it says which fields, never their values."
	case AccountErased:
		return "An account was erased: by its owner, by an administrator for the reason given, or again after a restore."
	case DataExported:
		return "The owner of an account took everything that is kept about them."
	case AccountRecovered:
		return "An account was given another password by somebody who reads its mails, and all its sessions were ended."
	case AddressVerified:
		return "Somebody who reads the mails to the address of an account proved it to be theirs."
	case EmailChangeAsked:
		return "The owner of an account asked for another address, which both addresses have to confirm."
	case EmailChangeConfirmed:
		return "One of the two addresses of a change confirmed it."
	case EmailChangeEnded:
		return "A change of an account's address was cancelled, replaced or withdrawn, or came to nothing; it says how."
	case EmailChanged:
		return "An account was given another address, which both addresses have confirmed, one of them perhaps by silence."
	case SignInFailed:
		return "Somebody tried to sign in and could not; without a subject where no account has the address or the username."
	case ProofFailed:
		return "Somebody signed in failed to prove again who they are, with a wrong password or code."
	case SessionStarted:
		return "Somebody signed in."
	case SessionEnded:
		return "A session was ended: signed out by its owner, or ended because of something else that was recorded with it."
	case SessionTokenReused:
		return "A refresh token was used again long after it was renewed, so two hold it; the session was ended."
	case FactorAdded:
		return "A second factor was enrolled: by the account's owner, or by the demo world for an account of its own."
	case FactorRemoved:
		return "A second factor was removed by the account's owner."
	case RecoveryCodesMade:
		return "An account was given other recovery codes; those of before are worthless."
	case RecoveryCodeUsed:
		return "A recovery code stood in for a second factor, and is worthless."
	case ProviderLinked:
		return "Somebody of an OpenID provider became able to sign in to an account, made for them or theirs before."
	case SeatRulesSet:
		return "A theater was given other rules for selections of seats."
	case SeatRuleOverridden:
		return "Staff held seats against a rule of their theater; it says which seats they left alone or took from those they are kept for."
	case ProviderUnlinked:
		return "Somebody of an OpenID provider is no longer able to sign in to an account."
	case PriceRuleCreated:
		return "The prices of a theater were given another rule."
	case PriceRuleChanged:
		return "A rule of the prices of a theater was changed, switched off or on."
	case PriceRuleDeleted:
		return "A rule of the prices of a theater was deleted."
	case ShowtimeCreated:
		return "A showtime was published on a screen of a theater and put on sale."
	case ShowtimeChanged:
		return "A showtime was changed: what is shown or when, while nothing was reserved; its prices, or when it is on sale."
	case PromotionCreated:
		return "A theater was given another promotion code."
	case PromotionChanged:
		return "A promotion code of a theater was changed, switched off or on."
	case PaymentRecovered:
		return "Money came when the hold it was for had run out: the seats were taken again, others were offered, accepted or declined, or it goes back; it says which."
	case ReviewHidden:
		return "A moderator hid a review, for the fault that it says, and settled what was reported of it."
	case ReviewShown:
		return "A moderator showed a hidden review again, or left it as it was though it was reported or edited."
	case CounterSold:
		return "Staff sold seats at the counter and took the money for them; it says how much, and how."
	case CounterPaid:
		return "Staff took the price of somebody's reservation at the counter; it says how much, and how."
	case CounterPaidOut:
		return "Staff paid out at the counter what was due back of a reservation that was paid there, cancelling it perhaps; it says how much, and how."
	case RefundPolicySet:
		return "A theater was told what to give back to customers who cancel."
	case TheaterGatewaysSet:
		return "A theater was told at which gateways its payments in a currency are begun; empty: at those of the installation."
	case ReservationRefunded:
		return "Staff cancelled a reservation, or some of its seats, for its customer or gave back money that had been kept; it says how much, and the reason given."
	case StoreCreditAdjusted:
		return "Store credit was granted to a customer, or taken back; it says how much, what is left, and the reason given."
	case RefundDecided:
		return "Somebody decided how money goes back that the gateway could not give back; it says how much, where to, and the reason given."
	case PaymentDisputed:
		return "A gateway told that a customer contests a payment at their bank."
	case WebhookReplayed:
		return "Somebody who looks after money had an event acted on once more that a gateway told of; it says where it stood."
	case MismatchAssigned:
		return "A mismatch between the books of a gateway and ours was given to somebody who looks after money, or taken from them."
	case MismatchResolved:
		return "Somebody who looks after money settled a mismatch between the books of a gateway and ours; the note says how."
	case PaymentsReconciled:
		return "Somebody who looks after money had the books of a gateway compared with ours; it says what came of it."
	case JobRetried:
		return "An administrator had a job of the program done at once; it says which kind, and how often it had been tried."
	case JobCancelled:
		return "An administrator cancelled a job of the program; it says which kind."
	case PayLaterPolicySet:
		return "A theater was told on which terms its customers may reserve without payment, or that they may not."
	default:
		return ""
	}
}
