package demo

import "slices"

// Repairs: what was wrong with a record and could be put right, or replaced by "unknown" where the truth is lost.
const (
	RepairNumericTitle = "title written as a number"  // 300, 1776, 2012: the digits are the title
	RepairEncoding     = "wrong character encoding"   // Windows-1252 read as Mac Roman: LÈon for Léon
	RepairSpacing      = "odd spacing"                // runs of white space, control and invisible characters
	RepairEntity       = "HTML entity"                // &amp; for &
	RepairQuotes       = "doubled quotes"             // left over from a CSV file: ""King Jeff""
	RepairArticle      = "article after the title"    // Barbarians, The
	RepairYearInTitle  = "release year in the title"  // King Kong (1933), released in 1933
	RepairCentury      = "wrong century"              // 2039 for 1939
	RepairEpoch        = "release date lost to epoch" // 31 December 1969: a null read as Unix time zero west of Greenwich
	RepairDate         = "impossible release date"    // not a date, or before the first film
	RepairRunTime      = "impossible run time"        // zero, negative, or longer than any film in theaters
	RepairCertificate  = "unknown certificate"        // Open, and whatever else the MPAA never gave
	RepairRating       = "impossible rating"          // outside 1 to 10, or a vote count below zero
	RepairPlaceholder  = "placeholder name"           // Distributor Unknown
	RepairOverlong     = "overlong text"              // a field, not the title, longer than any name
)

// Skips: why a record gave no film.
const (
	SkipNoTitle      = "no title"
	SkipTitleTooLong = "title too long"
	SkipWrongShape   = "wrong shape" // not an object, or a field of another type than the source's
	SkipDamaged      = "not JSON"
	SkipTooLong      = "record too long"
	SkipDuplicate    = "duplicate" // same title and release year as an earlier record
)

// Doubts: what looks wrong but cannot be decided from the record, so it was left as it stands.
const (
	DoubtYearOnly     = "date may be only a year"   // 1 January, or the day before it: a bare year less one day
	DoubtSharedRating = "rating shared by namesake" // the same votes as an earlier film of that name or series
	DoubtUnreadable   = "unreadable character"      // U+FFFD: the original letter is lost
	DoubtUnclosed     = "list has no end"           // the stream stopped before the closing bracket
)

// Finding is one thing the importer noticed.
type Finding struct {
	Record int    // position in the list, the first record is 1
	Title  string // as imported, or as far as it could be read
	Kind   string // one of the Repair, Skip and Doubt constants
	Detail string // what was there and what became of it
}

// Report says what became of every record of a film list.
//
// Read is always Imported + Skipped. A record is counted once in each kind of repair or doubt it shows, once in
// Repaired however many repairs it needed, and under exactly one reason in Skips when it gave no film; what was
// repaired in a record that is skipped in the end is not reported.
type Report struct {
	Read, Imported, Repaired, Skipped int

	Repairs  map[string]int // kind -> records
	Skips    map[string]int // reason -> records; the values add up to Skipped
	Doubts   map[string]int // kind -> records
	Missing  map[string]int // field -> imported films without it, after the repairs
	Findings []Finding      // repairs, doubts and skips in the order of the list
}

func newReport() Report {
	return Report{
		Repairs: map[string]int{},
		Skips:   map[string]int{},
		Doubts:  map[string]int{},
		Missing: map[string]int{},
	}
}

func (r *Report) skip(title string, why note) {
	r.Read++
	r.Skipped++
	r.Skips[why.kind]++
	r.Findings = append(r.Findings, Finding{Record: r.Read, Title: title, Kind: why.kind, Detail: why.detail})
}

func (r *Report) accept(film Film, notes notes) {
	r.Read++
	r.Imported++
	if len(notes.repairs) > 0 {
		r.Repaired++
	}
	r.count(film, notes.repairs, r.Repairs)
	r.count(film, notes.doubts, r.Doubts)
	for field, missing := range map[string]bool{
		"release date": film.ReleaseDate.IsZero(),
		"run time":     film.RunTimeMinutes == 0,
		"certificate":  film.Certificate == "",
		"genre":        film.Genre == "",
		"distributor":  film.Distributor == "",
		"director":     film.Director == "",
		"source":       film.Source == "",
		"rating":       film.IMDBRatingTenths == 0,
	} {
		if missing {
			r.Missing[field]++
		}
	}
}

func (r *Report) count(film Film, found []note, counts map[string]int) {
	var counted []string
	for _, n := range found {
		r.Findings = append(r.Findings, Finding{Record: r.Read, Title: film.Title, Kind: n.kind, Detail: n.detail})
		if !slices.Contains(counted, n.kind) {
			counted = append(counted, n.kind)
			counts[n.kind]++
		}
	}
}

// note is a finding whose record is not known yet.
type note struct{ kind, detail string }

// notes collects what was noticed in one record.
type notes struct{ repairs, doubts []note }

func (n *notes) repair(kind, detail string) { n.repairs = append(n.repairs, note{kind, detail}) }
func (n *notes) doubt(kind, detail string)  { n.doubts = append(n.doubts, note{kind, detail}) }
