//go:build !linux

package dbtest

// memoryFolder returns "": only Linux has a folder in memory that is always at the same place.
func memoryFolder() string { return "" }
