package vault

import "slices"

// Column is a column of sealed cells. Its type is bytea and its name ends in _sealed; a cell may be null.
type Column struct {
	Table, Name string
	Key         string // the uuid column that names the row
	// Index, if any, is the column with the blind index of the same text, and Kind what Vault.Index calls it.
	Index, Kind string
}

// Columns returns all sealed columns: what a change of keys goes through. A test compares it with the database.
func Columns() []Column {
	return []Column{
		{Table: "users", Name: "email_sealed", Key: "id", Index: "email_index", Kind: "email"},
		{Table: "users", Name: "name_sealed", Key: "id"},
		{Table: "sessions", Name: "device_sealed", Key: "id"},
		{Table: "factors", Name: "name_sealed", Key: "id"},
		{Table: "factors", Name: "secret_sealed", Key: "id"},
		{Table: "factors", Name: "credential_sealed", Key: "id"},
		{Table: "ceremonies", Name: "state_sealed", Key: "id"},
		{Table: "federated_identities", Name: "subject_sealed", Key: "id", Index: "subject_index", Kind: "subject"},
		{Table: "mails", Name: "payload_sealed", Key: "id"},
		{Table: "profiles", Name: "username_sealed", Key: "id"},
		{Table: "profiles", Name: "look_sealed", Key: "id", Index: "username_index", Kind: "username"},
		{Table: "profiles", Name: "phone_sealed", Key: "id", Index: "phone_index", Kind: "phone"},
		{Table: "profiles", Name: "city_sealed", Key: "id"},
		{Table: "profiles", Name: "accessibility_sealed", Key: "id"},
		{Table: "mailed_tokens", Name: "email_sealed", Key: "id"},
		{Table: "email_changes", Name: "email_sealed", Key: "id"},
	}
}

// columns is made once: Seal asks it each time.
var columns = Columns()

func isSealed(table, column string) bool {
	return slices.ContainsFunc(columns, func(c Column) bool { return c.Table == table && c.Name == column })
}
