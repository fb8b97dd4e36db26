//go:build linux

package main

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// residentKiB is the memory of a process.
func residentKiB(pid int) (int, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, fmt.Errorf("read the memory of a process: %w", err)
	}
	_, text, _ := strings.Cut(string(status), "VmRSS:")
	fields := strings.Fields(text)
	if len(fields) == 0 {
		return 0, fmt.Errorf("process %d says no memory", pid)
	}
	kib, err := strconv.Atoi(fields[0])
	if err != nil {
		return 0, fmt.Errorf("read the memory of a process: %w", err)
	}
	return kib, nil
}

// processorTime is how long a process has used processors, to a hundredth of a second.
func processorTime(pid int) (time.Duration, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, fmt.Errorf("read the processor time of a process: %w", err)
	}
	// The name, in parentheses, may hold anything; user and system time are the 12th and 13th field after it.
	const user, system, tick = 11, 12, 10 * time.Millisecond
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	if len(fields) <= system {
		return 0, fmt.Errorf("process %d says no processor time", pid)
	}
	var sum time.Duration
	for _, text := range []string{fields[user], fields[system]} {
		ticks, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("read the processor time of a process: %w", err)
		}
		sum += time.Duration(ticks) * tick
	}
	return sum, nil
}
