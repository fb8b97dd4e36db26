// Package migrations holds the database schema: one SQL file for each step, applied in the order of their numbers by
// postgres.Migrate. A file that has been released is never changed; a correction is a further file. A step that seals
// what was in the open is a folder of SQL files with code between them.
package migrations

import "embed"

// FS contains every migration, embedded so that a binary always carries the schema it was built for.
//
//go:embed *.sql 00006_sealed_people/*.sql 00017_sealed_proofs/*.sql
var FS embed.FS
