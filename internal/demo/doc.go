// Package demo makes Marquee's demo world: a catalogue of real films, twelve invented theaters in real cities, and
// what runs on their forty screens. It owns the tables and the rules behind them.
//
// Everything here is computed from the embedded film list, Go literals and a seed. The same input gives the same world
// on every machine and for ever, which is what lets a later start add the days that are missing. Nothing here reads a
// clock.
//
// # The film list
//
// The list is 3,201 films as its makers published it, with the flaws they kept for teaching. ReadFilms reads any list
// of that shape. A value that is wrong beyond doubt is put right where the truth can be told from the record, and else
// becomes unknown; a value that is only odd is kept and reported; a record that gives no film is skipped with its
// reason. Nothing is made up. The flaws found in the list, beside the plain gaps:
//   - titles that are numbers, and one that is null;
//   - letters garbled by two character encodings, double spaces, doubled quotes;
//   - titles as a sorted list has them, the article or the year at the end;
//   - release dates a hundred years late, dates that are Unix time zero, dates that are a year less one day;
//   - a certificate the MPAA never gave, a distributor named "Distributor Unknown";
//   - remakes and sequels that carry the votes of their namesakes, because they were once joined by title.
//
// Every run time in the list is possible, and no record in it is a duplicate; the importer minds both all the same.
package demo
