package razorpay

import (
	"slices"
	"strings"

	"marquee/internal/money"
)

// currencies are those that Razorpay lists and whose minor units are known to be ours: two decimals, but for the yen and the
// three dinars and rials, of which its documentation gives examples. Others that it lists are left out, since it does not
// say how many decimals they have, and CLDR and ISO 4217 disagree.
var currencies = strings.Fields(`AED AUD AWG BBD BDT BHD BMD BND BOB BSD BWP BZD CAD CHF CNY DKK DOP DZD EGP ETB EUR FJD GBP GHS GIP
	GMD GTQ HKD HNL HTG ILS INR JMD JPY KES KGS KHR KWD KYD KZT LKR LRD LSL MAD MDL MOP MVR MWK MXN MYR NAD NGN NIO NPR NZD OMR PEN
	PGK PHP QAR RUB SAR SCR SGD SVC SZL THB TTD USD ZAR`)

// takes reports whether Razorpay moves an amount. Of currencies with three decimals the last has to be 0: banks round it.
func takes(amount money.Money) bool {
	const thousandths, ten = 3, 10
	return amount.AmountMinor > 0 && slices.Contains(currencies, amount.Currency) &&
		(money.Digits(amount.Currency) < thousandths || amount.AmountMinor%ten == 0)
}
