// Package vault seals personal data before it goes to the database, so that files, dumps, logs and backups of the
// database hold nothing that can be read without the keyset, which is not in it.
//
// It is an envelope: each cell is encrypted with a data key of its own (AES-256-GCM), and the data key with a
// key-encryption key of the keyset. Data key and text travel together in the cell, so nothing has to be looked up, no
// data key is ever used for two texts, and a cell says in plain sight which key-encryption key it needs: that is what
// re-encryption goes by. The price is a hundred bytes a cell and some microseconds for each Seal and Open; a data key
// for each person would save some of both and need a table of keys, a read before each read, and a cache of secrets.
//
// A cell is bound to its place, table, column and row: moved to another it does not open. What must be found by its value
// has a blind index beside it, a keyed hash: whoever lacks the keyset can neither read it nor check a guess.
//
// The package does no SQL. Which columns are sealed is said in Columns; Seal refuses every other, so that none can be
// forgotten by a change of keys.
//
// Invariants:
//   - what Open returns is what was sealed for that very cell, or an error; the error names the cell and never a content;
//   - a key is in use only after every process had the time to read it, and gone only when no cell needs it (see Keyset).
package vault

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/prf"
	tinkpb "github.com/tink-crypto/tink-go/v2/proto/tink_go_proto"
	"github.com/tink-crypto/tink-go/v2/tink"
)

// Cell is a place in the database.
type Cell struct {
	Table, Column string
	Row           uuid.UUID // of the column that Columns calls the key
}

// String names the place, for logs.
func (c Cell) String() string { return c.Table + "." + c.Column + " of " + c.Row.String() }

// associated is what a cell's text is bound to. The lengths keep two places from looking alike.
func (c Cell) associated() []byte {
	b := make([]byte, 0, 2+len(c.Table)+len(c.Column)+len(c.Row))
	b = append(append(b, byte(len(c.Table))), c.Table...)
	b = append(append(b, byte(len(c.Column))), c.Column...)
	return append(b, c.Row[:]...)
}

// A sealed cell begins with the length of its data key (4 bytes), tink's mark (1 byte) and the number of the
// key-encryption key (4 bytes, big-endian); an index with the number of its key. Re-encryption reads both in SQL.
const (
	keyAt       = 5
	keyBytes    = 4
	digestBytes = 32
)

// patience is how long after it was read in vain for the key of a cell the keyset is not read again for one.
const patience = time.Second

// Vault seals and opens. It is safe for concurrent use.
type Vault struct {
	source func() (Keyset, error) // nil: the keyset never changes
	keys   atomic.Pointer[keys]
	mu     sync.Mutex // held while the keyset is read again
	vain   time.Time  // when it was last read again for a key that it did not have
}

// keys is a keyset made ready for use.
type keys struct {
	keyset  Keyset
	sealing tink.AEAD
	known   map[uint32]bool
	index   *prf.Set
	order   []uint32 // of index keys that are enabled, oldest first
}

// New returns a Vault over a keyset.
func New(ks Keyset) (*Vault, error) { return open(ks, nil) }

// Follow returns a Vault over the keyset that source returns, which it reads again at each Refresh, and when it meets a
// cell whose key it does not know.
func Follow(source func() (Keyset, error)) (*Vault, error) {
	ks, err := source()
	if err != nil {
		return nil, err
	}
	return open(ks, source)
}

func open(ks Keyset, source func() (Keyset, error)) (*Vault, error) {
	ready, err := prepare(ks)
	if err != nil {
		return nil, err
	}
	v := &Vault{source: source}
	v.keys.Store(ready)
	return v, nil
}

func prepare(ks Keyset) (*keys, error) {
	if err := ks.valid(); err != nil {
		return nil, err
	}
	sealing, err := handle(ks.sealing)
	if err != nil {
		return nil, err
	}
	index, err := handle(ks.index)
	if err != nil {
		return nil, err
	}
	wrap, err := aead.New(sealing)
	if err != nil {
		return nil, fmt.Errorf("preparing the keyset: %w", err)
	}
	digests, err := prf.NewPRFSet(index)
	if err != nil {
		return nil, fmt.Errorf("preparing the keyset: %w", err)
	}
	k := &keys{keyset: ks, sealing: aead.NewKMSEnvelopeAEAD2(aead.AES256GCMKeyTemplate(), wrap), known: map[uint32]bool{}, index: digests}
	for _, key := range ks.Keys() {
		if !key.Disabled {
			k.known[key.ID] = true
			k.order = append(k.order, key.ID)
		}
	}
	return k, nil
}

func handle(ks *tinkpb.Keyset) (*keyset.Handle, error) {
	var written bytes.Buffer
	if err := keyset.NewBinaryWriter(&written).Write(ks); err != nil {
		return nil, fmt.Errorf("preparing the keyset: %w", err)
	}
	h, err := insecurecleartextkeyset.Read(keyset.NewBinaryReader(&written))
	if err != nil {
		return nil, fmt.Errorf("preparing the keyset: %w", err)
	}
	return h, nil
}

// Refresh reads the keyset again, if it can change. The one before stays when the new one cannot be used. Every process
// calls it about once a second.
func (v *Vault) Refresh() error {
	if v.source == nil {
		return nil
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.refresh()
}

func (v *Vault) refresh() error {
	ks, err := v.source()
	if err != nil {
		return err
	}
	if ks.equal(v.keys.Load().keyset) {
		return nil
	}
	ready, err := prepare(ks)
	if err != nil {
		return err
	}
	v.keys.Store(ready)
	return nil
}

// learn reads the keyset again because a key is missing from it, and reports whether it is there.
func (v *Vault) learn(id uint32) bool {
	if v.source == nil {
		return false
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.keys.Load().known[id] {
		return true
	}
	if time.Since(v.vain) < patience {
		return false
	}
	_ = v.refresh() // whoever asked is told that the cell cannot be opened
	known := v.keys.Load().known[id]
	if !known {
		v.vain = time.Now()
	}
	return known
}

// Keyset returns the keyset in use.
func (v *Vault) Keyset() Keyset { return v.keys.Load().keyset }

// Seal returns text as it may be stored in the cell, whose column is one of Columns. Each call returns something else.
func (v *Vault) Seal(cell Cell, text string) ([]byte, error) {
	if !isSealed(cell.Table, cell.Column) {
		return nil, fmt.Errorf("vault: %s.%s is not in the list of sealed columns", cell.Table, cell.Column)
	}
	sealed, err := v.keys.Load().sealing.Encrypt([]byte(text), cell.associated())
	if err != nil {
		return nil, fmt.Errorf("vault: sealing %s: %w", cell, err)
	}
	return sealed, nil
}

// Open returns the text that was sealed for the cell. The error says which cell it is.
func (v *Vault) Open(cell Cell, sealed []byte) (string, error) {
	id, err := KeyOf(sealed)
	if err != nil {
		return "", fmt.Errorf("vault: %s: %w", cell, err)
	}
	if !v.keys.Load().known[id] && !v.learn(id) {
		return "", fmt.Errorf("vault: %s: its key %08x is not in the keyset", cell, id)
	}
	text, err := v.keys.Load().sealing.Decrypt(sealed, cell.associated())
	if err != nil {
		return "", fmt.Errorf("vault: %s is damaged, or was sealed for another cell", cell)
	}
	return string(text), nil
}

// KeyOf returns the number of the key that a sealed cell needs.
func KeyOf(sealed []byte) (uint32, error) {
	if len(sealed) < keyAt+keyBytes || sealed[keyAt-1] != 1 {
		return 0, errors.New("this is not a sealed text")
	}
	return binary.BigEndian.Uint32(sealed[keyAt:]), nil
}

// Index returns what a row is found by: the same for the same text of the same kind ("email"), while the keys are the
// same. The text is normalised already. Store it beside the sealed text; to look it up, use Indexes.
func (v *Vault) Index(kind, text string) []byte {
	k := v.keys.Load()
	return k.digest(k.index.PrimaryID, kind, text)
}

// Indexes returns every value that Index may have given a row for the text: one, and two while the keys are being
// changed. Compare with all of them: `WHERE email_index = ANY ($1::bytea[])`, with postgres.Blobs.
//
// The first was made with the oldest key, and all processes agree on it. While there are two, a unique index does not keep
// two rows from having one text: whoever inserts first takes an advisory lock on the first value and looks for all.
func (v *Vault) Indexes(kind, text string) [][]byte {
	k := v.keys.Load()
	all := make([][]byte, len(k.order))
	for i, id := range k.order {
		all[i] = k.digest(id, kind, text)
	}
	return all
}

func (k *keys) digest(id uint32, kind, text string) []byte {
	input := make([]byte, 0, len(kind)+1+len(text))
	input = append(append(append(input, kind...), 0), text...)
	digest, err := k.index.PRFs[id].ComputePRF(input, digestBytes)
	if err != nil {
		panic("vault: HMAC-SHA256 gives 32 bytes: " + err.Error())
	}
	return append(binary.BigEndian.AppendUint32(make([]byte, 0, keyBytes+digestBytes), id), digest...)
}
