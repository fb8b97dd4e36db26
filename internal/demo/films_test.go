package demo_test

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"os"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"marquee/internal/demo"
)

// The numbers were counted in the source file by other means than the importer.
func TestFilms_reports_every_flaw_of_the_source(t *testing.T) {
	t.Parallel()
	films, got := demo.Films()
	want := demo.Report{
		Read:     3201,
		Imported: 3200,
		Skipped:  1,
		Repaired: 68,
		Repairs: map[string]int{
			demo.RepairNumericTitle: 9,
			demo.RepairEncoding:     18,
			demo.RepairSpacing:      2,
			demo.RepairQuotes:       1,
			demo.RepairArticle:      5,
			demo.RepairYearInTitle:  3,
			demo.RepairCentury:      22,
			demo.RepairEpoch:        8,
			demo.RepairCertificate:  2,
			demo.RepairPlaceholder:  1,
		},
		Skips:  map[string]int{demo.SkipNoTitle: 1},
		Doubts: map[string]int{demo.DoubtYearOnly: 97, demo.DoubtSharedRating: 28},
		Missing: map[string]int{
			"release date": 8,
			"run time":     1992,
			"certificate":  607,
			"genre":        275,
			"distributor":  233,
			"director":     1330,
			"source":       365,
			"rating":       213,
		},
	}
	findings := got.Findings
	got.Findings = nil
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("report (-want +got):\n%s", diff)
	}
	if len(films) != got.Imported {
		t.Errorf("%d films, but %d are reported", len(films), got.Imported)
	}
	if wanted := 71 + 97 + 28 + 1; len(findings) != wanted {
		t.Errorf("%d findings, want %d", len(findings), wanted)
	}
	schedulable := 0
	for _, film := range films {
		if film.RunTimeMinutes >= 60 && film.RunTimeMinutes <= 240 {
			schedulable++
		}
	}
	if schedulable != 1207 {
		t.Errorf("%d films can be scheduled, want 1207", schedulable)
	}
}

func TestFilms_imports_a_film_whole(t *testing.T) {
	t.Parallel()
	films, _ := demo.Films()
	byTitle := map[string][]demo.Film{}
	for _, film := range films {
		byTitle[film.Title] = append(byTitle[film.Title], film)
	}
	want := []demo.Film{
		{Title: "King Kong", ReleaseDate: day(1933, time.April, 7), RunTimeMinutes: 100},
		{
			Title:            "King Kong",
			ReleaseDate:      day(1976, time.December, 17),
			Director:         "John Guillermin",
			IMDBRatingTenths: 76,
			IMDBVotes:        132_720,
		},
		{
			Title:            "King Kong",
			ReleaseDate:      day(2005, time.December, 14),
			RunTimeMinutes:   187,
			Certificate:      "PG-13",
			Genre:            "Adventure",
			CreativeType:     "Fantasy",
			Distributor:      "Universal",
			Director:         "Peter Jackson",
			Source:           "Remake",
			IMDBRatingTenths: 76,
			IMDBVotes:        132_720,
		},
	}
	if diff := cmp.Diff(want, byTitle["King Kong"]); diff != "" {
		t.Errorf("films (-want +got):\n%s", diff)
	}
	for _, title := range []string{
		"300", "1776", "2012", "Léon", "La mala educación", "Die Fälscher", "Per qualche dollaro in più", "Alien³", "Ri¢hie Ri¢h",
		"The Naked Gun 2½: The Smell of Fear", "I Love You … Don't Touch Me!", "Les Couloirs du temps: Les visiteurs 2",
	} {
		if len(byTitle[title]) != 1 {
			t.Errorf("%q is there %d times", title, len(byTitle[title]))
		}
	}
}

// The packed copy is the published file, and packing it again would give the same bytes.
func TestFilms_embedded_copy_is_the_published_one(t *testing.T) {
	t.Parallel()
	packed, err := os.ReadFile("movies.json.gz")
	if err != nil {
		t.Fatal(err)
	}
	unpacked, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(unpacked)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(text)
	if got := hex.EncodeToString(sum[:]); got != "e63c499759e3b07b49563e036f55290f87feb56def8703ec049ca305ab1523d3" {
		t.Errorf("movies.json has the sum %s", got)
	}
	if unpacked.Name != "" || !unpacked.ModTime.IsZero() {
		t.Errorf("the archive remembers a file %q of %v", unpacked.Name, unpacked.ModTime)
	}
}
