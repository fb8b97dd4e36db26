package seatfeed

// State is what may be said in public about a seat of a showtime.
type State byte

// The states of a seat. The zero value is a seat that can be had.
const (
	Available State = iota
	Held            // in someone's hands until a deadline
	Taken           // sold, or reserved to be paid
	Blocked         // kept back by the house
)
