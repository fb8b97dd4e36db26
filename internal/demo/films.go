package demo

import (
	"compress/gzip"
	_ "embed"
	"fmt"
	"strings"
	"time"
)

// moviesGzip is movies.json of vega-datasets 3.2.1 (UW Interactive Data Lab, BSD-3-Clause), unchanged but for `gzip -n`.
//
//go:embed movies.json.gz
var moviesGzip string

// Film is one film of the catalogue. Whatever the source does not know, or knows wrongly beyond repair, is the zero value.
type Film struct {
	Title            string    // never empty, valid UTF-8, without control characters, at most 200 characters
	ReleaseDate      time.Time // a civil date as midnight UTC; zero when unknown
	RunTimeMinutes   int       // 0 when unknown: the film stays in the catalogue and is never scheduled
	Certificate      string    // MPAA: G, PG, PG-13, R, NC-17, NR for not rated, or "" when unknown
	Genre            string    // the source's major genre, such as "Thriller/Suspense"
	CreativeType     string    // what the story is made of, such as "Kids Fiction" or "Science Fiction"
	Distributor      string
	Director         string
	Source           string // what the script is based on, such as "Based on Play"
	IMDBRatingTenths int    // 61 for 6.1; 0 when unknown
	IMDBVotes        int    // 0 when unknown
}

// Films reads the embedded film list. It parses on every call and takes some tens of milliseconds: keep the result.
//
// It panics when the embedded file cannot be read, which only a damaged build can cause.
func Films() ([]Film, Report) {
	films, report, err := embeddedFilms()
	if err != nil {
		panic(fmt.Errorf("demo: the embedded film list: %w", err))
	}
	return films, report
}

func embeddedFilms() ([]Film, Report, error) {
	unpacked, err := gzip.NewReader(strings.NewReader(moviesGzip))
	if err != nil {
		return nil, Report{}, err
	}
	return ReadFilms(unpacked)
}
