package reconciliation_test

import (
	"slices"
	"testing"

	"marquee/internal/money"
	"marquee/internal/payment"
	"marquee/internal/reconciliation"
)

func nzd(minor int64) money.Money { return money.Money{AmountMinor: minor, Currency: "NZD"} }

func TestCompare(t *testing.T) {
	t.Parallel()
	ours := func(status payment.AttemptStatus, returned, onTheWay int64) *reconciliation.Account {
		return &reconciliation.Account{Status: status, Amount: nzd(1200), Price: 1200, Returned: returned, OnTheWay: onTheWay}
	}
	theirs := func(status payment.ChargeStatus) *payment.Charge {
		return &payment.Charge{Reference: "ref", Status: status}
	}
	took := func(captured, refunded money.Money) *payment.Charge {
		return &payment.Charge{Reference: "ref", Status: payment.ChargeCaptured, Captured: captured, Refunded: refunded}
	}
	for name, test := range map[string]struct {
		ours   *reconciliation.Account
		theirs *payment.Charge
		want   []reconciliation.Kind
	}{
		"nobody_knows":                         {},
		"money_of_nobody":                      {nil, took(nzd(1200), nzd(200)), []reconciliation.Kind{reconciliation.UnknownCharge}},
		"funds_of_nobody":                      {nil, theirs(payment.ChargeAuthorized), []reconciliation.Kind{reconciliation.UnknownCharge}},
		"money_of_nobody_went_back":            {nil, took(nzd(1200), nzd(1200)), nil},
		"nobody_was_declined":                  {nil, theirs(payment.ChargeDeclined), nil},
		"started_and_unheard_of":               {ours(payment.AttemptStarted, 0, 0), nil, nil},
		"started_and_waiting":                  {ours(payment.AttemptStarted, 0, 0), theirs(payment.ChargeProcessing), nil},
		"started_and_authorized":               {ours(payment.AttemptStarted, 0, 0), theirs(payment.ChargeAuthorized), []reconciliation.Kind{reconciliation.Unsettled}},
		"started_and_captured":                 {ours(payment.AttemptStarted, 0, 0), took(nzd(1200), nzd(0)), []reconciliation.Kind{reconciliation.Unsettled}},
		"authorized_on_both_sides":             {ours(payment.AttemptAuthorized, 0, 0), theirs(payment.ChargeAuthorized), nil},
		"authorized_and_lapsed":                {ours(payment.AttemptAuthorized, 0, 0), theirs(payment.ChargeVoided), []reconciliation.Kind{reconciliation.Unsettled}},
		"to_be_voided_and_captured":            {ours(payment.AttemptVoidPending, 0, 0), took(nzd(1200), nzd(0)), []reconciliation.Kind{reconciliation.Unsettled}},
		"declined_on_both_sides":               {ours(payment.AttemptDeclined, 0, 0), theirs(payment.ChargeDeclined), nil},
		"declined_and_authorized":              {ours(payment.AttemptDeclined, 0, 0), theirs(payment.ChargeAuthorized), []reconciliation.Kind{reconciliation.AuthorizationLeft}},
		"voided_and_captured":                  {ours(payment.AttemptVoided, 0, 0), took(nzd(1200), nzd(0)), []reconciliation.Kind{reconciliation.LateCapture}},
		"voided_and_captured_in_another":       {ours(payment.AttemptVoided, 0, 0), took(money.Money{AmountMinor: 1200, Currency: "AUD"}, money.Money{Currency: "AUD"}), []reconciliation.Kind{reconciliation.CurrencyDiffers}},
		"captured_on_both_sides":               {ours(payment.AttemptCaptured, 0, 0), took(nzd(1200), nzd(0)), nil},
		"captured_and_unheard_of":              {ours(payment.AttemptCaptured, 0, 0), nil, []reconciliation.Kind{reconciliation.NotCaptured}},
		"captured_and_voided":                  {ours(payment.AttemptCaptured, 0, 0), theirs(payment.ChargeVoided), []reconciliation.Kind{reconciliation.NotCaptured}},
		"captured_otherwise":                   {ours(payment.AttemptCaptured, 0, 0), took(nzd(1100), nzd(0)), []reconciliation.Kind{reconciliation.AmountDiffers}},
		"captured_in_another_currency":         {ours(payment.AttemptCaptured, 0, 0), took(money.Money{AmountMinor: 1200, Currency: "AUD"}, money.Money{Currency: "AUD"}), []reconciliation.Kind{reconciliation.CurrencyDiffers}},
		"a_part_went_back":                     {ours(payment.AttemptCaptured, 200, 0), took(nzd(1200), nzd(200)), nil},
		"a_part_is_on_its_way":                 {ours(payment.AttemptCaptured, 0, 200), took(nzd(1200), nzd(0)), nil},
		"a_part_is_on_its_way_and_has_arrived": {ours(payment.AttemptCaptured, 0, 200), took(nzd(1200), nzd(200)), nil},
		"more_went_back":                       {ours(payment.AttemptCaptured, 100, 100), took(nzd(1200), nzd(201)), []reconciliation.Kind{reconciliation.RefundNotRecorded}},
		"less_went_back":                       {ours(payment.AttemptCaptured, 200, 100), took(nzd(1200), nzd(199)), []reconciliation.Kind{reconciliation.RefundNotGiven}},
		"another_amount_and_less_back":         {ours(payment.AttemptCaptured, 200, 0), took(nzd(1100), nzd(0)), []reconciliation.Kind{reconciliation.AmountDiffers, reconciliation.RefundNotGiven}},
		"less_was_taken_and_goes_back": {
			&reconciliation.Account{Status: payment.AttemptRefundPending, Amount: nzd(1100), Price: 1200, OnTheWay: 1100}, took(nzd(1100), nzd(0)),
			[]reconciliation.Kind{reconciliation.AmountDiffers},
		},
		"more_was_taken_and_went_back": {
			&reconciliation.Account{Status: payment.AttemptRefunded, Amount: nzd(1300), Price: 1200, Returned: 1300}, took(nzd(1300), nzd(1300)),
			[]reconciliation.Kind{reconciliation.AmountDiffers},
		},
		"all_goes_back": {ours(payment.AttemptRefundPending, 0, 1200), took(nzd(1200), nzd(0)), nil},
		"all_went_back": {ours(payment.AttemptRefunded, 1200, 0), took(nzd(1200), nzd(1200)), nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var got []reconciliation.Kind
			for _, finding := range reconciliation.Compare(test.ours, test.theirs) {
				got = append(got, finding.Kind)
				if finding.Ours.Currency == "" || finding.Theirs.Currency == "" {
					t.Errorf("%+v has no currency", finding)
				}
			}
			if !slices.Equal(got, test.want) {
				t.Errorf("%v, want %v", got, test.want)
			}
		})
	}
}
