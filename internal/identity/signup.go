package identity

import (
	"context"
	"database/sql"
	"fmt"

	"marquee/internal/notify"
)

// RequestSignUp sends a letter to an address for which somebody wants an account: a link that makes one, or, if there is
// one, word of that. Nothing in the answer or its time says which: it is looked up later. BAD_USER_INPUT, THROTTLED.
func (s *Service) RequestSignUp(ctx context.Context, email string, device Device) error {
	return s.requestMail(ctx, notify.SignUpRequested, email, device)
}

// ConfirmSignUp makes a customer's account of the address that the token of a mail was sent to, which it proves, and signs
// it in; the address of the input is not read. A refusal leaves the token as it was. ErrLinkExpired, ErrEmailTaken when
// the address has got an account meanwhile, ErrUsernameTaken, BAD_USER_INPUT, THROTTLED.
func (s *Service) ConfirmSignUp(ctx context.Context, token string, in SignUpInput, device Device) (Tokens, error) {
	given, err := s.peek(ctx, s.db.SQL(), purposeSignUp, token)
	if err != nil {
		return Tokens{}, err
	}
	in.Email = given.email
	account, err := s.prepare(ctx, in)
	if err != nil {
		return Tokens{}, err
	}
	account.EmailVerified = true
	err = s.db.InTx(ctx, func(tx *sql.Tx) error {
		if _, err := s.spendTx(ctx, tx, purposeSignUp, token); err != nil {
			return err
		}
		return s.createTx(ctx, tx, account)
	})
	if err != nil {
		return Tokens{}, fmt.Errorf("signing up: %w", err)
	}
	return s.admit(ctx, account.User, device, ProofMail, ProofPassword)
}
