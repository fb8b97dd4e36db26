package demo_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"marquee/internal/demo"
)

func TestReadFilms_repairs(t *testing.T) {
	t.Parallel()
	released := func(year int, month time.Month, date int) demo.Film {
		return demo.Film{Title: "A", ReleaseDate: day(year, month, date)}
	}
	titled := func(title string) demo.Film { return demo.Film{Title: title} }
	for name, c := range map[string]struct {
		record string
		want   demo.Film
		kinds  []string // of the findings
	}{
		"a_sound_title_is_left_alone":        {`{"Title":"Amélie: l'Île, Öl & 7³"}`, titled("Amélie: l'Île, Öl & 7³"), nil},
		"an_initial_accent_is_left_alone":    {`{"Title":"L'Île"}`, titled("L'Île"), nil},
		"capital_accents_are_left_alone":     {`{"Title":"CAFÈ"}`, titled("CAFÈ"), nil},
		"a_foreign_letter_is_left_alone":     {`{"Title":"The Ω Man"}`, titled("The Ω Man"), nil},
		"an_initial_umlaut_is_left_alone":    {`{"Title":"The Öl"}`, titled("The Öl"), nil},
		"an_island_is_left_alone":            {`{"Title":"Ö"}`, titled("Ö"), nil},
		"a_number_is_a_title":                {`{"Title":1408}`, titled("1408"), []string{demo.RepairNumericTitle}},
		"a_fraction_is_a_title":              {`{"Title":8.5}`, titled("8.5"), []string{demo.RepairNumericTitle}},
		"mac_roman_is_undone":                {`{"Title":"DÈj‡ Vu"}`, titled("Déjà Vu"), []string{demo.RepairEncoding}},
		"spaces_are_tidied":                  {`{"Title":" A \t\u0000 B\u00a0\ufeff"}`, titled("A B"), []string{demo.RepairSpacing}},
		"entities_are_decoded":               {`{"Title":"Fran&ccedil;ois &amp; &#65;T&T"}`, titled("François & AT&T"), []string{demo.RepairEntity}},
		"doubled_quotes_are_halved":          {`{"Title":"The \"\"King\"\""}`, titled(`The "King"`), []string{demo.RepairQuotes}},
		"the_article_comes_first":            {`{"Title":"Visiteurs , Les"}`, titled("Les Visiteurs"), []string{demo.RepairArticle}},
		"another_year_stays_in_the_title":    {`{"Title":"B (1933)"}`, titled("B (1933)"), nil},
		"a_lost_letter_is_doubted":           {`{"Title":"B\ud800"}`, titled("B\ufffd"), []string{demo.DoubtUnreadable}},
		"two_flaws_of_a_kind_are_both_found": {`{"Title":"B  C","Director":"D  E"}`, demo.Film{Title: "B C", Director: "D E"}, []string{demo.RepairSpacing, demo.RepairSpacing}},
		"the_century_is_put_right":           {`{"Title":"A","Release Date":"Feb 29 2096"}`, released(1996, time.February, 29), []string{demo.RepairCentury}},
		"2011_is_the_last_own_year":          {`{"Title":"A","Release Date":"Dec 30 2011"}`, released(2011, time.December, 30), nil},
		"2012_is_a_hundred_years_late":       {`{"Title":"A","Release Date":"Dec 30 2012"}`, released(1912, time.December, 30), []string{demo.RepairCentury}},
		"a_date_before_film_is_dropped":      {`{"Title":"A","Release Date":"Jan 02 1893"}`, titled("A"), []string{demo.RepairDate}},
		"a_date_centuries_away_is_dropped":   {`{"Title":"A","Release Date":"Jan 02 2233"}`, titled("A"), []string{demo.RepairDate}},
		"a_date_that_is_none_is_dropped":     {`{"Title":"A","Release Date":"Feb 30 2001"}`, titled("A"), []string{demo.RepairDate}},
		"the_epoch_is_no_date":               {`{"Title":"A","Release Date":"Dec 31 1969"}`, titled("A"), []string{demo.RepairEpoch}},
		"a_bare_year_is_doubted":             {`{"Title":"A","Release Date":"Jan 01 1980"}`, released(1980, time.January, 1), []string{demo.DoubtYearOnly}},
		"no_run_time_is_zero":                {`{"Title":"A","Running Time min":0}`, titled("A"), []string{demo.RepairRunTime}},
		"no_run_time_is_negative":            {`{"Title":"A","Running Time min":-90}`, titled("A"), []string{demo.RepairRunTime}},
		"no_run_time_is_ten_hours":           {`{"Title":"A","Running Time min":601}`, titled("A"), []string{demo.RepairRunTime}},
		"a_long_film_is_believed":            {`{"Title":"A","Running Time min":600}`, demo.Film{Title: "A", RunTimeMinutes: 600}, nil},
		"open_is_no_certificate":             {`{"Title":"A","MPAA Rating":"Open"}`, titled("A"), []string{demo.RepairCertificate}},
		"not_rated_is_one":                   {`{"Title":"A","MPAA Rating":"Not Rated"}`, demo.Film{Title: "A", Certificate: "NR"}, nil},
		"an_unknown_distributor_is_none":     {`{"Title":"A","Distributor":"Distributor Unknown"}`, titled("A"), []string{demo.RepairPlaceholder}},
		"ratings_begin_at_one":               {`{"Title":"A","IMDB Rating":0.9,"IMDB Votes":9}`, titled("A"), []string{demo.RepairRating}},
		"ratings_end_at_ten":                 {`{"Title":"A","IMDB Rating":10.1,"IMDB Votes":9}`, titled("A"), []string{demo.RepairRating}},
		"votes_are_not_negative":             {`{"Title":"A","IMDB Rating":9.1,"IMDB Votes":-9}`, titled("A"), []string{demo.RepairRating}},
		"a_rating_is_kept_in_tenths":         {`{"Title":"A","IMDB Rating":8.2,"IMDB Votes":9}`, demo.Film{Title: "A", IMDBRatingTenths: 82, IMDBVotes: 9}, nil},
		"a_rating_is_rounded":                {`{"Title":"A","IMDB Rating":8.27,"IMDB Votes":9}`, demo.Film{Title: "A", IMDBRatingTenths: 83, IMDBVotes: 9}, nil},
		"a_novel_is_no_name":                 {`{"Title":"A","Director":"` + strings.Repeat("x", 201) + `"}`, titled("A"), []string{demo.RepairOverlong}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			films, report, err := demo.ReadFilms(strings.NewReader("[" + c.record + "]"))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff([]demo.Film{c.want}, films); diff != "" {
				t.Errorf("films (-want +got):\n%s", diff)
			}
			var kinds []string
			for _, finding := range report.Findings {
				kinds = append(kinds, finding.Kind)
			}
			if diff := cmp.Diff(c.kinds, kinds); diff != "" {
				t.Errorf("findings (-want +got):\n%s", diff)
			}
			for _, counts := range []map[string]int{report.Repairs, report.Doubts} {
				for kind, n := range counts {
					if n != 1 || !slices.Contains(c.kinds, kind) {
						t.Errorf("one record counts as %d with %s", n, kind)
					}
				}
			}
			checkReport(t, films, report)
		})
	}
}

// One bad record between two good ones: the good ones must come through, the bad one must be named.
func TestReadFilms_skips(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ record, kind string }{
		"text_for_a_record":         {`"A Film"`, demo.SkipWrongShape},
		"a_number_for_a_record":     {`1e999`, demo.SkipWrongShape},
		"null_for_a_record":         {`null`, demo.SkipWrongShape},
		"a_list_for_a_record":       {`[[{"Title":"X"}],"]",{"}":[]}]`, demo.SkipWrongShape},
		"an_object_for_a_title":     {`{"Title":{"Title":"X"}}`, demo.SkipWrongShape},
		"a_truth_for_a_title":       {`{"Title":true}`, demo.SkipWrongShape},
		"a_huge_number_for_a_title": {`{"Title":1e400}`, demo.SkipWrongShape},
		"a_number_in_quotes":        {`{"Title":"X","Running Time min":"90"}`, demo.SkipWrongShape},
		"half_a_minute":             {`{"Title":"X","Running Time min":90.5}`, demo.SkipWrongShape},
		"a_huge_number":             {`{"Title":"X","IMDB Votes":1e300}`, demo.SkipWrongShape},
		"a_list_for_a_director":     {`{"Title":"X","Director":["Y"]}`, demo.SkipWrongShape},
		"no_title":                  {`{"titel":"X"}`, demo.SkipNoTitle},
		"an_empty_title":            {`{"Title":" \u200b\n"}`, demo.SkipNoTitle},
		"an_endless_title":          {`{"Title":"` + strings.Repeat("é", 201) + `"}`, demo.SkipTitleTooLong},
		"an_endless_record":         {`{"Title":"X","Plot":"` + strings.Repeat("x", 70_000) + `"}`, demo.SkipTooLong},
		"a_duplicate":               {`{"Title":"BEFORE","Release Date":"Aug 01 1999"}`, demo.SkipDuplicate},
		"nothing":                   {``, demo.SkipDamaged},
		"a_word":                    {`film`, demo.SkipDamaged},
		"a_missing_value":           {`{"Title":}`, demo.SkipDamaged},
		"a_missing_quote":           {`{"Title":"X}`, demo.SkipDamaged},
		"a_missing_brace":           {`{"Title":"X"`, demo.SkipDamaged},
		"a_brace_too_many":          {`{"Title":"X"}}`, demo.SkipDamaged},
		"a_missing_inner_brace":     {`{"Title":"X","Cast":{"A":"B"`, demo.SkipDamaged},
		"a_missing_inner_bracket":   {`{"Title":"X","Cast":["B"}`, demo.SkipDamaged},
		"a_bracket_for_a_brace":     {`{"Title":"X"]`, demo.SkipDamaged},
		"an_open_object_in_a_list":  {`[{"Title":"X"]`, demo.SkipDamaged},
		"an_abyss":                  {strings.Repeat("[", 2000), demo.SkipDamaged},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			before := `{"Title":"Before","Release Date":"Aug 02 1999"}`
			list := "[" + before + ",\n" + c.record + ",\n" + `{"Title":"After"}` + "\n]"
			films, report, err := demo.ReadFilms(strings.NewReader(list))
			if err != nil {
				t.Fatal(err)
			}
			checkReport(t, films, report)
			if len(films) != 2 || films[0].Title != "Before" || films[1].Title != "After" {
				t.Fatalf("films %+v", films)
			}
			if diff := cmp.Diff(map[string]int{c.kind: 1}, report.Skips); diff != "" {
				t.Fatalf("skips (-want +got):\n%s\n%+v", diff, report.Findings)
			}
			if len(report.Doubts) > 0 || len(report.Findings) != 1 || report.Findings[0].Record != 2 {
				t.Errorf("findings %+v", report.Findings)
			}
		})
	}
}

func TestReadFilms_remakes_are_not_duplicates(t *testing.T) {
	t.Parallel()
	films, report, err := demo.ReadFilms(strings.NewReader(`[
		{"Title":"The Fog","Release Date":"Feb 01 1980","IMDB Rating":3.3,"IMDB Votes":15760},
		{"Title":"Fog, The","Release Date":"Dec 24 1980","IMDB Rating":3.3,"IMDB Votes":15760},
		{"Title":"the fog","Release Date":"Oct 14 2005","IMDB Rating":3.3,"IMDB Votes":15760},
		{"Title":"The Fog"},
		{"Title":"Other","IMDB Rating":3.3,"IMDB Votes":15760}
	]`))
	if err != nil {
		t.Fatal(err)
	}
	if len(films) != 4 || report.Skips[demo.SkipDuplicate] != 1 || report.Doubts[demo.DoubtSharedRating] != 1 {
		t.Errorf("%d films, %+v", len(films), report)
	}
	if report.Repaired != 0 {
		t.Errorf("a repair of a record that was skipped is reported: %+v", report.Repairs)
	}
}

func TestReadFilms_ends(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		list     string
		imported int
		skipped  int
		unclosed bool
		err      error
	}{
		"empty_stream":            {"", 0, 0, false, demo.ErrNotArray},
		"blank_stream":            {" \n", 0, 0, false, demo.ErrNotArray},
		"an_object":               {`{"Title":"A"}`, 0, 0, false, demo.ErrNotArray},
		"text":                    {`<html>[]`, 0, 0, false, demo.ErrNotArray},
		"empty_list":              {" [ ] ", 0, 0, false, nil},
		"byte_order_mark":         {"\ufeff[{\"Title\":\"A\"}]", 1, 0, false, nil},
		"comma_after_the_last":    {`[{"Title":"A"},]`, 1, 0, false, nil},
		"no_closing_bracket":      {`[{"Title":"A"},{"Title":"B"}`, 2, 0, true, nil},
		"cut_between_records":     {`[{"Title":"A"},`, 1, 0, true, nil},
		"cut_in_a_record":         {`[{"Title":"A"},{"Title":"B`, 1, 1, true, nil},
		"text_after_the_list":     {`[{"Title":"A"}]{"Title":"B"}`, 1, 0, false, nil},
		"damage_at_the_very_end":  {"[{\"Title\":\"A\"},\n{\"Title\":\"B}\n]\n", 1, 1, false, nil},
		"damage_without_an_end":   {"[{\"Title\":\"A\"},\n{\"Title\":\"B}\n", 1, 1, true, nil},
		"nothing_but_the_opening": {"[", 0, 0, true, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			films, report, err := demo.ReadFilms(strings.NewReader(c.list))
			if !errors.Is(err, c.err) {
				t.Fatalf("error %v, want %v", err, c.err)
			}
			checkReport(t, films, report)
			if report.Imported != c.imported || report.Skipped != c.skipped || report.Doubts[demo.DoubtUnclosed] > 0 != c.unclosed {
				t.Errorf("report %+v", report)
			}
		})
	}
}

func TestReadFilms_returns_the_failure_of_the_reader(t *testing.T) {
	t.Parallel()
	broken := errors.New("the disk is gone")
	for _, list := range []string{"", " ", `[{"Title":"A"},{"Tit`, "[{\"Title\":\"A\"},{\"Title\":\"B\n"} {
		films, report, err := demo.ReadFilms(io.MultiReader(strings.NewReader(list), iotest.ErrReader(broken)))
		if !errors.Is(err, broken) {
			t.Errorf("after %q the error is %v", list, err)
		}
		if strings.Contains(list, `"A"`) && len(films) != 1 {
			t.Errorf("after %q there are %d films", list, len(films))
		}
		checkReport(t, films, report)
	}
}

// Records of every shape JSON can have, between sound ones: each sound one is imported, each other one accounted for.
func TestReadFilms_survives_any_record(t *testing.T) {
	t.Parallel()
	fields := []string{
		"Title", "Release Date", "Running Time min", "MPAA Rating", "Major Genre", "Creative Type", "Distributor",
		"Director", "Source", "IMDB Rating", "IMDB Votes",
	}
	rapid.Check(t, func(t *rapid.T) {
		var records []string
		sound := 0
		for range rapid.IntRange(0, 12).Draw(t, "records") {
			if rapid.Bool().Draw(t, "sound") {
				sound++
				records = append(records, fmt.Sprintf(`{"Title":"Sound %d","Running Time min":90}`, sound))
				continue
			}
			mutant := map[string]any{}
			for _, field := range rapid.SliceOfDistinct(rapid.SampledFrom(fields), rapid.ID).Draw(t, "fields") {
				mutant[field] = drawJSON(t, 3)
			}
			text, err := json.Marshal(mutant)
			if err != nil {
				t.Fatal(err)
			}
			records = append(records, string(text))
		}
		films, report, err := demo.ReadFilms(strings.NewReader("[" + strings.Join(records, ",\r\n") + "]"))
		if err != nil {
			t.Fatal(err)
		}
		checkReport(t, films, report)
		found := 0
		for _, film := range films {
			if strings.HasPrefix(film.Title, "Sound ") && film.RunTimeMinutes == 90 {
				found++
			}
		}
		if report.Read != len(records) || found != sound {
			t.Fatalf("%d of %d sound films, %d of %d records", found, sound, report.Read, len(records))
		}
	})
}

// drawJSON draws a value, values a record really has among them.
func drawJSON(t *rapid.T, depth int) any {
	switch rapid.IntRange(0, 9).Draw(t, "kind") {
	case 0:
		return nil
	case 1:
		return rapid.Bool().Draw(t, "truth")
	case 2:
		return json.Number(rapid.SampledFrom([]string{"0", "-1", "1e300", "1E400", "90", "7.3", "123456789012345678901"}).Draw(t, "number"))
	case 3:
		return rapid.Int64().Draw(t, "integer")
	case 4:
		return rapid.String().Draw(t, "text")
	case 5:
		return rapid.SampledFrom([]string{"Dec 31 1969", "Jan 01 2040", "Feb 30 2001", "PG-13", "AmÈlie, The", "\x00", "  ", "a\"\"b"}).Draw(t, "known")
	case 6:
		if depth == 0 {
			return []any{}
		}
		return []any{drawJSON(t, depth-1), drawJSON(t, depth-1)}
	case 7:
		if depth == 0 {
			return map[string]any{}
		}
		return map[string]any{"Title": drawJSON(t, depth-1), "}": drawJSON(t, depth-1)}
	}
	return "A Film"
}

// Any bytes at all: no panic, and a report that adds up.
func FuzzReadFilms(f *testing.F) {
	for _, seed := range []string{
		"", "[]", `[{"Title":300,"Release Date":"Apr 07 2033","IMDB Rating":7.5,"IMDB Votes":1}]`, `[{"Title":"LÈon, The"},{`, "[,,]",
		"\ufeff[{\"Title\":\"a\nb\"}]", `[{"Title":"&#0;&lt;\u0000"},{"Title":"\\"}]`, `[{"a":{"b":[}]},{"Title":"x"}]`, "[\xff{\"Title\":\"\xc8\"}]",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, list []byte) {
		films, report, err := demo.ReadFilms(strings.NewReader(string(list)))
		if err != nil && !errors.Is(err, demo.ErrNotArray) {
			t.Fatal(err)
		}
		checkReport(t, films, report)
	})
}

// checkReport asserts what every report and every film promises.
func checkReport(t reporter, films []demo.Film, report demo.Report) {
	t.Helper()
	sum := func(counts map[string]int) (total int) {
		for n := range maps.Values(counts) {
			total += n
		}
		return total
	}
	repaired := map[int]bool{}
	for _, finding := range report.Findings {
		if report.Repairs[finding.Kind] > 0 {
			repaired[finding.Record] = true
		}
	}
	switch {
	case report.Read != report.Imported+report.Skipped,
		report.Imported != len(films),
		report.Skipped != sum(report.Skips),
		report.Repaired != len(repaired),
		report.Repaired > sum(report.Repairs):
		t.Fatalf("%d films, and the report does not add up: %+v", len(films), report)
	}
	for _, f := range films {
		for _, text := range []string{f.Title, f.Certificate, f.Genre, f.CreativeType, f.Distributor, f.Director, f.Source} {
			if !utf8.ValidString(text) || strings.ContainsFunc(text, unicode.IsControl) || utf8.RuneCountInString(text) > 200 {
				t.Fatalf("text %q", text)
			}
		}
		year := f.ReleaseDate.Year()
		switch {
		case f.Title == "",
			f.RunTimeMinutes < 0 || f.RunTimeMinutes > 600,
			!f.ReleaseDate.IsZero() && (year < 1895 || year > 2011),
			(f.IMDBVotes == 0) != (f.IMDBRatingTenths == 0),
			f.IMDBRatingTenths < 0 || f.IMDBRatingTenths > 100,
			!slices.Contains([]string{"", "G", "PG", "PG-13", "R", "NC-17", "NR"}, f.Certificate):
			t.Fatalf("film %+v", f)
		}
	}
}
