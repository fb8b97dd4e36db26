package privacy

import "time"

// Class is what a column tells about a person, which decides what the export does with it.
type Class string

// The classes. A column that tells nothing about anybody is listed in Impersonal.
const (
	Identifier Class = "identifier" // names an account or a thing of it, by a number
	Contact    Class = "contact"    // reaches or names the person
	Preference Class = "preference"
	Health     Class = "health"
	Activity   Class = "activity" // what the person did, when, from where
	Money      Class = "money"
	Doer       Class = "doer"    // whose act it was and from where: exported where it was the person's own, empty else
	Secret     Class = "secret"  // proves who somebody is: never exported
	Derived    Class = "derived" // made of another column, such as a blind index: never exported
)

// Exported reports whether columns of the class are given to the person.
func (c Class) Exported() bool { return c != Secret && c != Derived }

// Fate is what the erasure of an account does with a table's rows.
type Fate string

// The fates.
const (
	WithAccount Fate = "with the account" // a foreign key deletes them when the account's row is deleted
	Deleted     Fate = "deleted"          // by a statement of the erasure
	Kept        Fate = "kept"             // without the person: nothing leads from the id to anybody
)

// Table is one that holds rows of persons. Whoever adds a column adds a line.
type Table struct {
	Name    string
	Section string // what the export calls its rows; "" when they cannot be found by the person
	Of      string // which rows are a person's: $1 is the account's id, $2 its public one
	Doer    string // the column that says whose act a row is, where there are columns of that class
	Fate    Fate
	// Limit is how long a row lies there at the most, counted from when it was made. What is past it is deleted by a job
	// of every node within the hour. Zero: as long as the account, or as Why says.
	Limit time.Duration
	// Why says on what ground rows outlive the account, and how long when it is not Limit.
	Why     string
	Columns []Column
}

// Column is a classified column.
type Column struct {
	Name  string
	Class Class
}

const day = 24 * time.Hour

const (
	byBooks = "Money that was paid and what for is kept as long as the law wants books to be kept, under an id that leads to nobody."
	ofTheir = "(showtime_id, reservation_id) IN (SELECT showtime_id, id FROM reservations WHERE viewer_id = $1)"
)

// Tables returns the classification: every table with rows of persons, every column of it.
func Tables() []Table {
	return []Table{
		{Name: "users", Section: "account", Of: "id = $1", Fate: Deleted, Columns: []Column{
			{"id", Identifier},
			{"email_sealed", Contact},
			{"email_index", Derived},
			{"name_sealed", Contact},
			{"email_verified_at", Activity},
			{"password_hash", Secret},
			{"created_at", Activity},
			{"disabled_at", Activity},
			{"disabled_reason", Activity},
		}},
		{Name: "role_grants", Section: "roles", Of: "user_id = $1", Doer: "granted_by", Fate: WithAccount, Columns: []Column{
			{"id", Identifier},
			{"user_id", Identifier},
			{"role", Activity},
			{"theater_id", Identifier},
			{"granted_by", Doer},
			{"reason", Activity},
			{"created_at", Activity},
		}},
		{Name: "profiles", Section: "profile", Of: "user_id = $1", Fate: WithAccount, Columns: []Column{
			{"id", Identifier},
			{"user_id", Identifier},
			{"username_sealed", Contact},
			{"look_sealed", Derived},
			{"username_index", Derived},
			{"phone_sealed", Contact},
			{"phone_index", Derived},
			{"city_sealed", Preference},
			{"accessibility_sealed", Health},
			{"locale", Preference},
		}},
		{Name: "sessions", Section: "sessions", Of: "user_id = $1", Fate: WithAccount, Limit: 90 * day, Columns: []Column{
			{"id", Identifier},
			{"user_id", Identifier},
			{"device_sealed", Activity},
			{"salt", Secret},
			{"renewals", Activity},
			{"renewed_at", Activity},
			{"generation", Derived},
			{"created_at", Activity},
			{"expires_at", Activity},
			{"proved_at", Activity},
			{"strong", Activity},
		}},
		{Name: "known_devices", Section: "knownDevices", Of: "user_id = $1", Fate: WithAccount, Limit: 90 * day, Columns: []Column{
			{"id", Derived},
			{"user_id", Identifier},
			{"seen_at", Activity},
		}},
		{Name: "factors", Section: "secondFactors", Of: "user_id = $1", Fate: WithAccount, Columns: []Column{
			{"id", Identifier},
			{"user_id", Identifier},
			{"kind", Activity},
			{"name_sealed", Preference},
			{"secret_sealed", Secret},
			{"used_step", Secret},
			{"credential_hash", Derived},
			{"credential_sealed", Secret},
			{"created_at", Activity},
			{"confirmed_at", Activity},
			{"used_at", Activity},
		}},
		{Name: "federated_identities", Section: "linkedProviders", Of: "user_id = $1", Fate: WithAccount, Columns: []Column{
			{"id", Identifier},
			{"user_id", Identifier},
			{"issuer", Identifier},
			{"subject_sealed", Identifier},
			{"subject_index", Derived},
			{"used_at", Activity},
			{"created_at", Activity},
		}},
		{Name: "recovery_codes", Section: "recoveryCodes", Of: "user_id = $1", Fate: WithAccount, Columns: []Column{
			{"id", Identifier},
			{"user_id", Identifier},
			{"hash", Secret},
		}},
		{Name: "ceremonies", Section: "signInsUnderWay", Of: "user_id = $1", Fate: WithAccount, Limit: 10 * time.Minute, Columns: []Column{
			{"id", Secret},
			{"kind", Activity},
			{"user_id", Identifier},
			{"session_id", Identifier},
			{"state_sealed", Secret},
			{"expires_at", Activity},
		}},
		{
			Name: "provider_flows", Section: "providersUnderWay", Of: "session_id IN (SELECT id FROM sessions WHERE user_id = $1)",
			Fate: Kept, Limit: 10 * time.Minute, Why: "A browser that is at a provider; the session that sent it there is over.",
			Columns: []Column{{"id", Secret}, {"provider", Activity}, {"redirect_uri", Activity}, {"session_id", Identifier}, {"expires_at", Activity}},
		},
		{Name: "idempotency_keys", Section: "requests", Of: "viewer_id = $1", Fate: Deleted, Limit: 48 * time.Hour, Columns: []Column{
			{"created_at", Activity},
			{"showtime_id", Identifier},
			{"viewer_id", Identifier},
			{"key", Identifier},
			{"operation", Activity},
			{"fingerprint", Derived},
			{"reservation_id", Identifier},
			{"source", Derived},
			{"device", Derived},
		}},
		{Name: "promotion_redemptions", Section: "promotions", Of: "viewer_id = $1", Fate: Kept, Why: byBooks, Columns: []Column{
			{"showtime_id", Identifier},
			{"reservation_id", Identifier},
			{"id", Identifier},
			{"viewer_id", Identifier},
			{"amount_minor", Money},
			{"created_at", Activity},
			{"returned_at", Activity},
		}},
		{Name: "reservations", Section: "reservations", Of: "viewer_id = $1", Fate: Kept, Why: byBooks, Columns: []Column{
			{"id", Identifier},
			{"showtime_id", Identifier},
			{"viewer_id", Identifier},
			{"status", Activity},
			{"seats", Activity},
			{"released", Activity},
			{"amount_minor", Money},
			{"currency", Money},
			{"lines", Money},
			{"held_until", Activity},
			{"pay_by", Activity},
			{"created_at", Activity},
			{"confirmed_at", Activity},
			{"ended_at", Activity},
		}},
		{Name: "payments", Section: "payments", Of: "viewer_id = $1", Fate: Kept, Why: byBooks, Columns: []Column{
			{"id", Identifier},
			{"showtime_id", Identifier},
			{"reservation_id", Identifier},
			{"viewer_id", Identifier},
			{"status", Money},
			{"amount_minor", Money},
			{"captured_minor", Money},
			{"refunded_minor", Money},
			{"promised_minor", Money},
			{"currency", Money},
			{"created_at", Activity},
			{"updated_at", Activity},
		}},
		{Name: "store_credits", Section: "storeCredits", Of: "customer_id = $1", Fate: Kept, Why: byBooks, Columns: []Column{
			{"id", Identifier},
			{"customer_id", Identifier},
			{"theater_id", Identifier},
			{"currency", Money},
			{"created_at", Activity},
		}},
		{
			Name: "store_credit_entries", Section: "storeCreditMovements", Fate: Kept, Why: byBooks,
			Of: "credit_id IN (SELECT id FROM store_credits WHERE customer_id = $1)",
			Columns: []Column{
				{"id", Identifier},
				{"credit_id", Identifier},
				{"kind", Money},
				{"key", Identifier},
				{"charge_key", Identifier},
				{"amount_minor", Money},
				{"created_at", Activity},
			},
		},
		{
			Name: "store_credit_charges", Section: "storeCreditPayments", Fate: Kept, Why: byBooks,
			Of: "credit_id IN (SELECT id FROM store_credits WHERE customer_id = $1)",
			Columns: []Column{
				{"key", Identifier},
				{"reference", Identifier},
				{"credit_id", Identifier},
				{"status", Money},
				{"amount_minor", Money},
				{"captured_minor", Money},
				{"currency", Money},
				{"decline_code", Money},
				{"created_at", Activity},
			},
		},
		{
			Name: "payment_attempts", Section: "paymentAttempts", Fate: Kept, Why: byBooks,
			Of: "(showtime_id, payment_id) IN (SELECT showtime_id, id FROM payments WHERE viewer_id = $1)",
			Columns: []Column{
				{"id", Identifier},
				{"showtime_id", Identifier},
				{"payment_id", Identifier},
				{"number", Activity},
				{"gateway", Money},
				{"amount_minor", Money},
				{"taken_minor", Money},
				{"credit_minor", Money},
				{"origin_key", Identifier},
				{"origin_minor", Money},
				{"status", Money},
				{"gateway_reference", Money},
				{"decline_code", Money},
				{"idempotency_key", Identifier},
				{"leased_until", Derived},
				{"created_at", Activity},
				{"updated_at", Activity},
			},
		},
		{
			Name: "refunds", Section: "refunds", Fate: Kept, Why: byBooks,
			Of: "(showtime_id, payment_id) IN (SELECT showtime_id, id FROM payments WHERE viewer_id = $1)",
			Columns: []Column{
				{"id", Identifier},
				{"showtime_id", Identifier},
				{"payment_id", Identifier},
				{"attempt_id", Identifier},
				{"number", Activity},
				{"amount_minor", Money},
				{"cause", Money},
				{"seats", Activity},
				{"status", Money},
				{"leased_until", Derived},
				{"created_at", Activity},
				{"done_at", Activity},
				{"to_showtime_id", Identifier},
				{"to_reservation_id", Identifier},
				{"try", Activity},
				{"failure_code", Money},
				{"by_hand_minor", Money},
				{"destination", Money},
			},
		},
		{
			Name: "swaps", Section: "swaps", Fate: Kept, Why: byBooks,
			Of: "(showtime_id, reservation_id) IN (SELECT showtime_id, id FROM reservations WHERE viewer_id = $1)",
			Columns: []Column{
				{"showtime_id", Identifier},
				{"reservation_id", Identifier},
				{"from_showtime_id", Identifier},
				{"from_reservation_id", Identifier},
				{"seats", Activity},
				{"value_minor", Money},
				{"fee_minor", Money},
			},
		},
		{
			Name: "handovers", Section: "handovers", Fate: Kept, Why: byBooks,
			Of: "(showtime_id, reservation_id) IN (SELECT showtime_id, id FROM reservations WHERE viewer_id = $1)",
			Columns: []Column{
				{"showtime_id", Identifier},
				{"attempt_id", Identifier},
				{"reservation_id", Identifier},
				{"to_showtime_id", Identifier},
				{"to_reservation_id", Identifier},
				{"seats", Activity},
				{"credit_minor", Money},
				{"back_minor", Money},
				{"sources", Money},
				{"status", Money},
				{"leased_until", Derived},
				{"created_at", Activity},
			},
		},
		{
			Name: "payment_recoveries", Section: "paymentRecoveries", Fate: Kept, Why: byBooks,
			Of: "(showtime_id, reservation_id) IN (SELECT showtime_id, id FROM reservations WHERE viewer_id = $1)",
			Columns: []Column{
				{"showtime_id", Identifier},
				{"attempt_id", Identifier},
				{"reservation_id", Identifier},
				{"rung", Money},
				{"lost", Activity},
				{"offered", Activity},
				{"answer", Activity},
				{"created_at", Activity},
				{"answered_at", Activity},
			},
		},
		{
			Name: "till_entries", Section: "moneyAtCounters", Doer: "staff_id", Fate: Kept, Why: byBooks,
			Of: "(showtime_id, payment_id) IN (SELECT showtime_id, id FROM payments WHERE viewer_id = $1)",
			Columns: []Column{
				{"id", Identifier},
				{"showtime_id", Identifier},
				{"payment_id", Identifier},
				{"refund_id", Identifier},
				{"theater_id", Identifier},
				{"staff_id", Doer},
				{"kind", Money},
				{"method", Money},
				{"amount_minor", Money},
				{"given_minor", Money},
				{"terminal_reference", Money},
				{"idempotency_key", Identifier},
				{"created_at", Activity},
			},
		},
		{
			Name: "mismatches", Section: "mismatchedPayments", Doer: "owner_id", Fate: Kept, Why: byBooks,
			Of: "owner_id = $1 OR (showtime_id, payment_id) IN (SELECT showtime_id, id FROM payments WHERE viewer_id = $1)",
			Columns: []Column{
				{"id", Identifier},
				{"gateway", Money},
				{"charge_key", Identifier},
				{"kind", Money},
				{"reference", Identifier},
				{"showtime_id", Identifier},
				{"payment_id", Identifier},
				{"theater_id", Identifier},
				{"ours_minor", Money},
				{"ours_currency", Money},
				{"theirs_minor", Money},
				{"theirs_currency", Money},
				{"state", Money},
				{"owner_id", Doer},
				{"note", Doer},
				{"last_seen_at", Activity},
				{"closed_at", Activity},
				{"created_at", Activity},
			},
		},
		{
			Name: "ledger_transfers", Section: "moneyMoved", Fate: Kept, Why: byBooks,
			Of: "(showtime_id, payment_id) IN (SELECT showtime_id, id FROM payments WHERE viewer_id = $1)",
			Columns: []Column{
				{"showtime_id", Identifier},
				{"id", Identifier},
				{"theater_id", Identifier},
				{"payment_id", Identifier},
				{"subject_id", Identifier},
				{"kind", Money},
				{"debit", Money},
				{"credit", Money},
				{"gateway", Money},
				{"amount_minor", Money},
				{"currency", Money},
				{"created_at", Activity},
			},
		},
		{Name: "tickets", Section: "tickets", Of: ofTheir, Fate: Kept, Why: byBooks, Columns: []Column{
			{"id", Identifier},
			{"showtime_id", Identifier},
			{"reservation_id", Identifier},
			{"seat_no", Activity},
			{"code", Activity},
			{"status", Activity},
			{"issued_at", Activity},
		}},
		{
			Name: "seat_claims", Section: "seats", Of: ofTheir, Fate: Kept, Why: "A seat that is paid stays taken.",
			Columns: []Column{{"showtime_id", Identifier}, {"seat_no", Activity}, {"reservation_id", Identifier}, {"held_until", Activity}},
		},
		{Name: "reviews", Section: "reviews", Of: "user_id = $1", Fate: WithAccount, Columns: []Column{
			{"id", Identifier},
			{"movie_id", Identifier},
			{"user_id", Identifier},
			{"rating", Activity},
			{"spoiler", Activity},
			{"named", Preference},
			{"document", Activity},
			{"status", Activity},
			{"hidden_for", Activity},
			{"queued_at", Activity},
			{"helpful", Activity},
			{"created_at", Activity},
			{"edited_at", Activity},
		}},
		{
			Name: "review_edits", Section: "reviewEdits", Fate: WithAccount,
			Of: "review_id IN (SELECT id FROM reviews WHERE user_id = $1)",
			Columns: []Column{
				{"id", Identifier},
				{"review_id", Identifier},
				{"rating", Activity},
				{"spoiler", Activity},
				{"document", Activity},
				{"replaced_at", Activity},
			},
		},
		{Name: "review_reports", Section: "reviewReports", Of: "user_id = $1", Fate: WithAccount, Columns: []Column{
			{"id", Identifier},
			{"review_id", Identifier},
			{"user_id", Identifier},
			{"fault", Activity},
			{"created_at", Activity},
			{"settled_at", Activity},
		}},
		{Name: "review_votes", Section: "reviewVotes", Of: "user_id = $1", Fate: WithAccount, Columns: []Column{
			{"id", Identifier},
			{"review_id", Identifier},
			{"user_id", Identifier},
			{"created_at", Activity},
		}},
		{
			Name: "audit_entries", Section: "auditLog", Of: "actor_id = $1 OR subject = $2", Doer: "actor_id", Fate: Kept,
			Why: "What was done on the platform stays provable, without limit; of people there are ids, and the network a request came from.",
			Columns: []Column{
				{"id", Identifier},
				{"created_at", Activity},
				{"action", Activity},
				{"actor_id", Doer},
				{"subject", Identifier},
				{"theater_id", Identifier},
				{"reason", Activity},
				{"before", Activity},
				{"after", Activity},
				{"request_id", Activity},
				{"address", Doer},
				{"position", Derived},
				{"seal", Derived},
			},
		},
		{Name: "email_changes", Section: "emailChanges", Of: "user_id = $1", Fate: WithAccount, Why: "Until it is settled: seven days or so.", Columns: []Column{
			{"id", Identifier},
			{"user_id", Identifier},
			{"session_id", Identifier},
			{"email_sealed", Contact},
			{"created_at", Activity},
			{"taken_at", Activity},
			{"left_at", Activity},
		}},
		{Name: "mailed_tokens", Section: "mailedTokens", Of: "user_id = $1", Fate: WithAccount, Limit: 7 * day, Columns: []Column{
			{"id", Identifier},
			{"purpose", Activity},
			{"user_id", Identifier},
			{"email_sealed", Contact},
			{"created_at", Activity},
			{"expires_at", Activity},
		}},
		{
			Name: "mails", Fate: Kept, Limit: 31 * day,
			Why: "A mail that waits is sealed, names nobody in the clear, and is emptied when it is sent, within a day.",
			Columns: []Column{
				{"id", Identifier},
				{"kind", Activity},
				{"state", Activity},
				{"payload_sealed", Contact},
				{"attempts", Activity},
				{"due_at", Activity},
				{"fault", Activity},
				{"created_at", Activity},
				{"settled_at", Activity},
			},
		},
		{Name: "session_revocations", Fate: Kept, Limit: 17 * time.Minute, Why: "Ids of sessions that are over, while an access token of theirs could live.", Columns: []Column{
			{"session_id", Identifier},
			{"generation", Derived},
			{"noted_at", Activity},
		}},
		{
			Name: "webhook_events", Fate: Kept, Limit: 90 * day,
			Why: "What gateways told of charges, without the body that said it: ids and times, which lead to a person only as long as their payment does.",
			Columns: []Column{
				{"id", Identifier},
				{"gateway", Money},
				{"event_id", Identifier},
				{"kind", Money},
				{"charge_key", Identifier},
				{"charge_reference", Identifier},
				{"state", Derived},
				{"occurred_at", Activity},
				{"received_at", Activity},
				{"processed_at", Derived},
				{"showtime_id", Identifier},
				{"reservation_id", Identifier},
				{"payment_id", Identifier},
			},
		},
		{Name: "code_guesses", Fate: Kept, Limit: 10 * time.Minute, Why: "A count, of which nothing says what was asked for.", Columns: []Column{
			{"id", Identifier},
			{"wrong", Activity},
			{"began_at", Activity},
		}},
		{Name: "guesses", Fate: Kept, Limit: 90 * day, Why: "Counts under a keyed hash, which finds nobody.", Columns: []Column{
			{"id", Derived},
			{"failures", Activity},
			{"failed_at", Activity},
			{"succeeded_at", Activity},
		}},
		{
			Name: "erasures", Fate: Kept, Why: "Ids that lead to nobody: what a restored backup must forget again, however old it is.",
			Columns: []Column{{"user_id", Identifier}, {"erased_at", Activity}},
		},
	}
}

// Impersonal returns the columns that tell nothing about anybody, by table.
func Impersonal() map[string]string {
	return map[string]string{
		"goose_db_version":   "id version_id is_applied tstamp",
		"genres":             "id name",
		"movies":             "id title release_date run_time_minutes certificate director distributor imdb_rating_tenths imdb_votes created_at",
		"movie_genres":       "movie_id genre_id",
		"movie_ratings":      "movie_id rating reviews",
		"theaters":           "id name address city country_code latitude longitude time_zone currency opens_minute closes_minute created_at",
		"screens":            "id theater_id name trailer_minutes cleaning_minutes",
		"seat_layouts":       "id screen_id version seat_count created_at",
		"seats":              "id layout_id seat_no row_label number x y category group_no companion_of",
		"seat_rules":         "theater_id no_seat_left_alone relaxed_at_free_percent relaxed_minutes_before_start accessible_release_minutes updated_at",
		"showtimes":          "id movie_id theater_id screen_id layout_id starts_at ends_at occupied_until format language subtitles status created_at version",
		"price_tiers":        "id showtime_id category amount_minor",
		"promotions":         "id theater_id code label basis_points amount_minor starts_at ends_at max_uses max_minor per_user combinable scope active version used_count used_minor created_at",
		"price_rules":        "id theater_id kind label ticket_type format weekdays from_minute to_minute basis_points amount_minor per_reservation included active created_at",
		"pay_later_policies": "theater_id lead_minutes max_open updated_at",
		"refund_policies":    "theater_id version steps late_without_refund kept_per_ticket_minor kept_once_minor fees_returned holds_from swap_minutes swap_fee_minor",
		"theater_gateways":   "theater_id currency gateways updated_at",
		"reconciliations":    "id gateway period_from period_to outcome compared found healed leased_until created_at ended_at",
		"showtime_sales":     "showtime_id status opens_at closes_at seat_count max_seats currency price_version",
		// Jobs know what they are about by ids.
		"river.river_job": `id state attempt max_attempts attempted_at created_at finalized_at scheduled_at priority args attempted_by errors kind metadata
			queue tags unique_key unique_states`,
		"river.river_leader":       "elected_at expires_at leader_id name",
		"river.river_queue":        "name created_at metadata paused_at updated_at",
		"river.river_notification": "id created_at payload topic",
		"river.river_migration":    "line version created_at",
	}
}
