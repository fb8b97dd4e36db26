package demo

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
)

// ReadFilms reads a list of films in the shape of the embedded movies.json and says what became of every record.
//
// It survives every record: one that cannot give a film is skipped with its reason and the next goes on, also when
// its text is not JSON at all. Memory is bounded per record, not only per list. The error is ErrNotArray when the
// stream does not begin as a JSON array, or the reader's own failure together with what was read before it.
// What follows the array's closing bracket is not read.
func ReadFilms(r io.Reader) ([]Film, Report, error) {
	records, err := newRecordSplitter(r)
	if err != nil {
		return nil, newReport(), err
	}
	in := filmImport{report: newReport(), seen: map[titleYear]int{}, voted: map[votes][]string{}}
	for {
		raw, damage, err := records.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return in.films, in.report, err
		}
		in.add(raw, damage)
	}
	if !records.closed {
		in.report.Doubts[DoubtUnclosed]++
		in.report.Findings = append(in.report.Findings, Finding{
			Record: in.report.Read, Kind: DoubtUnclosed, Detail: "the stream stopped before the closing bracket",
		})
	}
	return in.films, in.report, nil
}

type (
	// titleYear is what makes two records the same film; the year is 0 when unknown. A remake has another year.
	titleYear struct {
		title string
		year  int
	}
	// votes is an audience: two films can hardly have the same by chance.
	votes struct{ count, ratingTenths int }
)

// filmImport is one run over a list.
type filmImport struct {
	films  []Film
	report Report
	seen   map[titleYear]int  // the record that gave the film
	voted  map[votes][]string // lower-case titles of the films with that audience
}

func (in *filmImport) add(raw []byte, damage string) {
	if damage != "" {
		in.report.skip("", note{damage, excerpt(raw)})
		return
	}
	record, why := decodeRecord(raw)
	if why.kind != "" {
		in.report.skip("", why)
		return
	}
	film, notes, why := record.film()
	if why.kind != "" {
		in.report.skip(film.Title, why)
		return
	}
	key := titleYear{title: strings.ToLower(film.Title)}
	if !film.ReleaseDate.IsZero() {
		key.year = film.ReleaseDate.Year()
	}
	if first, known := in.seen[key]; known {
		in.report.skip(film.Title, note{SkipDuplicate, fmt.Sprintf("same title and year as record %d", first)})
		return
	}
	in.seen[key] = in.report.Read + 1
	in.compareVotes(film, key.title, &notes)
	in.films = append(in.films, film)
	in.report.accept(film, notes)
}

// compareVotes notices the join by title that gave a remake or a sequel the votes of its namesake.
func (in *filmImport) compareVotes(film Film, title string, notes *notes) {
	if film.IMDBVotes == 0 {
		return
	}
	audience := votes{film.IMDBVotes, film.IMDBRatingTenths}
	for _, other := range in.voted[audience] {
		if strings.HasPrefix(title, other) || strings.HasPrefix(other, title) {
			notes.doubt(DoubtSharedRating, fmt.Sprintf("%d votes, as %q", film.IMDBVotes, other))
			break
		}
	}
	in.voted[audience] = append(in.voted[audience], title)
}

func decodeRecord(raw []byte) (movieRecord, note) {
	raw = bytes.TrimSpace(raw)
	var record movieRecord
	err := json.Unmarshal(raw, &record)
	var wrongType *json.UnmarshalTypeError
	switch {
	case errors.As(err, &wrongType) && wrongType.Field != "":
		return movieRecord{}, note{SkipWrongShape, fmt.Sprintf("%s is a %s", wrongType.Field, wrongType.Value)}
	case errors.As(err, &wrongType):
		return movieRecord{}, note{SkipWrongShape, "the record is a " + wrongType.Value}
	case err != nil:
		return movieRecord{}, note{SkipDamaged, excerpt(raw)}
	case string(raw) == "null":
		return movieRecord{}, note{SkipWrongShape, "the record is null"}
	}
	return record, note{}
}

// excerpt shows the beginning of a record in a finding.
func excerpt(raw []byte) string {
	const shown = 60
	text := strings.ToValidUTF8(string(bytes.TrimSpace(raw)), "\ufffd")
	if short := []rune(text); len(short) > shown {
		text = string(short[:shown]) + "…"
	}
	return text
}
