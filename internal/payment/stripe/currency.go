package stripe

import (
	"fmt"
	"math"
	"slices"
	"strings"

	sdk "github.com/stripe/stripe-go/v85"

	"marquee/internal/money"
	"marquee/internal/payment"
)

// currencies are those that Stripe charges in.
var currencies = strings.Fields(`AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BHD BIF BMD BND BOB BRL BSD BWP BYN BZD CAD CDF
	CHF CLP CNY COP CRC CVE CZK DJF DKK DOP DZD EGP ETB EUR FJD FKP GBP GEL GIP GMD GNF GTQ GYD HKD HNL HTG HUF IDR ILS INR ISK JMD JOD
	JPY KES KGS KHR KMF KRW KWD KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD
	OMR PAB PEN PGK PHP PKR PLN PYG QAR RON RSD RWF SAR SBD SCR SEK SGD SHP SLE SOS SRD SZL THB TJS TND TOP TRY TTD TWD TZS UAH UGX USD
	UYU UZS VND VUV WST XAF XCD XOF XPF YER ZAR ZMW`)

// The decimals of currencies at Stripe where they are not two. They differ from ISO 4217 in places: the krona of Iceland and
// the shilling of Uganda are written with two, as they were before they lost them.
var (
	whole     = strings.Fields("BIF CLP DJF GNF JPY KMF KRW MGA PYG RWF VND VUV XAF XOF XPF")
	thousands = strings.Fields("BHD JOD KWD OMR TND")
)

func digits(currency string) int {
	switch {
	case slices.Contains(whole, currency):
		return 0
	case slices.Contains(thousands, currency):
		return 3
	default:
		return 2
	}
}

const ten = 10

// factor returns by how much an amount in our minor units is multiplied, and then divided, to be in Stripe's.
func factor(currency string) (up, down int64) {
	up, down = 1, 1
	for n := money.Digits(currency); n < digits(currency); n++ {
		up *= ten
	}
	for n := digits(currency); n < money.Digits(currency); n++ {
		down *= ten
	}
	return up, down
}

// toStripe returns an amount as Stripe writes it. ErrRefused for one that is not positive, of a currency that Stripe does not
// take, or finer than Stripe's cards know: thousandths come in tens.
func toStripe(amount money.Money) (int64, error) {
	minor, code := amount.AmountMinor, amount.Currency
	up, down := factor(code)
	wrong := !slices.Contains(currencies, code) || minor <= 0 || minor > math.MaxInt64/up || minor%down != 0 ||
		slices.Contains(thousands, code) && minor%ten != 0
	if wrong {
		return 0, fmt.Errorf("%w: the amount %d %s", payment.ErrRefused, minor, code)
	}
	return minor * up / down, nil
}

// fromStripe returns an amount that Stripe wrote.
func fromStripe(minor int64, currency sdk.Currency) (money.Money, error) {
	code := strings.ToUpper(string(currency))
	up, down := factor(code)
	if minor%up != 0 || minor > math.MaxInt64/down {
		return money.Money{}, fmt.Errorf("%w: %d %s", errUnreadable, minor, code)
	}
	return money.New(minor/up*down, code)
}

// lower returns a currency as Stripe spells it.
func lower(currency string) string { return strings.ToLower(currency) }
