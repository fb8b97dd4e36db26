package server

import (
	"html/template"
	"net/http"

	"marquee/internal/money"
	"marquee/internal/payment"
	"marquee/internal/payment/sandbox"
	"marquee/internal/typeid"
)

// Charges returns the books: every charge, by key.
func (s *Server) Charges() []sandbox.Charge { return s.books.all() }

// Inject sets what goes wrong.
func (s *Server) Inject(f Fault) error { return s.faults.add(f) }

// Heal takes back what was set to go wrong.
func (s *Server) Heal() { s.faults.heal() }

// Resolve brings what is pending of a charge to its end, its refunds included: well or not.
func (s *Server) Resolve(key string, well bool) (sandbox.Charge, error) {
	return s.books.resolve(key, well)
}

// RefundByHand gives money of a charge back as somebody does at the dashboard.
func (s *Server) RefundByHand(key string, amountMinor int64, currency string) (sandbox.Refund, error) {
	in := sandbox.Amount{Key: "by hand " + typeid.New().String(), AmountMinor: amountMinor, Currency: currency}
	return s.books.refund(others, key, in, payment.RefundDone, "")
}

func (s *Server) showAll(w http.ResponseWriter, _ *http.Request) {
	answer(w, http.StatusOK, s.Charges())
}

func (s *Server) addFault(w http.ResponseWriter, r *http.Request) {
	var fault Fault
	if !decode(w, r, &fault) {
		return
	}
	if err := s.Inject(fault); err != nil {
		answer(w, http.StatusBadRequest, sandbox.Problem{Code: err.Error()})
		return
	}
	answer(w, http.StatusOK, fault)
}

func (s *Server) heal(w http.ResponseWriter, _ *http.Request) {
	s.Heal()
	w.WriteHeader(http.StatusNoContent)
}

func (s *Server) resolve(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Well bool `json:"well"`
	}
	if decode(w, r, &in) {
		charge, err := s.Resolve(r.PathValue("key"), in.Well)
		reply(w, charge, err)
	}
}

func (s *Server) dispute(w http.ResponseWriter, r *http.Request) {
	charge, err := s.books.dispute(r.PathValue("key"))
	reply(w, charge, err)
}

func (s *Server) refundByHand(w http.ResponseWriter, r *http.Request) {
	var in sandbox.Amount
	if decode(w, r, &in) {
		refund, err := s.RefundByHand(r.PathValue("key"), in.AmountMinor, in.Currency)
		reply(w, refund, err)
	}
}

// pagePath is where customers confirm charges: what follows is the secret of the charge's page.
const pagePath = "/confirm/"

var page = template.Must(template.New("page").Parse(`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Sandbox bank</title></head>
<body><main><h1>Sandbox bank</h1>
{{if .Asks}}<p>Do you pay {{.Amount}}? No money moves.</p>
<form method="post"><button name="answer" value="accept">Accept</button> <button name="answer" value="refuse">Refuse</button></form>
{{else}}<p>This payment is {{.Status}}. You can close this page.</p>{{end}}
</main></body></html>
`))

// page asks a customer whether a charge is right.
func (s *Server) page(w http.ResponseWriter, r *http.Request) {
	key, ok := s.books.keyOf(r.PathValue("page"))
	if !ok {
		http.NotFound(w, r)
		return
	}
	charge, err := s.books.lookup(key)
	if err != nil {
		http.Error(w, "The bank is closed.", http.StatusInternalServerError)
		return
	}
	header := w.Header()
	header.Set("Content-Type", "text/html; charset=utf-8")
	header.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	header.Set("Cache-Control", "no-store")
	header.Set("Referrer-Policy", "no-referrer")
	_ = page.Execute(w, map[string]any{ // a customer who has gone sees nothing
		"Asks": charge.Status == payment.ChargeRequiresAction, "Status": charge.Status, "Amount": money.Money{AmountMinor: charge.AmountMinor, Currency: charge.Currency}.Formatted(),
	})
}

// confirm takes a customer's answer, and sends them back to where they came from.
func (s *Server) confirm(w http.ResponseWriter, r *http.Request) {
	key, ok := s.books.keyOf(r.PathValue("page"))
	if !ok {
		http.NotFound(w, r)
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	said := r.PostFormValue("answer")
	if said != "accept" && said != "refuse" {
		http.Error(w, "Accept or refuse.", http.StatusBadRequest)
		return
	}
	charge, err := s.books.confirm(key, said == "accept")
	if err != nil {
		http.Error(w, "The bank is closed.", http.StatusInternalServerError)
		return
	}
	if charge.ReturnURL == "" {
		s.page(w, r)
		return
	}
	http.Redirect(w, r, charge.ReturnURL, http.StatusSeeOther)
}
