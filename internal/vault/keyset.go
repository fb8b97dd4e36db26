package vault

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/core/registry"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/prf"
	tinkpb "github.com/tink-crypto/tink-go/v2/proto/tink_go_proto"
	"google.golang.org/protobuf/proto"
)

// Settling is how long after a key became primary the one before must stay: longer than a process takes to read the
// keyset again, and a request that began before takes to end.
const Settling = 2 * time.Minute

// Keyset is the secret of an installation: two tink keysets side by side, one of key-encryption keys and one of index
// keys, in which keys of the same number come and go together. It is a value; its methods that change it return another.
//
// No two processes change over at the same moment, so a key is changed in four steps, and any two neighbouring states
// work with each other:
//
//	Add      a further key, which every process can read with and none writes with
//	Promote  it is written with
//	         (everything is re-encrypted)
//	Retire   the keys before it are not used any more. They stay in the keyset, disabled
type Keyset struct {
	sealing, index *tinkpb.Keyset
	promoted       time.Time // when the present primary key became it
}

// Key is one key of a Keyset.
type Key struct {
	ID       uint32
	Primary  bool // what is written with
	Disabled bool // not used any more
}

// NewKeyset makes a keyset with one key.
func NewKeyset() (Keyset, error) {
	ks, err := Keyset{sealing: &tinkpb.Keyset{}, index: &tinkpb.Keyset{}}.Add()
	if err != nil {
		return Keyset{}, err
	}
	return ks.withPrimary(ks.sealing.GetKey()[0].GetKeyId(), time.Time{}), nil
}

// Add returns the keyset with a further key, which is not written with. It refuses while another such key is there.
func (k Keyset) Add() (Keyset, error) {
	if next, ok := k.next(); ok {
		return Keyset{}, fmt.Errorf("the key %08x was added and is not the primary one yet", next)
	}
	id := uint32(0)
	for id == 0 || slices.ContainsFunc(k.Keys(), func(key Key) bool { return key.ID == id }) {
		var number [4]byte
		_, _ = rand.Read(number[:]) // never fails: crypto/rand ends the program instead
		id = binary.BigEndian.Uint32(number[:])
	}
	added := k.clone()
	for _, one := range []struct {
		keyset   *tinkpb.Keyset
		template *tinkpb.KeyTemplate
	}{{added.sealing, aead.AES256GCMKeyTemplate()}, {added.index, prf.HMACSHA256PRFKeyTemplate()}} {
		data, err := registry.NewKeyData(one.template)
		if err != nil {
			return Keyset{}, fmt.Errorf("making a key: %w", err)
		}
		one.keyset.Key = append(one.keyset.Key, &tinkpb.Keyset_Key{
			KeyData: data, Status: tinkpb.KeyStatusType_ENABLED, KeyId: id, OutputPrefixType: one.template.GetOutputPrefixType(),
		})
	}
	return added, nil
}

// Promote returns the keyset with the added key as the primary one.
func (k Keyset) Promote(now time.Time) (Keyset, error) {
	next, ok := k.next()
	if !ok {
		return Keyset{}, errors.New("no key was added that could become the primary one")
	}
	return k.withPrimary(next, now.UTC().Truncate(time.Second)), nil
}

// Retire returns the keyset with all keys before the primary one disabled. It refuses while a process may still write
// with one of them. That no cell needs them any more is the caller's business.
func (k Keyset) Retire(now time.Time) (Keyset, error) {
	if due := k.promoted.Add(Settling); now.Before(due) {
		return Keyset{}, fmt.Errorf("the key before was in use until %s, and a request may still be writing with it: try again at %s",
			k.promoted.Format(time.TimeOnly), due.Format(time.TimeOnly))
	}
	retired := k.clone()
	some := false
	for _, one := range []*tinkpb.Keyset{retired.sealing, retired.index} {
		for _, key := range one.GetKey() {
			if key.GetKeyId() == one.GetPrimaryKeyId() {
				break
			}
			some = some || key.GetStatus() == tinkpb.KeyStatusType_ENABLED
			key.Status = tinkpb.KeyStatusType_DISABLED
		}
	}
	if !some {
		return Keyset{}, errors.New("there is no key before the primary one to retire")
	}
	return retired, nil
}

// Keys lists the keys, oldest first.
func (k Keyset) Keys() []Key {
	keys := make([]Key, len(k.sealing.GetKey()))
	for i, key := range k.sealing.GetKey() {
		keys[i] = Key{
			ID: key.GetKeyId(), Primary: key.GetKeyId() == k.sealing.GetPrimaryKeyId(),
			Disabled: key.GetStatus() != tinkpb.KeyStatusType_ENABLED,
		}
	}
	return keys
}

// Primary returns the number of the key that is written with.
func (k Keyset) Primary() uint32 { return k.sealing.GetPrimaryKeyId() }

// next returns the key after the primary one.
func (k Keyset) next() (uint32, bool) {
	keys := k.Keys()
	if len(keys) == 0 || keys[len(keys)-1].Primary {
		return 0, false
	}
	return keys[len(keys)-1].ID, true
}

func (k Keyset) withPrimary(id uint32, at time.Time) Keyset {
	changed := k.clone()
	changed.sealing.PrimaryKeyId, changed.index.PrimaryKeyId, changed.promoted = id, id, at
	return changed
}

func (k Keyset) clone() Keyset {
	return Keyset{sealing: proto.CloneOf(k.sealing), index: proto.CloneOf(k.index), promoted: k.promoted}
}

func (k Keyset) equal(other Keyset) bool {
	return k.promoted.Equal(other.promoted) && proto.Equal(k.sealing, other.sealing) && proto.Equal(k.index, other.index)
}

// written is a keyset as a text: this as JSON in base64, one line that passes through a file, a variable and a shell.
type written struct {
	Sealing  []byte    `json:"sealing"` // tink's own form, as is index
	Index    []byte    `json:"index"`
	Promoted time.Time `json:"promoted,omitzero"`
}

// Text returns the keyset as ParseKeyset reads it. It is the secret itself.
func (k Keyset) Text() (string, error) {
	var sealing, index bytes.Buffer
	err := errors.Join(keyset.NewBinaryWriter(&sealing).Write(k.sealing), keyset.NewBinaryWriter(&index).Write(k.index))
	if err != nil {
		return "", fmt.Errorf("writing a keyset: %w", err)
	}
	text, err := json.Marshal(written{Sealing: sealing.Bytes(), Index: index.Bytes(), Promoted: k.promoted})
	if err != nil {
		return "", fmt.Errorf("writing a keyset: %w", err)
	}
	return base64.StdEncoding.EncodeToString(text), nil
}

// errNoKeyset says nothing of the text, which may be a secret all the same.
var errNoKeyset = errors.New("this is not a keyset: make one with marquee keys new")

// ParseKeyset reads what Text has written.
func ParseKeyset(text string) (Keyset, error) {
	data, err := base64.StdEncoding.DecodeString(strings.TrimSpace(text))
	if err != nil {
		return Keyset{}, errNoKeyset
	}
	var w written
	if json.Unmarshal(data, &w) != nil {
		return Keyset{}, errNoKeyset
	}
	k := Keyset{promoted: w.Promoted}
	k.sealing, err = keyset.NewBinaryReader(bytes.NewReader(w.Sealing)).Read()
	if err == nil {
		k.index, err = keyset.NewBinaryReader(bytes.NewReader(w.Index)).Read()
	}
	if err != nil || k.valid() != nil {
		return Keyset{}, errNoKeyset
	}
	return k, nil
}

// valid refuses a keyset whose halves do not belong together.
func (k Keyset) valid() error {
	same := len(k.sealing.GetKey()) > 0 && k.sealing.GetPrimaryKeyId() == k.index.GetPrimaryKeyId() &&
		slices.EqualFunc(k.sealing.GetKey(), k.index.GetKey(), func(a, b *tinkpb.Keyset_Key) bool {
			return a.GetKeyId() == b.GetKeyId() && a.GetStatus() == b.GetStatus()
		})
	if !same || keyset.Validate(k.sealing) != nil || keyset.Validate(k.index) != nil {
		return errNoKeyset
	}
	return nil
}
