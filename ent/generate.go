// Package ent is the generated mapping of Marquee's tables; schema/ beside it is written by hand.
package ent

//go:generate go tool ent generate --feature sql/lock,sql/upsert,sql/modifier,sql/execquery ./schema
