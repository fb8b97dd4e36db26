package audit

import (
	"bufio"
	"bytes"
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"
)

// Head is the seal of the last entry of the chain at some moment, signed. It pins that entry and all before it, and is
// kept where who can write to the database cannot.
type Head struct {
	Position  int64     `json:"position"`
	Seal      string    `json:"seal"` // hexadecimal
	SignedAt  time.Time `json:"signedAt"`
	Key       []byte    `json:"key"` // public, Ed25519
	Signature []byte    `json:"signature"`
}

func (h Head) signed() []byte {
	return fmt.Appendf(nil, "marquee audit head\n%d\n%s\n%s\n", h.Position, h.Seal, h.SignedAt.UTC().Format(time.RFC3339Nano))
}

// seal returns the hash that the head names.
func (h Head) seal() (sum hash, ok bool) {
	raw, err := hex.DecodeString(h.Seal)
	return hash(append(raw, make([]byte, sha256.Size)...)[:sha256.Size]), err == nil && len(raw) == sha256.Size
}

// signer signs heads and recognises its own.
type signer struct{ key ed25519.PrivateKey }

// newSigner returns the signer of all nodes that share the secret.
func newSigner(secret []byte) (signer, error) {
	seed, err := hkdf.Key(sha256.New, secret, nil, "marquee audit heads", ed25519.SeedSize)
	if err != nil {
		return signer{}, fmt.Errorf("audit: derive a signing key: %w", err)
	}
	return signer{ed25519.NewKeyFromSeed(seed)}, nil
}

func (s signer) public() ed25519.PublicKey { return s.key.Public().(ed25519.PublicKey) }

func (s signer) sign(position int64, seal hash, at time.Time) Head {
	h := Head{Position: position, Seal: hex.EncodeToString(seal[:]), SignedAt: at.UTC(), Key: s.public()}
	h.Signature = ed25519.Sign(s.key, h.signed())
	return h
}

func (s signer) signedThis(h Head) bool {
	_, ok := h.seal()
	return ok && bytes.Equal(h.Key, s.public()) && ed25519.Verify(s.public(), h.signed(), h.Signature)
}

// maxHeadLine bounds what is read of a line; a head takes some 300 bytes.
const maxHeadLine = 1 << 20

// readHeads calls each with every head in a text of lines: a head as it is, or a log line with one under "head". Other
// lines are passed over.
func readHeads(r io.Reader, each func(line int, h Head)) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxHeadLine)
	for n := 1; lines.Scan(); n++ {
		var found struct {
			Head

			Logged *Head `json:"head"`
		}
		if json.Unmarshal(lines.Bytes(), &found) != nil {
			continue
		}
		if found.Logged != nil {
			found.Head = *found.Logged
		}
		if found.Seal != "" {
			each(n, found.Head)
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("reading audit heads: %w", err)
	}
	return nil
}

// headFile is where a node keeps heads: one a line, only ever appended to.
type headFile struct{ file *os.File }

// openHeadFile opens the file, which it makes where there is none, and returns the last head in it, nil when it holds
// none. A line that was cut off by a crash is cut away.
func openHeadFile(path string) (headFile, *Head, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return headFile{}, nil, fmt.Errorf("cannot make the folder of the audit heads: %w", err)
	}
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return headFile{}, nil, fmt.Errorf("cannot keep the audit heads: %w", err)
	}
	last, err := lastHead(file)
	if err != nil {
		return headFile{}, nil, errors.Join(err, file.Close())
	}
	return headFile{file}, last, nil
}

func lastHead(file *os.File) (*Head, error) {
	const tail = 16 << 10 // some heads
	size, err := file.Seek(0, io.SeekEnd)
	if err != nil {
		return nil, fmt.Errorf("reading audit heads: %w", err)
	}
	end := make([]byte, min(size, tail))
	if _, err := file.ReadAt(end, size-int64(len(end))); err != nil {
		return nil, fmt.Errorf("reading audit heads: %w", err)
	}
	whole := bytes.LastIndexByte(end, '\n') + 1
	if whole < len(end) {
		if err := file.Truncate(size - int64(len(end)-whole)); err != nil {
			return nil, fmt.Errorf("mending the audit heads: %w", err)
		}
	}
	var last *Head
	err = readHeads(bytes.NewReader(end[:whole]), func(_ int, h Head) { last = &h })
	return last, err
}

// append keeps a head; it is on the disk when append returns.
func (f headFile) append(h Head) error {
	line, err := json.Marshal(h)
	if err != nil {
		return fmt.Errorf("encoding an audit head: %w", err)
	}
	if _, err := f.file.Write(append(line, '\n')); err != nil {
		return fmt.Errorf("keeping an audit head: %w", err)
	}
	if err := f.file.Sync(); err != nil {
		return fmt.Errorf("keeping an audit head: %w", err)
	}
	return nil
}
