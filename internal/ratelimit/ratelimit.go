// Package ratelimit decides whether a caller may have work done at this moment, by how much that work costs.
//
// Each caller has accounts that hold points and fill up again with time: one for the viewer, if anybody is signed in, and
// one for the network address; the stricter of the two rules. Purchases have accounts of their own, so that browsing,
// however heavy, never keeps anybody from buying, nor the other way round. What the points stand for is the caller's of
// this package to say; it knows no operation, no request and no code of an error.
//
// Invariants:
//   - Taking is all or nothing: what one account refuses is charged to none.
//   - An account never holds more than Burst of its rate, and work that is dearer than that needs a full account.
//   - Memory is bounded: beyond a fixed number of accounts the one that was used least recently is forgotten, that is,
//     full again. Who can call from that many addresses gains at most one burst for each.
//   - Only the time that passes counts, not what a clock is set to.
//
// Accounts belong to one process. A cluster of n nodes admits at most n times each rate: what a node does not know it
// cannot refuse, and asking the others would cost more than the work that is to be saved.
package ratelimit

import (
	"container/list"
	"hash/maphash"
	"math/bits"
	"sync"
	"time"

	"github.com/google/uuid"

	"marquee/internal/clock"
)

// Burst is how much of its rate an account can hold.
const Burst = 20 * time.Second

const (
	shardCount = 64 // one for each bit of a mask
	// defaultAccounts take some 30 MB when all are in use.
	defaultAccounts = 128 << 10
)

// Lane is a kind of work with accounts of its own.
type Lane uint8

// The lanes.
const (
	Browse Lane = iota
	Purchase
)

// Rate is how fast accounts fill up, in points a second. Where it is 0, nothing is counted.
type Rate struct{ Viewer, Address int }

// Rates are those of the lanes.
type Rates struct{ Browse, Purchase Rate }

// Caller is who has work done. What is zero has no account.
type Caller struct {
	Viewer  uuid.UUID
	Address string
}

// Standing is how the account stands that limits a caller most. It is zero for a caller whom nothing limits.
type Standing struct {
	Limit     int       // points that the account can hold; 0: nothing limits the caller
	Remaining int       // points that it holds
	PerSecond int       // points that it gains
	FullAt    time.Time // when it is full if nothing more is taken
}

// Limiter keeps the accounts. It is safe for concurrent use.
type Limiter struct {
	clock  clock.Clock
	epoch  time.Time
	rates  Rates
	seed   maphash.Seed
	shards [shardCount]shard
}

// New returns a Limiter that remembers some 130,000 accounts.
func New(c clock.Clock, rates Rates) *Limiter { return newSized(c, rates, defaultAccounts/shardCount) }

func newSized(c clock.Clock, rates Rates, accountsPerShard int) *Limiter {
	l := &Limiter{clock: c, epoch: c.Now(), rates: rates, seed: maphash.MakeSeed()}
	for i := range l.shards {
		l.shards[i] = shard{most: accountsPerShard, accounts: map[key]*list.Element{}}
	}
	return l
}

// Take charges a cost of 0 or more to the accounts of a caller and reports how they stand afterwards. It charges nothing
// when one of them holds too little: wait is then how long it takes until the same would be granted, and more than 0.
func (l *Limiter) Take(lane Lane, who Caller, cost int) (standing Standing, wait time.Duration) {
	charges, mask := l.charges(lane, who, cost)
	if mask == 0 {
		return Standing{}, 0
	}
	// Everybody locks in ascending order.
	for rest := mask; rest != 0; rest &= rest - 1 {
		l.shards[bits.TrailingZeros64(rest)].mu.Lock()
	}
	defer func() {
		for rest := mask; rest != 0; rest &= rest - 1 {
			l.shards[bits.TrailingZeros64(rest)].mu.Unlock()
		}
	}()

	now := l.clock.Now()
	elapsed := now.Sub(l.epoch)
	var accounts [len(charges)]*account
	for i, c := range charges {
		if c.rate == 0 {
			continue
		}
		accounts[i] = l.shards[c.shard].account(c.key)
		accounts[i].full = max(accounts[i].full, elapsed)
		wait = max(wait, accounts[i].full-elapsed+c.price-Burst)
	}
	for i, c := range charges {
		if c.rate == 0 {
			continue
		}
		if wait == 0 {
			accounts[i].full += c.price
		}
		if s := c.standing(accounts[i].full-elapsed, now); standing.Limit == 0 || s.Remaining < standing.Remaining {
			standing = s
		}
	}
	return standing, wait
}

// charge is what one account is asked for. A rate of 0 stands for no account.
type charge struct {
	key   key
	shard int
	rate  int
	price time.Duration // the time in which the account gains the cost
}

// charges returns what a cost means to the accounts of a caller, and the shards they lie in as a mask.
func (l *Limiter) charges(lane Lane, who Caller, cost int) (charges [2]charge, mask uint64) {
	rate := l.rates.Browse
	if lane == Purchase {
		rate = l.rates.Purchase
	}
	if who.Viewer != uuid.Nil {
		charges[0] = charge{key: key{lane: lane, viewer: who.Viewer}, rate: rate.Viewer}
	}
	if who.Address != "" {
		charges[1] = charge{key: key{lane: lane, address: who.Address}, rate: rate.Address}
	}
	for i := range charges {
		c := &charges[i]
		if c.rate <= 0 {
			c.rate = 0
			continue
		}
		c.shard = int(maphash.Comparable(l.seed, c.key) % shardCount)
		c.price = min(time.Duration(cost)*time.Second/time.Duration(c.rate), Burst)
		mask |= 1 << c.shard
	}
	return charges, mask
}

// standing describes an account that needs a time to be full.
func (c charge) standing(toFull time.Duration, now time.Time) Standing {
	return Standing{
		Limit:     c.points(Burst),
		Remaining: c.points(Burst - toFull),
		PerSecond: c.rate,
		FullAt:    now.Add(toFull),
	}
}

// points are what an account gains in a time of at most Burst, rounded down.
func (c charge) points(d time.Duration) int {
	high, low := bits.Mul64(uint64(max(d, 0)), uint64(c.rate))
	points, _ := bits.Div64(high, low, uint64(time.Second))
	return int(points)
}

// key names an account.
type key struct {
	lane    Lane
	viewer  uuid.UUID
	address string
}

// account holds as many points as it gains in Burst less the time until it is full: one number says it all, and waiting
// costs nothing (the generic cell rate algorithm).
type account struct {
	key  key
	full time.Duration // since the limiter's epoch
}

// shard is a part of the accounts, the one used last in front.
type shard struct {
	mu       sync.Mutex
	most     int
	accounts map[key]*list.Element // of *account
	used     list.List
}

// account returns the account of a key, which is made full if it is not there. The caller holds mu.
func (s *shard) account(k key) *account {
	if element, known := s.accounts[k]; known {
		s.used.MoveToFront(element)
		return element.Value.(*account)
	}
	if s.used.Len() < s.most {
		a := &account{key: k}
		s.accounts[k] = s.used.PushFront(a)
		return a
	}
	element := s.used.Back()
	a := element.Value.(*account)
	delete(s.accounts, a.key)
	*a = account{key: k}
	s.accounts[k] = element
	s.used.MoveToFront(element)
	return a
}
