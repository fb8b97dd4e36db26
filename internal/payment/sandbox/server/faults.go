package server

import (
	"errors"
	"fmt"
	"hash/fnv"
	"slices"
	"sync"
	"time"
)

// Op is one of the calls, or Webhook.
type Op string

// The calls, as faults name them.
const (
	Authorize Op = "AUTHORIZE"
	Capture   Op = "CAPTURE"
	Void      Op = "VOID"
	Refund    Op = "REFUND"
	Lookup    Op = "LOOKUP"
	List      Op = "LIST"
	Webhook   Op = "WEBHOOK" // what tells of a charge
)

var (
	calls = []Op{Authorize, Capture, Void, Refund, Lookup, List}
	ops   = append(slices.Clone(calls), Webhook)
)

// Deed is what goes wrong.
type Deed string

// The deeds. The first four are of any call.
const (
	FailBefore Deed = "FAIL_BEFORE" // the line breaks before anything has happened
	FailAfter  Deed = "FAIL_AFTER"  // the line breaks when it has
	Hang       Deed = "HANG"        // nothing happens, and nobody answers
	Delay      Deed = "DELAY"       // everything happens, Fault.DelayMillis later; webhooks too
	Decline    Deed = "DECLINE"     // of Authorize and Refund, which fails: with Fault.Code
	Challenge  Deed = "CHALLENGE"   // of Authorize: the customer has to confirm on a page
	Pend       Deed = "PEND"        // of Authorize and Refund: it is pending
	Partial    Deed = "PARTIAL"     // of Capture: half of it is taken
	Lose       Deed = "LOSE"        // of Webhook: it is never sent
	Duplicate  Deed = "DUPLICATE"   // of Webhook: it is sent twice
	Reorder    Deed = "REORDER"     // of Webhook: it is sent after the next one
)

// deeds are those of each call.
var deeds = map[Deed][]Op{
	FailBefore: calls, FailAfter: calls, Hang: calls, Delay: ops,
	Decline: {Authorize, Refund}, Challenge: {Authorize}, Pend: {Authorize, Refund}, Partial: {Capture},
	Lose: {Webhook}, Duplicate: {Webhook}, Reorder: {Webhook},
}

// Fault is something that goes wrong on command.
type Fault struct {
	Op          Op     `json:"op"`
	Do          Deed   `json:"do"`
	Key         string `json:"key,omitempty"`         // of the charge; "": any
	AmountMinor int64  `json:"amountMinor,omitempty"` // that is asked for; 0: any
	Times       int    `json:"times,omitempty"`       // 0: until it is taken back
	Code        string `json:"code,omitempty"`        // of a decline
	DelayMillis int64  `json:"delayMillis,omitempty"`
}

const maxDelay = time.Hour

var errNoFault = errors.New("that cannot go wrong")

func (f Fault) validate() error {
	if !slices.Contains(deeds[f.Do], f.Op) {
		return fmt.Errorf("%w: %s of %s", errNoFault, f.Do, f.Op)
	}
	if f.Times < 0 || f.DelayMillis < 0 || f.delay() > maxDelay || (f.Do == Delay) != (f.DelayMillis > 0) || (f.Do == Decline) != (f.Code != "") {
		return fmt.Errorf("%w: %+v", errNoFault, f)
	}
	return nil
}

func (f Fault) delay() time.Duration { return time.Duration(f.DelayMillis) * time.Millisecond }

// faults decides what goes wrong: what was set, and else by lot.
type faults struct {
	seed  uint64
	share float64 // of all calls, from 0 to 1, that go wrong by lot

	mu    sync.Mutex
	set   []Fault
	calls map[drawn]uint64
}

// drawn is what a lot is drawn for, so that it does not depend on what else happens at the same time.
type drawn struct {
	op  Op
	key string
}

func (f *faults) add(fault Fault) error {
	if err := fault.validate(); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.set = append(f.set, fault)
	return nil
}

// heal takes back all faults; those by lot go on.
func (f *faults) heal() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.set = nil
}

// next returns what goes wrong with a call; the zero Fault when nothing does.
func (f *faults) next(op Op, key string, amountMinor int64) Fault {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i, fault := range f.set {
		if fault.Op != op || fault.Key != "" && fault.Key != key || fault.AmountMinor != 0 && fault.AmountMinor != amountMinor {
			continue
		}
		if fault.Times == 1 {
			f.set = slices.Delete(f.set, i, i+1)
		} else if fault.Times > 1 {
			f.set[i].Times--
		}
		return fault
	}
	if f.share > 0 {
		return f.draw(op, key)
	}
	return Fault{}
}

// byLot are the deeds that a lot decides on: none of which changes what comes of a charge in the end.
var byLot = map[bool][]Deed{false: {FailBefore, FailAfter, Delay}, true: {Lose, Duplicate, Reorder, Delay}}

// draw decides on a call by the seed and by how often there was such a call. The caller holds the lock.
func (f *faults) draw(op Op, key string) Fault {
	d := drawn{op, key}
	f.calls[d]++
	h := fnv.New64a()
	fmt.Fprintf(h, "%d %s %s %d", f.seed, op, key, f.calls[d])
	lot := h.Sum64()
	const steps, most = 1 << 20, 200
	if float64(lot%steps) >= f.share*steps {
		return Fault{}
	}
	lot /= steps
	possible := byLot[op == Webhook]
	fault := Fault{Op: op, Do: possible[lot%uint64(len(possible))]}
	if fault.Do == Delay {
		fault.DelayMillis = int64(1 + lot/uint64(len(possible))%most)
	}
	return fault
}
