//go:build !race

package booking_test

const lastSeatRounds = 300
