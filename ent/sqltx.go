package ent

import (
	"context"
	"database/sql"

	"entgo.io/ent/dialect"
	entsql "entgo.io/ent/dialect/sql"
)

// Over returns a client that speaks through an open pool. Closing the client is not needed; closing the pool is its
// owner's business.
func Over(db *sql.DB) *Client {
	return NewClient(Driver(entsql.OpenDB(dialect.Postgres, db)))
}

// OverTx returns a client whose every statement runs in the caller's transaction. The transactions that it begins for
// itself, as bulk inserts do, are part of that one: who began it ends it.
func OverTx(tx *sql.Tx) *Client {
	return NewClient(Driver(joined{entsql.NewDriver(dialect.Postgres, entsql.Conn{ExecQuerier: tx})}))
}

// joined is a driver inside a transaction.
type joined struct{ dialect.Driver }

// Tx returns the transaction that the driver is inside of.
func (j joined) Tx(context.Context) (dialect.Tx, error) { return dialect.NopTx(j.Driver), nil }
