package server

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"marquee/internal/payment/sandbox"
)

// JournalName is what the journal of a gateway inside another program is called in its data folder.
const JournalName = "sandbox-gateway.jsonl"

// Entry is one line of the journal: how a charge came to stand, and the refund that was its reason, if one was. The last line
// about a key says how it stands. The JSON form is stored: do not rename.
type Entry struct {
	Number int64           `json:"number"` // from 1, without gaps
	At     time.Time       `json:"at"`
	Charge sandbox.Charge  `json:"charge"`
	Refund *sandbox.Refund `json:"refund,omitempty"`
}

// journal is a file of JSON lines that only grows. A line counts once its batch is written to disk; lines that come while a
// batch is being written share the next one.
type journal struct {
	file *os.File

	mu      sync.Mutex
	next    *batch // not written yet; nil: nothing waits
	writing bool
	idle    *sync.Cond
	failed  error // for good: what is on disk after a failed write is not known
}

// batch is lines that are written to disk together.
type batch struct {
	lines []byte
	done  chan struct{}
	err   error // once done
}

// wait returns when the batch is on disk, or can never be.
func (b *batch) wait() error {
	<-b.done
	return b.err
}

// openJournal opens the journal at path, or begins one, and returns what is in it. A last line that was not written to its
// end is cut off: nobody was told of it. An error when another process has it, or a line of it cannot be read.
func openJournal(path string) (_ *journal, entries []Entry, err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, nil, fmt.Errorf("cannot make the folder of the sandbox's journal: %w", err)
	}
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, nil, fmt.Errorf("cannot open the sandbox's journal: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, file.Close())
		}
	}()
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, nil, fmt.Errorf("another process has the sandbox's journal %s: let one keep it, and give the others its MARQUEE_SANDBOX_URL", path)
	}
	entries, whole, err := read(file)
	if err != nil {
		return nil, nil, fmt.Errorf("the sandbox's journal %s: %w", path, err)
	}
	if err := file.Truncate(whole); err != nil {
		return nil, nil, fmt.Errorf("cannot cut off a torn line: %w", err)
	}
	if err := errors.Join(file.Sync(), syncFolder(filepath.Dir(path))); err != nil {
		return nil, nil, fmt.Errorf("cannot keep the sandbox's journal: %w", err)
	}
	j := &journal{file: file}
	j.idle = sync.NewCond(&j.mu)
	return j, entries, nil
}

func syncFolder(path string) error {
	folder, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}

// read returns the entries of a journal, and how many bytes they take: what follows is a torn line.
func read(r io.Reader) (entries []Entry, whole int64, err error) {
	lines := bufio.NewReader(r)
	for {
		line, err := lines.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return entries, whole, nil
		}
		if err != nil {
			return nil, 0, err
		}
		var entry Entry
		if err := json.Unmarshal(line, &entry); err != nil || entry.Number != int64(len(entries))+1 {
			if _, peekErr := lines.Peek(1); errors.Is(peekErr, io.EOF) && len(bytes.Trim(line, "\x00\n")) == 0 {
				return entries, whole, nil // room that was made for a line which never came
			}
			return nil, 0, fmt.Errorf("line %d is none", len(entries)+1)
		}
		entries = append(entries, entry)
		whole += int64(len(line))
	}
}

// ReadJournal returns what is in a journal, also while a gateway writes it.
func ReadJournal(path string) (_ []Entry, err error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("cannot open the sandbox's journal: %w", err)
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	entries, _, err := read(file)
	return entries, err
}

// append adds a line and returns the batch that it is written with.
func (j *journal) append(entry Entry) *batch {
	line, err := json.Marshal(entry)
	j.mu.Lock()
	defer j.mu.Unlock()
	if err = errors.Join(err, j.failed); err != nil {
		j.failed = err
		failed := &batch{done: make(chan struct{}), err: err}
		close(failed.done)
		return failed
	}
	if j.next == nil {
		j.next = &batch{done: make(chan struct{})}
	}
	b := j.next
	b.lines = append(append(b.lines, line...), '\n')
	if !j.writing {
		j.writing = true
		go j.write()
	}
	return b
}

// write brings batches to disk until none is left.
func (j *journal) write() {
	for {
		j.mu.Lock()
		b := j.next
		j.next = nil
		if b == nil {
			j.writing = false
			j.idle.Broadcast()
			j.mu.Unlock()
			return
		}
		b.err = j.failed
		j.mu.Unlock()
		if b.err == nil {
			if _, b.err = j.file.Write(b.lines); b.err == nil {
				b.err = j.file.Sync()
			}
		}
		if b.err != nil {
			j.mu.Lock()
			j.failed = b.err
			j.mu.Unlock()
		}
		close(b.done)
	}
}

// Close waits for what is being written.
func (j *journal) Close() error {
	j.mu.Lock()
	for j.writing {
		j.idle.Wait()
	}
	j.failed = errors.Join(j.failed, os.ErrClosed)
	j.mu.Unlock()
	return j.file.Close()
}
