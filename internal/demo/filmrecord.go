package demo

import (
	"encoding/json"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

const (
	// lastReleaseYear ends the data's own time. The list was made in 2010 and holds two announced films of 2011; the
	// next later years are 2015, 2016, 2020, and each of those films is a hundred years older than that.
	lastReleaseYear = 2011
	// firstReleaseYear is that of the first public projection.
	firstReleaseYear = 1895

	maxNameLength     = 200
	maxRunTimeMinutes = 600
	maxVotes          = 100_000_000
)

// movieRecord is a record as the source promises it. A field of another type makes the record unfit, except for the
// title, where the source itself wrote numbers.
type movieRecord struct {
	Title        json.RawMessage `json:"Title"`
	ReleaseDate  *string         `json:"Release Date"`
	RunTime      *int64          `json:"Running Time min"`
	Certificate  *string         `json:"MPAA Rating"`
	Genre        *string         `json:"Major Genre"`
	CreativeType *string         `json:"Creative Type"`
	Distributor  *string         `json:"Distributor"`
	Director     *string         `json:"Director"`
	Source       *string         `json:"Source"`
	IMDBRating   *float64        `json:"IMDB Rating"`
	IMDBVotes    *int64          `json:"IMDB Votes"`
}

// film turns the record into a film, with what had to be repaired; the last result says why it gives none.
func (m movieRecord) film() (Film, notes, note) {
	var n notes
	title, why := n.titleText(m.Title)
	if why.kind != "" {
		return Film{Title: title}, n, why
	}
	film := Film{
		ReleaseDate:    n.releaseDate(m.ReleaseDate),
		RunTimeMinutes: n.runTime(m.RunTime),
		Certificate:    n.certificate(m.Certificate),
		Genre:          n.name("genre", m.Genre),
		CreativeType:   n.name("creative type", m.CreativeType),
		Distributor:    n.name("distributor", m.Distributor),
		Director:       n.name("director", m.Director),
		Source:         n.name("source", m.Source),
	}
	film.Title = n.displayTitle(title, film.ReleaseDate)
	if film.Distributor == "Distributor Unknown" {
		n.repair(RepairPlaceholder, film.Distributor)
		film.Distributor = ""
	}
	film.IMDBRatingTenths, film.IMDBVotes = n.rating(m.IMDBRating, m.IMDBVotes)
	return film, n, note{}
}

var plainNumber = regexp.MustCompile(`^\d{1,9}(\.\d{1,3})?$`)

// titleText reads the title field. encoding/json has checked the syntax of raw, which is empty when the field is absent.
func (n *notes) titleText(raw json.RawMessage) (string, note) {
	var text string
	switch {
	case len(raw) == 0 || string(raw) == "null":
		return "", note{SkipNoTitle, "the title is null"}
	case raw[0] == '"':
		if err := json.Unmarshal(raw, &text); err != nil {
			return "", note{SkipDamaged, excerpt(raw)}
		}
	case plainNumber.Match(raw):
		text = string(raw)
		n.repair(RepairNumericTitle, text)
	default:
		return "", note{SkipWrongShape, "Title is " + excerpt(raw)}
	}
	text = n.clean(text)
	if text == "" {
		return "", note{SkipNoTitle, "the title is empty"}
	}
	if utf8.RuneCountInString(text) > maxNameLength {
		return excerpt([]byte(text)), note{SkipTitleTooLong, fmt.Sprintf("%d characters", utf8.RuneCountInString(text))}
	}
	return text, note{}
}

var (
	trailingArticle = regexp.MustCompile(`^(.*\S) ?, (The|A|An|Le|La|Les)$`)
	trailingYear    = regexp.MustCompile(`^(.*\S) \((\d{4})\)$`)
)

// displayTitle undoes what a sorted list did to a title. The year is dropped only where it repeats the release date.
func (n *notes) displayTitle(title string, released time.Time) string {
	if m := trailingArticle.FindStringSubmatch(title); m != nil {
		n.repair(RepairArticle, title)
		title = m[2] + " " + m[1]
	}
	if m := trailingYear.FindStringSubmatch(title); m != nil && m[2] == strconv.Itoa(released.Year()) {
		n.repair(RepairYearInTitle, title)
		title = m[1]
	}
	return title
}

func (n *notes) releaseDate(text *string) time.Time {
	if text == nil {
		return time.Time{}
	}
	date, err := time.Parse("Jan 2 2006", strings.TrimSpace(*text))
	if err != nil {
		n.repair(RepairDate, excerpt([]byte(*text)))
		return time.Time{}
	}
	if date.Year() > lastReleaseYear {
		date = date.AddDate(-100, 0, 0)
		if date.Year() <= lastReleaseYear && date.Year() >= firstReleaseYear {
			n.repair(RepairCentury, fmt.Sprintf("%s became %d", *text, date.Year()))
		}
	}
	month, day := date.Month(), date.Day()
	switch {
	case date.Year() > lastReleaseYear || date.Year() < firstReleaseYear:
		n.repair(RepairDate, *text)
		return time.Time{}
	case date.Year() == 1969 && month == time.December && day == 31:
		n.repair(RepairEpoch, *text)
		return time.Time{}
	case month == time.December && day == 31, month == time.January && day == 1:
		n.doubt(DoubtYearOnly, *text)
	}
	return date
}

func (n *notes) runTime(minutes *int64) int {
	if minutes == nil {
		return 0
	}
	if *minutes <= 0 || *minutes > maxRunTimeMinutes {
		n.repair(RepairRunTime, fmt.Sprintf("%d minutes", *minutes))
		return 0
	}
	return int(*minutes)
}

func (n *notes) certificate(text *string) string {
	if text == nil {
		return ""
	}
	switch *text {
	case "G", "PG", "PG-13", "R", "NC-17":
		return *text
	case "Not Rated":
		return "NR"
	}
	n.repair(RepairCertificate, excerpt([]byte(*text)))
	return ""
}

// rating returns tenths and votes. Neither says anything without the other, so both stand or fall together.
func (n *notes) rating(rating *float64, count *int64) (tenths, votes int) {
	if rating == nil || count == nil {
		return 0, 0
	}
	if !(*rating >= 1 && *rating <= 10) || *count <= 0 || *count > maxVotes {
		n.repair(RepairRating, fmt.Sprintf("%g with %d votes", *rating, *count))
		return 0, 0
	}
	return int(math.Round(*rating * 10)), int(*count)
}

// name reads a field that is a short text.
func (n *notes) name(field string, text *string) string {
	if text == nil {
		return ""
	}
	clean := n.clean(*text)
	if utf8.RuneCountInString(clean) > maxNameLength {
		n.repair(RepairOverlong, field+" "+excerpt([]byte(clean)))
		return ""
	}
	return clean
}
