//go:build race

package booking_test

// lastSeatRounds is what `make test-race` runs.
const lastSeatRounds = 3000
