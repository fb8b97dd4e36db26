package identity

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"strings"

	"github.com/google/uuid"
)

// A refresh token names its session and how often the session was renewed before, and carries a seal that takes the
// installation's secret and the session's salt to make. So nothing that could be replayed lies in the database, the
// tokens of a session are in an order, and whoever renews twice with the same token is given the same successor.
//
//	mqr_ base64url( session 16 | count 4 | seal 32 )
const (
	refreshPrefix = "mqr_" // makes a leaked token recognisable to scanners
	sealAt        = 16 + 4
	refreshBytes  = sealAt + sha256.Size
	saltOfSession = 16
)

// refreshToken is what a token says before its seal is checked.
type refreshToken struct {
	session uuid.UUID
	count   uint32
	seal    []byte
}

func (s *Service) makeRefreshToken(session uuid.UUID, salt []byte, count uint32) string {
	body := binary.BigEndian.AppendUint32(append(make([]byte, 0, refreshBytes), session[:]...), count)
	return refreshPrefix + base64.RawURLEncoding.EncodeToString(append(body, s.seal(body, salt)...))
}

func (s *Service) seal(body, salt []byte) []byte {
	mac := hmac.New(sha256.New, s.refreshKey)
	mac.Write(salt)
	mac.Write(body)
	return mac.Sum(nil)
}

// readRefreshToken takes a token apart; ok is false when it cannot be one.
func readRefreshToken(token string) (t refreshToken, ok bool) {
	text, found := strings.CutPrefix(token, refreshPrefix)
	if !found || len(text) != base64.RawURLEncoding.EncodedLen(refreshBytes) {
		return t, false
	}
	body, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil {
		return t, false
	}
	return refreshToken{session: uuid.UUID(body[:16]), count: binary.BigEndian.Uint32(body[16:sealAt]), seal: body[sealAt:]}, true
}

// sealed reports whether the token is one that was made for the session with the salt.
func (s *Service) sealed(t refreshToken, salt []byte) bool {
	return hmac.Equal(t.seal, s.seal(binary.BigEndian.AppendUint32(append([]byte(nil), t.session[:]...), t.count), salt))
}
