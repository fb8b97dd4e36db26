package ratelimit

// NewSized returns a Limiter that remembers so many accounts in each of its shards.
var NewSized = newSized

// Accounts returns how many accounts are remembered.
func (l *Limiter) Accounts() (n int) {
	for i := range l.shards {
		l.shards[i].mu.Lock()
		n += len(l.shards[i].accounts)
		l.shards[i].mu.Unlock()
	}
	return n
}
