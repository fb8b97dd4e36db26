package identity

// HashCheaply returns the hash of a password that costs a few milliseconds, and makes unknown accounts cost as much.
func (s *Service) HashCheaply(password string) string {
	cheap := hashParams{memoryKiB: 2 * 1024, passes: 1, lanes: 1}
	s.decoy = cheap.hash("nobody's")
	return cheap.hash(password)
}
