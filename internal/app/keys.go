package app

import (
	"context"
	"fmt"
	"io"
	"os"
	"text/tabwriter"
	"time"

	"marquee/internal/postgres"
	"marquee/internal/vault"
	"marquee/internal/vault/rekey"
)

// NewKeyset writes a fresh keyset to out. It needs no configuration: the configuration needs it.
func NewKeyset(out io.Writer) error {
	ks, err := vault.NewKeyset()
	if err != nil {
		return err
	}
	text, err := ks.Text()
	if err != nil {
		return err
	}
	fmt.Fprintln(out, text)
	return nil
}

// KeysAdd adds a key to the keyset, which is not written with yet.
func (c Command) KeysAdd() error {
	return c.changeKeyset(vault.Keyset.Add, "A key was added. When every node has read it: marquee keys promote.")
}

// KeysPromote makes the added key the one that is written with.
func (c Command) KeysPromote() error {
	return c.changeKeyset(func(ks vault.Keyset) (vault.Keyset, error) { return ks.Promote(time.Now()) },
		"The added key is the primary one. When every node has read it: marquee keys reencrypt.")
}

// KeysReencrypt moves everything to the primary key. It may be ended and started again at any time.
func (c Command) KeysReencrypt(ctx context.Context) error {
	v, err := openVault(c.Config)
	if err != nil {
		return err
	}
	return c.withDatabase(ctx, func(db *postgres.DB) error {
		total := 0
		_, err := rekey.Run(ctx, db, v, func(rows int) {
			total += rows
			c.Log.InfoContext(ctx, "re-encrypted", "rows", total)
		})
		if err != nil {
			return err
		}
		fmt.Fprintf(c.Out, "%d rows were re-encrypted. Two minutes after the promotion, when none is left: marquee keys retire.\n", total)
		return c.listKeys(ctx, db, v)
	})
}

// KeysRetire disables the keys before the primary one. It refuses while a cell needs one of them.
func (c Command) KeysRetire(ctx context.Context) error {
	return c.withDatabase(ctx, func(db *postgres.DB) error {
		return c.changeKeyset(func(ks vault.Keyset) (vault.Keyset, error) {
			retired, err := ks.Retire(time.Now())
			if err != nil {
				return retired, err
			}
			counts, err := rekey.Counts(ctx, db)
			if err != nil {
				return retired, err
			}
			for _, count := range counts {
				if count.Key != ks.Primary() {
					return retired, fmt.Errorf("%d cells of %s.%s still need the key %08x: run marquee keys reencrypt", count.Cells, count.Table, count.Column, count.Key)
				}
			}
			return retired, nil
		}, "The keys before the primary one are disabled.")
	})
}

// KeysList shows the keys and how many cells need each.
func (c Command) KeysList(ctx context.Context) error {
	v, err := openVault(c.Config)
	if err != nil {
		return err
	}
	return c.withDatabase(ctx, func(db *postgres.DB) error { return c.listKeys(ctx, db, v) })
}

func (c Command) listKeys(ctx context.Context, db *postgres.DB, v *vault.Vault) error {
	counts, err := rekey.Counts(ctx, db)
	if err != nil {
		return err
	}
	states := map[uint32]string{}
	table := tabwriter.NewWriter(c.Out, 0, 0, 2, ' ', 0)
	for _, key := range v.Keyset().Keys() {
		state := "in use"
		switch {
		case key.Primary:
			state = "primary"
		case key.Disabled:
			state = "disabled"
		}
		states[key.ID] = state
		fmt.Fprintf(table, "%08x\t%s\t\t\n", key.ID, state)
	}
	for _, count := range counts {
		state, known := states[count.Key]
		if !known {
			state = "MISSING"
		}
		fmt.Fprintf(table, "%08x\t%s\t%s.%s\t%d\n", count.Key, state, count.Table, count.Column, count.Cells)
	}
	return table.Flush()
}

// changeKeyset keeps what change makes of the keyset: in its file, which every process that follows the file reads within
// a second; a keyset of the environment is shown, since nobody else can put it there.
func (c Command) changeKeyset(change func(vault.Keyset) (vault.Keyset, error), done string) error {
	v, err := openVault(c.Config)
	if err != nil {
		return err
	}
	changed, err := change(v.Keyset())
	if err != nil {
		return err
	}
	if c.Config.Keyset == "" {
		if err := keepKeyset(keysetPath(c.Config), changed, os.Rename); err != nil {
			return err
		}
		fmt.Fprintln(c.Out, done)
		return nil
	}
	text, err := changed.Text()
	if err != nil {
		return err
	}
	fmt.Fprintf(c.Out, "%s\nMARQUEE_KEYSET of every node from here on, shown this once:\n%s\n", done, text)
	return nil
}
